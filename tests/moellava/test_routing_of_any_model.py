"""The routing of any sparse vision-language model of transformers is recorded, whatever its router is like."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from transformers import AutoConfig

from moellava.model_accounting import lay_out
from moellava.routing import RoutingError, RoutingRecorder, check_recordable
from moellava.sparse_layers import sparse_layers
from tests.tiny_models import tiny_model
from tests.tiny_newer import tiny_newer_model
from tests.tiny_sparse import ARCHITECTURES, tiny_sparse_model
from tests.tiny_text_sparse import TEXT_SPARSE, tiny_text_sparse_model

pytestmark = pytest.mark.usefixtures("one_thread")
PROMPTS = ([11, 12, 13], [21, 22, 23, 24, 25, 26])


@pytest.fixture(scope="module", params=[*ARCHITECTURES, *TEXT_SPARSE])
def model(request: pytest.FixtureRequest):
    return (tiny_text_sparse_model if request.param in TEXT_SPARSE else tiny_sparse_model)(request.param)


def recorded(model, prompts, side: str = "left", new_tokens: int = 0):
    longest = max(map(len, prompts))
    ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        where = slice(longest - len(prompt), None) if side == "left" else slice(0, len(prompt))
        ids[row, where], mask[row, where] = torch.tensor(prompt), 1
    with torch.no_grad(), RoutingRecorder(model) as recorder:
        if new_tokens:
            options = {"max_new_tokens": new_tokens, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
            model.generate(input_ids=ids, attention_mask=mask, **options)
        else:
            model(input_ids=ids, attention_mask=mask)
    return recorder


def test_every_token_is_counted_once_per_layer_and_choice(model):
    recorder = recorded(model, PROMPTS, new_tokens=3)
    layers = sparse_layers(model.get_decoder())
    assert (recorder.layers, recorder.top_k) == (tuple(layer.index for layer in layers), layers[0].top_k)
    for sequence, prompt in zip(recorder.sequences, PROMPTS, strict=True):
        tokens = len(prompt) + 2  # the last generated one is not fed back
        assert (sequence.prompt_tokens, sequence.tokens) == (len(prompt), tokens)
        assert (sequence.counts.sum(axis=(1, 3)) == tokens).all()
        assert sequence.counts[:, 0].sum() == 0  # no picture


def test_a_padded_batch_gives_what_its_prompts_give(model):
    batch = recorded(model, PROMPTS).sequences
    alone = [recorded(model, [prompt]).sequences[0] for prompt in PROMPTS]
    assert all((one.counts == other.counts).all() for one, other in zip(batch, alone, strict=True))


def test_the_choices_are_the_best_of_the_routers_scores(model):
    """Of routers without bias or groups; each is asked what it scores, apart from what the experts are handed."""
    layers = sparse_layers(model.get_decoder())
    name = next(name for name in ("router", "gate") if hasattr(layers[0].block, name))
    scores = []

    def keep(module, args, output):
        scores.append((output[0] if isinstance(output, tuple) else output).float())

    handles = [getattr(layer.block, name).register_forward_hook(keep) for layer in layers]
    recorder = recorded(model, PROMPTS[1:])
    for handle in handles:
        handle.remove()
    for layer, (counts, of_layer) in enumerate(zip(recorder.sequences[0].counts, scores, strict=True)):
        best = of_layer.reshape(-1, recorder.num_experts[layer]).topk(recorder.top_k, dim=-1).indices
        expected = np.stack([np.bincount(choice, minlength=counts.shape[-1]) for choice in best.T.numpy()])
        assert (np.sort(counts[1], axis=0).sum(0) == expected.sum(0)).all()


def test_rows_of_pictures_are_told_by_their_token():
    model = tiny_sparse_model("aria")
    with torch.no_grad(), RoutingRecorder(model) as recorder:
        pixel_values = torch.zeros(1, 3, 980, 980)
        picture = [5] * 4
        model(input_ids=torch.tensor([[11, *picture, 12]]), pixel_values=pixel_values)
    assert (recorder.sequences[0].counts.sum(axis=(2, 3)) == [[4 * 2, 2 * 2]] * 3).all()


def test_a_second_set_of_experts_is_numbered_on():
    """Of Ernie-4.5-VL, whose marks around a picture (3 and 4) go to the experts for pictures, too, but are text."""
    model = tiny_newer_model("ernie4_5_vl_moe")
    prompts = torch.tensor([[0, 0, 11, 12, 13, 14, 15, 16], [11, 3, 5, 5, 5, 5, 4, 12]])
    mask, kinds = (prompts != 0).long(), ((prompts >= 3) & (prompts <= 5)).int()

    def of(rows):
        with torch.no_grad(), RoutingRecorder(model) as recorder:
            model(input_ids=prompts[rows], attention_mask=mask[rows], moe_mm_token_type_ids=kinds[rows])
        return recorder

    recorder = of([0, 1])
    assert (recorder.layers, recorder.num_experts) == ((1, 2), (8, 8))
    of_words, of_both = (one.counts.sum(2).reshape(2, 2, 2, 4).sum(-1).tolist() for one in recorder.sequences)
    assert of_words == [[[0, 0], [6 * 2, 0]]] * 2  # layers, image and text, experts for text and for pictures
    assert of_both == [[[0, 4 * 2], [2 * 2, 2 * 2]]] * 2
    for row, together in enumerate(recorder.sequences):
        assert (together.counts == of([row]).sequences[0].counts).all()


def test_prompts_in_pieces_are_refused(model):
    with RoutingRecorder(model), pytest.raises(RoutingError, match="prefill_chunk_size"):
        model.generate(input_ids=torch.tensor(PROMPTS[1:]), prefill_chunk_size=2, max_new_tokens=2, pad_token_id=0)


def test_models_that_cannot_be_recorded_say_why():
    with pytest.raises(RoutingError, match="has no sparse layer"):
        check_recordable(tiny_model(layers=()))
    twice = lay_out(AutoConfig.for_model("ernie4_5_vl_moe"))
    block = twice.get_decoder().layers[1].mlp
    block.other_moe = deepcopy(block.text_moe)
    with pytest.raises(RoutingError, match="several sets of experts"):
        check_recordable(twice)
