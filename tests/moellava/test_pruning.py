"""Experts that are taken away: a model answers as if it had never had them, whatever its router is like."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moellava.pruning import prune, pruned_weights
from moellava.routing import RoutingRecorder
from moellava.sparse_layers import SparseLayer, sparse_layers
from tests.tiny_models import tiny_model
from tests.tiny_newer import tiny_newer_model
from tests.tiny_sparse import ARCHITECTURES, tiny_sparse_model
from tests.tiny_text_sparse import TEXT_SPARSE, tiny_text_sparse_model

IDS = torch.tensor([[1, 7, 8, 9, 10, 11]])
NEWER = ("deepseek_ocr2", "dots3_note", "ernie4_5_vl_moe", "glm5_next", "qwen4_exp")
NUMBERS = ("num_experts", "n_routed_experts", "out_features")


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits


def tiny_model_of(architecture: str):
    if architecture == "moe_llava":
        return tiny_model("llama", layers=[0, 1])
    if architecture in TEXT_SPARSE:
        return tiny_text_sparse_model(architecture)
    return tiny_newer_model(architecture) if architecture in NEWER else tiny_sparse_model(architecture)


def cut_out(model, layer: SparseLayer, expert: int) -> None:
    """Take one expert out of the tensors of a layer and its router for good."""
    stacked = (layer.num_experts, layer.num_experts + 1)  # Inkling's router scores a shared expert, too
    around = model.get_decoder().get_submodule(layer.name.rsplit(".", 2)[0])  # Ernie's block of two sets counts, too
    for module in (*layer.experts.modules(), *layer.router.modules(), layer.block, around):
        for value in [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
            for axis, size in enumerate(value.shape):
                if size in stacked:
                    kept = [other for other in range(size) if other != expert]
                    value.data = value.data.index_select(axis, torch.tensor(kept))
                    break
        for name in NUMBERS:
            if getattr(module, name, None) == layer.num_experts:
                setattr(module, name, layer.num_experts - 1)


@given(
    st.integers(0, 2**31),
    st.integers(2, 6),
    st.integers(1, 3),
    st.sets(st.integers(0, 5)),
    st.none() | st.integers(1, 3),
)
def test_the_weight_of_a_token_stays_and_goes_to_what_is_left(seed, num_experts, top_k, removed, kept):
    generator = torch.Generator().manual_seed(seed)
    top_k = min(top_k, num_experts)
    scores = torch.rand(20, num_experts, generator=generator).softmax(-1)
    weights, index = scores.topk(top_k)
    pruned = pruned_weights(index, weights, removed, kept)
    counted = torch.tensor([[e not in removed for e in row] for row in index.tolist()])
    assert (pruned[~counted] == 0).all()
    left = counted.any(-1)
    torch.testing.assert_close(pruned.sum(-1)[left], weights.sum(-1)[left])
    assert (pruned[~left] == 0).all()
    if kept is not None:
        assert ((pruned > 0).sum(-1) <= kept).all()
        first = torch.where(counted, weights, torch.tensor(-1.0)).argmax(-1)
        assert (pruned.argmax(-1) == first)[left].all()
    elif not removed:
        torch.testing.assert_close(pruned, weights)


def test_one_of_two_choices_gets_the_whole_weight():
    index, weights = torch.tensor([[2, 0], [1, 3]]), torch.tensor([[0.7, 0.3], [0.6, 0.4]])
    assert pruned_weights(index, weights, [2], None).tolist() == [[0, 1], pytest.approx([0.6, 0.4])]
    assert pruned_weights(index, weights, [], 1).tolist() == [[1, 0], [1, 0]]
    assert pruned_weights(index, weights, [1, 3], None)[1].tolist() == [0, 0]


def test_top_1_is_the_models_own_with_its_weight_set_to_one():
    model = tiny_model("llama", layers=[0, 1])
    prune(model.get_decoder(), top_k=1)
    pruned = logits(model)
    twin = tiny_model("llama", layers=[0, 1])
    for layer in sparse_layers(twin.get_decoder()):
        gate = layer.block.router if hasattr(layer.block, "router") else layer.block.gate
        gate.register_forward_hook(
            lambda module, args, out: (out[0], torch.tensor([1.0, 0.0]).expand_as(out[1]), out[2])
        )
    torch.testing.assert_close(pruned, logits(twin))


@pytest.mark.parametrize("architecture", ["moe_llava", *ARCHITECTURES, *NEWER, *TEXT_SPARSE])
def test_a_model_answers_as_if_it_had_never_had_the_expert(architecture):
    model = tiny_model_of(architecture)
    whole = logits(model)
    layer = sparse_layers(model.get_decoder())[0]
    favourite = most_chosen(model, layer)
    handles = prune(model.get_decoder(), [(layer.index, favourite)])
    pruned = logits(model)
    for handle in handles:
        handle.remove()
    assert torch.equal(logits(model), whole)
    assert not torch.allclose(pruned, whole)
    cut_out(model, layer, favourite)
    torch.testing.assert_close(pruned, logits(model))


def most_chosen(model, layer: SparseLayer) -> int:
    with torch.no_grad(), RoutingRecorder(model) as recorder:
        model(input_ids=IDS)
    return int(recorder.totals()[recorder.layers.index(layer.index)].sum((0, 1)).argmax())


@pytest.mark.parametrize("architecture", ["moe_llava", "qwen3_vl_moe", "aria", "glm4v_moe", "llama4"])
def test_a_layer_without_experts_gives_nothing(architecture):
    model = tiny_model_of(architecture)
    layer = sparse_layers(model.get_decoder())[0]
    given = []
    layer.experts.register_forward_hook(lambda module, args, output: given.append(output))
    prune(model.get_decoder(), [(layer.index, expert) for expert in range(layer.num_experts)])
    logits(model)
    assert (given[0] == 0).all()


def test_the_second_set_of_experts_is_numbered_on():
    model = tiny_newer_model("ernie4_5_vl_moe")
    assert [list(layer.numbers) for layer in sparse_layers(model.get_decoder())] == [[0, 1, 2, 3], [4, 5, 6, 7]] * 2
    picture = {"input_ids": IDS, "moe_mm_token_type_ids": torch.ones_like(IDS)}
    with torch.no_grad():
        whole = model(**picture).logits
        prune(model.get_decoder(), [(1, expert) for expert in range(4)])  # those for text
        assert torch.equal(model(**picture).logits, whole)
        prune(model.get_decoder(), [(1, expert) for expert in range(4, 8)])
        assert not torch.allclose(model(**picture).logits, whole)


@pytest.mark.parametrize(
    ("experts", "top_k", "complaint"),
    [
        ([(99, 0)], None, "layer 99 is not sparse; sparse are 0, 1"),
        ([(0, 9)], None, "layer 0 has experts 0 to 3, and no 9"),
        ([], 2, "a token uses 2 experts; top_k=2 takes none of them away"),
        ([], 0, "a token uses 2 experts; top_k=0 takes none of them away"),
    ],
)
def test_what_is_not_there_cannot_be_taken(experts, top_k, complaint):
    with pytest.raises(ValueError, match=complaint):
        prune(tiny_model("llama", layers=[0, 1]).get_decoder(), experts, top_k)


def test_a_dense_model_has_nothing_to_take():
    with pytest.raises(ValueError, match="it has no sparse layer"):
        prune(tiny_model("llama", layers=[]).get_decoder(), [(0, 0)])


def test_experts_that_are_told_nothing_keep_their_number():
    model = tiny_sparse_model("llama4", num_experts_per_tok=2)
    with pytest.raises(ValueError, match="is not told which experts were chosen"):
        prune(model.get_decoder(), top_k=1)
