"""Every backbone with either tower behaves as a transformers model does: files, attention, cache, batches, gradients."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

from moellava import MoELlavaForConditionalGeneration, enable_router_noise
from moellava.modeling import token_mask
from moellava.moe import load_balancing_loss
from tests.tiny_models import BACKBONES, TOWERS, tiny_config, tiny_inputs, tiny_model

TOLERANCE = {"rtol": 0.0, "atol": 2e-5}
IMAGE_TOKEN_ID = tiny_config().image_token_id
PROMPTS = (
    "What is in <image>?",
    "Nothing to see.",
    "<image> or <image>, which <image>?",
    "A longer one, about <image>.",
)

every_backbone = pytest.mark.parametrize("backbone", BACKBONES)
every_tower = pytest.mark.parametrize("tower", TOWERS)


def logits(model: MoELlavaForConditionalGeneration, tower: str, *prompts: str, **options) -> torch.Tensor:
    with torch.inference_mode():
        return model(**tiny_inputs(tower, *prompts, **options)).logits


def continuations(model: MoELlavaForConditionalGeneration, tower: str, *prompts: str, **options) -> list[list[int]]:
    """8 new ids per prompt, past any end marker."""
    inputs = tiny_inputs(tower, *prompts, padding=True)
    ids = model.generate(**inputs, min_new_tokens=8, max_new_tokens=8, eos_token_id=-1, **options)
    return ids[:, inputs["input_ids"].shape[1] :].tolist()


def labelled(tower: str, *prompts: str) -> dict[str, torch.Tensor]:
    """Inputs of a training step: the text in the second half of every row is learned."""
    inputs = dict(tiny_inputs(tower, *prompts, padding=True, padding_side="right"))
    is_text = (inputs["attention_mask"] == 1) & (inputs["input_ids"] != IMAGE_TOKEN_ID)
    labels = inputs["input_ids"].masked_fill(~is_text, -100)
    labels[:, : labels.shape[1] // 2] = -100
    return {**inputs, "labels": labels}


# Files


@every_backbone
@every_tower
def test_a_saved_model_loads_bit_for_bit(tmp_path, backbone, tower):
    model = tiny_model(backbone, tower, num_experts=[3, 4])
    model.save_pretrained(tmp_path)
    expected, tensors = logits(model, tower, *PROMPTS, padding=True), model.state_dict()
    for loader in (MoELlavaForConditionalGeneration, AutoModelForImageTextToText):
        loaded = loader.from_pretrained(tmp_path)
        assert type(loaded) is MoELlavaForConditionalGeneration
        assert loaded.state_dict().keys() == tensors.keys()
        assert all(torch.equal(tensor, tensors[name]) for name, tensor in loaded.state_dict().items())
        assert torch.equal(logits(loaded, tower, *PROMPTS, padding=True), expected)


def test_a_model_keeps_its_dtype_in_its_files(tmp_path):
    model = tiny_model("phi").to(torch.bfloat16)
    model.save_pretrained(tmp_path)
    loaded = MoELlavaForConditionalGeneration.from_pretrained(tmp_path)
    assert {tensor.dtype for tensor in load_file(tmp_path / "model.safetensors").values()} == {torch.bfloat16}
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.bfloat16}


def test_a_saved_folder_in_shards_loads(tmp_path):
    model = tiny_model()
    model.save_pretrained(tmp_path, max_shard_size="50KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    loaded = MoELlavaForConditionalGeneration.from_pretrained(tmp_path)
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in loaded.state_dict().items())


@pytest.mark.parametrize("implementation", ["eager", "batched_mm"])
def test_the_experts_implementation_is_chosen_on_loading(tmp_path, implementation):
    model = tiny_model("phi")
    model.save_pretrained(tmp_path)
    loaded = MoELlavaForConditionalGeneration.from_pretrained(tmp_path, experts_implementation=implementation)
    assert loaded.config._experts_implementation == implementation
    torch.testing.assert_close(
        logits(loaded, "clip", *PROMPTS, padding=True), logits(model, "clip", *PROMPTS, padding=True), rtol=0, atol=1e-5
    )


# Forward


@every_backbone
@every_tower
def test_eager_and_sdpa_attention_agree(backbone, tower):
    model = tiny_model(backbone, tower)
    model.set_attn_implementation("eager")
    mask = tiny_inputs(tower, *PROMPTS, padding=True)["attention_mask"].bool()
    expected = logits(model, tower, *PROMPTS, padding=True)[mask]
    model.set_attn_implementation("sdpa")
    torch.testing.assert_close(logits(model, tower, *PROMPTS, padding=True)[mask], expected, **TOLERANCE)


@every_backbone
@every_tower
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_batch_equals_each_prompt_alone(backbone, tower, side):
    model = tiny_model(backbone, tower)
    mask = tiny_inputs(tower, *PROMPTS, padding=True, padding_side=side)["attention_mask"].bool()
    rows = logits(model, tower, *PROMPTS, padding=True, padding_side=side)
    for prompt, row, kept in zip(PROMPTS, rows, mask, strict=True):
        torch.testing.assert_close(row[kept], logits(model, tower, prompt)[0], **TOLERANCE)


@every_backbone
@every_tower
def test_a_batch_generates_what_each_prompt_generates_alone(backbone, tower):
    model = tiny_model(backbone, tower)
    alone = [continuations(model, tower, prompt)[0] for prompt in PROMPTS]
    assert continuations(model, tower, *PROMPTS) == alone


@every_backbone
@every_tower
def test_generation_with_cache_equals_generation_without(backbone, tower):
    model = tiny_model(backbone, tower)
    assert continuations(model, tower, *PROMPTS) == continuations(model, tower, *PROMPTS, use_cache=False)


def test_generation_needs_no_pictures():
    model = tiny_model()
    assert continuations(model, "clip", "One.", "Another one.") == [
        continuations(model, "clip", prompt)[0] for prompt in ("One.", "Another one.")
    ]


def test_a_picture_matters():
    model = tiny_model()
    inputs = tiny_inputs("clip", PROMPTS[0])
    seen = model(**inputs).logits
    assert not torch.allclose(seen, model(**{**inputs, "pixel_values": -inputs["pixel_values"]}).logits)


def test_pictures_of_a_prompt_are_told_apart():
    model = tiny_model()
    inputs = tiny_inputs("clip", "<image> or <image>?")
    swapped = {**inputs, "pixel_values": inputs["pixel_values"].flip(0)}
    assert not torch.allclose(model(**inputs).logits, model(**swapped).logits)


def test_beams_each_see_their_picture():
    model = tiny_model()
    assert continuations(model, "clip", *PROMPTS[:2], num_beams=3) == [
        continuations(model, "clip", prompt, num_beams=3)[0] for prompt in PROMPTS[:2]
    ]


@every_backbone
def test_a_model_without_sparse_layers_is_dense(tmp_path, backbone):
    model = tiny_model(backbone, layers=())
    output = model(**labelled("clip", *PROMPTS), output_router_logits=True)
    assert output.aux_loss is None
    assert output.router_logits is None
    assert output.loss.isfinite()
    model.save_pretrained(tmp_path)
    loaded = MoELlavaForConditionalGeneration.from_pretrained(tmp_path)
    assert continuations(loaded, "clip", *PROMPTS) == continuations(model, "clip", *PROMPTS)


def test_last_logits_can_be_had_alone():
    model = tiny_model()
    inputs = tiny_inputs("clip", PROMPTS[0])
    torch.testing.assert_close(model(**inputs, logits_to_keep=1).logits, model(**inputs).logits[:, -1:])


@pytest.mark.parametrize(("tokens", "pictures"), [(0, 1), (1, 0), (1, 2), (2, 1)])
def test_pictures_that_do_not_fit_the_image_tokens_are_refused(tokens, pictures):
    inputs = dict(tiny_inputs("clip", "<image>" * tokens + "Yes?"))
    inputs["pixel_values"] = torch.zeros(pictures, 3, 28, 28) if pictures else None
    with pytest.raises(ValueError, match=r"image token.*picture") as caught:
        tiny_model()(**inputs)
    assert "\n" not in str(caught.value)


def test_embeddings_with_pictures_are_refused():
    with pytest.raises(ValueError, match="pictures need input_ids"):
        tiny_model()(inputs_embeds=torch.zeros(1, 4, 32), pixel_values=torch.zeros(1, 3, 28, 28))


@pytest.mark.slow
def test_a_compiled_model_equals_the_eager_one():
    model = tiny_model("phi", layers=(0,), text={"num_hidden_layers": 2})
    inputs = tiny_inputs("clip", *PROMPTS[:2], padding=True)
    with torch.inference_mode():
        expected = model(**inputs).logits
        compiled = torch.compile(model, fullgraph=False, backend="aot_eager")  # inductor itself takes a minute
        torch.testing.assert_close(compiled(**inputs).logits, expected, **TOLERANCE)


# Loss and gradients


@every_backbone
def test_the_loss_is_cross_entropy_plus_the_weighted_balancing_loss(backbone):
    model = tiny_model(backbone, router_aux_loss_coef=0.5)
    inputs = labelled("clip", *PROMPTS)
    output = model(**inputs)
    shifted = F.cross_entropy(output.logits[:, :-1].flatten(0, 1), inputs["labels"][:, 1:].flatten(), ignore_index=-100)
    torch.testing.assert_close(output.loss, shifted + 0.5 * output.aux_loss)


@pytest.mark.parametrize("count_padding", [False, True])
def test_padding_enters_the_balancing_loss_on_request_only(count_padding):
    model = tiny_model(count_padding=count_padding)
    inputs = tiny_inputs("clip", *PROMPTS, padding=True)
    output = model(**inputs, output_router_logits=True)
    expected = load_balancing_loss(output.router_logits, None if count_padding else inputs["attention_mask"])
    torch.testing.assert_close(output.aux_loss, expected)


def test_router_logits_come_in_layer_order_one_row_per_token():
    model = tiny_model(layers=(3, 1), num_experts=[5, 2])
    inputs = tiny_inputs("clip", *PROMPTS, padding=True)
    output = model(**inputs, output_router_logits=True)
    tokens = inputs["input_ids"].numel()
    assert [tuple(part.shape) for part in output.router_logits] == [(tokens, 2), (tokens, 5)]
    assert {part.dtype for part in output.router_logits} == {torch.float32}


def test_router_logits_come_on_request_only():
    output = tiny_model()(**tiny_inputs("clip", PROMPTS[0]))
    assert output.router_logits is None
    assert output.aux_loss is None


def gradients(model: MoELlavaForConditionalGeneration, **inputs) -> dict[str, torch.Tensor]:
    """Gradients of the loss, by parameter; those without one are left out."""
    model.zero_grad()
    model(**inputs).loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


@every_backbone
@every_tower
def test_gradient_checkpointing_gives_equal_gradients(backbone, tower):
    model = tiny_model(backbone, tower, router_aux_loss_coef=1.0).train()
    inputs = labelled(tower, *PROMPTS)
    expected = gradients(model, **inputs)
    model.gradient_checkpointing_enable()
    found = gradients(model, **inputs)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, **TOLERANCE)


@every_backbone
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_balancing_loss_reaches_the_routers(backbone, checkpointing):
    model = tiny_model(backbone).train()
    if checkpointing:
        model.gradient_checkpointing_enable()
    model(**labelled("clip", *PROMPTS)).aux_loss.backward()
    for block in model.model.sparse_blocks().values():
        assert block.router.weight.grad.abs().max() > 0


@every_backbone
def test_every_part_but_the_last_of_the_tower_learns(backbone):
    model = tiny_model(backbone).train()
    found = gradients(model, **labelled("clip", *PROMPTS))
    without = {name for name, _ in model.named_parameters()} - found.keys()
    assert all(name.startswith("model.vision_tower.") and ("layers.1." in name or "post" in name) for name in without)


@every_tower
def test_a_text_only_batch_gives_the_projector_gradients_of_zero(tower):
    model = tiny_model(tower=tower).train()
    model(**labelled(tower, "Nothing to see.")).loss.backward()
    for parameter in model.model.multi_modal_projector.parameters():
        assert torch.equal(parameter.grad, torch.zeros_like(parameter))


def test_text_only_batches_are_evaluated_without_the_tower(monkeypatch):
    model = tiny_model()
    monkeypatch.setattr(model.model, "get_image_features", None)
    logits(model, "clip", "Nothing to see.")


def test_only_a_mask_of_tokens_tells_what_is_padding():
    assert token_mask(torch.tensor([[0, 1]])).tolist() == [[False, True]]
    assert token_mask(torch.zeros(1, 1, 2, 3)) is None
    assert token_mask(None) is None


# Routing on request


def noisy_logits(seed: int) -> torch.Tensor:
    model = tiny_model()
    enable_router_noise(model, seed)
    return logits(model, "clip", *PROMPTS, padding=True)


def test_router_noise_is_repeatable_under_a_seed():
    first = noisy_logits(3)
    torch.manual_seed(99)
    assert torch.equal(noisy_logits(3), first)


def test_router_noise_differs_between_seeds():
    assert not torch.equal(noisy_logits(3), noisy_logits(4))


def test_router_noise_differs_between_passes():
    model = tiny_model()
    enable_router_noise(model, seed=0)
    assert not torch.equal(logits(model, "clip", PROMPTS[0]), logits(model, "clip", PROMPTS[0]))


def test_router_noise_keeps_the_first_choice():
    plain, noisy = tiny_model(layers=(0,)), tiny_model(layers=(0,))
    enable_router_noise(noisy, seed=0)
    hidden = torch.randn(50, 32, generator=torch.Generator().manual_seed(0))
    choices = [model.model.sparse_blocks()[0].router(hidden)[2] for model in (plain, noisy)]
    assert torch.equal(choices[0][:, 0], choices[1][:, 0])
    assert not torch.equal(choices[0][:, 1], choices[1][:, 1])


def test_router_noise_needs_a_sparse_model():
    with pytest.raises(ValueError, match="no sparse layer"):
        enable_router_noise(tiny_model(layers=()), seed=0)


def test_choices_beyond_capacity_are_dropped_on_request_only():
    plain, roomy = tiny_model(), tiny_model(drop_tokens=True, eval_capacity_factor=2.0)
    tight = tiny_model(drop_tokens=True, eval_capacity_factor=0.5)
    expected = logits(plain, "clip", *PROMPTS, padding=True)
    assert torch.equal(logits(roomy, "clip", *PROMPTS, padding=True), expected)
    assert not torch.allclose(logits(tight, "clip", *PROMPTS, padding=True), expected)


def test_capacity_differs_between_training_and_evaluation():
    model = tiny_model(drop_tokens=True, capacity_factor=0.5, eval_capacity_factor=2.0)
    at_evaluation = logits(model, "clip", *PROMPTS, padding=True)
    assert not torch.allclose(logits(model.train(), "clip", *PROMPTS, padding=True), at_evaluation)


@pytest.mark.parametrize("top_k", [1, 3])
def test_other_numbers_of_choices_generate(top_k):
    model = tiny_model(top_k=top_k)
    assert continuations(model, "clip", *PROMPTS) == continuations(model, "clip", *PROMPTS, use_cache=False)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_new_model_is_initialised_in_all_its_parts(backbone):
    torch.manual_seed(0)
    model = MoELlavaForConditionalGeneration(tiny_config(backbone))
    for block in model.model.sparse_blocks().values():
        for name, parameter in block.experts.named_parameters():
            std = 0.0 if name.endswith("bias") else model.config.text_config.initializer_range
            assert parameter.std().item() == pytest.approx(std, rel=0.1)
        assert block.router.weight.abs().max() <= 32**-0.5
        assert block.router.weight.std().item() == pytest.approx(32**-0.5 / 3**0.5, rel=0.2)


def test_grouped_mm_can_be_chosen_on_loading(tmp_path):
    tiny_model("phi").save_pretrained(tmp_path)
    loaded = MoELlavaForConditionalGeneration.from_pretrained(tmp_path, experts_implementation="grouped_mm")
    assert loaded.config._experts_implementation == "grouped_mm"


def test_tuples_are_returned_on_request():
    assert isinstance(tiny_model()(**tiny_inputs("clip", "<image>"), return_dict=False), tuple)
