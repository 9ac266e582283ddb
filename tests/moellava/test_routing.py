"""Recorded routing equals what the router logits of plain forward passes say, however the model was run."""

import numpy as np
import pytest
import torch

from moellava import zoo
from moellava.modeling import MoELlavaForConditionalGeneration, enable_router_noise
from moellava.processing import MoELlavaProcessor
from moellava.routing import RoutingRecorder, expert_load
from tests.tiny_models import tiny_inputs, tiny_model

PROMPTS = ("<image> Is there a cat?", "Hi", "<image><image> What differs between the two?")


def counts_of(model, input_ids, router_logits):
    """[L, M, K, E] of one unpadded sequence, counted the slow way."""
    top_k = model.config.moe.top_k
    counts = np.zeros((len(router_logits), 2, top_k, router_logits[0].shape[-1]), np.int64)
    for layer, logits in enumerate(router_logits):
        for token, choices in zip(input_ids[0].tolist(), logits.topk(top_k).indices.tolist(), strict=True):
            for choice, expert in enumerate(choices):
                counts[layer, int(token != model.config.image_token_id), choice, expert] += 1
    return counts


def plain(model, inputs):
    with torch.no_grad():
        output = model(**inputs, output_router_logits=True)
    return counts_of(model, inputs["input_ids"], output.router_logits)


def recorded(model, inputs, **options):
    with torch.no_grad(), RoutingRecorder(model, **options) as recorder:
        model(**inputs)
    return recorder.sequences


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.mark.parametrize("backbone", ["phi", "stablelm", "qwen2", "mistral"])
def test_one_prompt_counts_as_its_router_logits(backbone):
    model = tiny_model(backbone)
    inputs = tiny_inputs("clip", PROMPTS[2])
    (sequence,) = recorded(model, inputs)
    assert (sequence.counts == plain(model, inputs)).all()
    assert sequence.tokens == sequence.prompt_tokens == inputs["input_ids"].shape[1]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_batch_gives_what_its_prompts_give(model, side):
    batch = recorded(model, tiny_inputs("clip", *PROMPTS, padding=True, padding_side=side))
    for sequence, prompt in zip(batch, PROMPTS, strict=True):
        inputs = tiny_inputs("clip", prompt)
        (alone,) = recorded(model, inputs)
        assert (sequence.counts == plain(model, inputs)).all()
        assert sequence.paths == alone.paths


def generated(model, inputs, new_tokens=12):
    with torch.no_grad(), RoutingRecorder(model) as recorder:
        tokens = model.generate(**inputs, max_new_tokens=new_tokens, do_sample=False)
    return recorder.sequences, tokens


def test_generation_counts_as_one_forward_pass_over_all_that_was_fed(model):
    inputs = tiny_inputs("clip", PROMPTS[0])
    (sequence,), tokens = generated(model, inputs)
    fed = tokens[:, :-1]  # the last one is never fed back
    whole = {**inputs, "input_ids": fed, "attention_mask": torch.ones_like(fed)}
    assert (sequence.counts == plain(model, whole)).all()
    assert (sequence.prompt_tokens, sequence.tokens) == (inputs["input_ids"].shape[1], fed.shape[1])


@pytest.mark.parametrize("passes", [32, 3])  # counted together: all of them, or a few at a time
def test_rows_that_ended_are_not_counted_while_others_go_on(passes, monkeypatch):
    monkeypatch.setattr("moellava.routing.recorder.PASSES", passes)
    model = tiny_model()
    batch = tiny_inputs("clip", *PROMPTS, padding=True, padding_side="left")
    _, tokens = generated(model, batch)
    # Whatever the first row says third becomes the end of an answer.
    model.generation_config.eos_token_id = int(tokens[0, batch["input_ids"].shape[1] + 2])
    together, tokens = generated(model, batch)
    lengths = [sequence.tokens - sequence.prompt_tokens for sequence in together]
    assert len(set(lengths)) > 1
    for sequence, prompt in zip(together, PROMPTS, strict=True):
        (alone,), _ = generated(model, tiny_inputs("clip", prompt))
        assert (sequence.counts == alone.counts).all()
        assert (sequence.tokens, sequence.paths) == (alone.tokens, alone.paths)


def test_recording_does_not_change_answers(model):
    inputs = tiny_inputs("clip", *PROMPTS, padding=True, padding_side="left")
    without = model.generate(**inputs, max_new_tokens=8, do_sample=False)
    assert generated(model, inputs, 8)[1].equal(without)


def test_gradient_checkpointing_counts_once():
    model = tiny_model().train()
    inputs = tiny_inputs("clip", PROMPTS[0])
    labels = inputs["input_ids"].masked_fill(inputs["input_ids"] == model.config.image_token_id, -100)
    model.activation_checkpointing_enable()
    with RoutingRecorder(model) as recorder:
        model(**inputs, labels=labels).loss.backward()
    assert recorder.totals().sum() == inputs["input_ids"].numel() * 2 * model.config.moe.top_k


def test_paths_are_the_first_choices(model):
    inputs = tiny_inputs("clip", PROMPTS[0])
    with torch.no_grad():
        logits = model(**inputs, output_router_logits=True).router_logits
    first = torch.stack([layer.argmax(-1) for layer in logits], dim=-1)  # [T, L]
    (sequence,) = recorded(model, inputs, image_paths=2, text_paths=5)
    assert [path.modality for path in sequence.paths].count("image") == 2
    assert [path.modality for path in sequence.paths].count("text") == 5
    for path in sequence.paths:
        assert list(path.experts) == first[path.position].tolist()
        assert path.token == inputs["input_ids"][0, path.position]


def test_generated_tokens_have_paths_too(model):
    (sequence,), tokens = generated(model, tiny_inputs("clip", PROMPTS[0]))
    answer = [path for path in sequence.paths if path.position >= sequence.prompt_tokens]
    assert [path.token for path in answer] == tokens[0, sequence.prompt_tokens :][:4].tolist()
    assert {path.modality for path in answer} == {"text"}


def test_drops_are_counted_beside_choices():
    inputs = tiny_inputs("clip", PROMPTS[2])
    free, tight = tiny_model(), tiny_model(drop_tokens=True, eval_capacity_factor=0.5)
    assert recorded(free, inputs)[0].dropped.sum() == 0
    (sequence,) = recorded(tight, inputs)
    assert (sequence.counts[0] == recorded(free, inputs)[0].counts[0]).all()  # before the first drop
    with torch.no_grad():
        block = tight.model.sparse_blocks()[0]
        seen = []
        handle = block.router.register_forward_hook(lambda module, args, output: seen.append(output[1]))
        tight(**inputs)
        handle.remove()
    assert sequence.dropped[0].sum() == (seen[0] == 0).sum() > 0


def test_noisy_second_choices_are_those_that_were_made():
    inputs = tiny_inputs("clip", PROMPTS[2])
    noisy, quiet = tiny_model(), tiny_model()
    enable_router_noise(noisy, seed=3)
    (one,), (other,) = recorded(noisy, inputs), recorded(quiet, inputs)
    assert (one.counts[0, :, 0] == other.counts[0, :, 0]).all()
    assert (one.counts[0, :, 1] != other.counts[0, :, 1]).any()


def test_totals_are_the_sum_of_all_sequences(model):
    with torch.no_grad(), RoutingRecorder(model) as recorder:
        for prompt in PROMPTS:
            model(**tiny_inputs("clip", prompt))
    assert (recorder.totals() == sum(plain(model, tiny_inputs("clip", prompt)) for prompt in PROMPTS)).all()
    recorder.clear()
    assert recorder.totals().sum() == 0


def test_nothing_is_left_on_the_model(model):
    def hooks():
        return [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in model.modules()]

    plain(model, tiny_inputs("clip", PROMPTS[0]))  # transformers has hooks of its own, which stay
    before = hooks()
    recorded(model, tiny_inputs("clip", PROMPTS[0]))
    assert hooks() == before


def test_a_dense_model_is_refused():
    with pytest.raises(ValueError, match="no sparse layer"):
        RoutingRecorder(tiny_model(layers=()))


def test_embeddings_instead_of_ids_are_refused(model):
    embeddings = torch.zeros(1, 3, model.config.text_config.hidden_size)
    with RoutingRecorder(model), pytest.raises(ValueError, match="input_ids"):
        model(inputs_embeds=embeddings)


def test_a_real_checkpoint_counts_as_its_router_logits(tmp_path, monkeypatch):
    monkeypatch.setenv("MOELLAVA_CACHE", str(tmp_path))
    folder = zoo.resolve("moe-llava-tiny")
    model = MoELlavaForConditionalGeneration.from_pretrained(folder).eval()
    processor = MoELlavaProcessor.from_pretrained(folder)
    prompts = ["Is there a dog?", "Describe in detail what is seen here."]
    batch = recorded(model, processor(text=prompts, padding=True, padding_side="left", return_tensors="pt"))
    for sequence, prompt in zip(batch, prompts, strict=True):
        assert (sequence.counts == plain(model, processor(text=[prompt], return_tensors="pt"))).all()


def test_load_is_the_share_of_choices_that_an_expert_gets():
    logits = torch.tensor([[3.0, 2.0, 1.0], [3.0, 1.0, 2.0], [1.0, 3.0, 2.0], [9.0, 0.0, 0.0]])
    mask = torch.tensor([[1, 1], [1, 0]])
    assert torch.allclose(expert_load([logits], mask), torch.tensor([[2 / 3, 1 / 3, 0]]))
    assert torch.allclose(expert_load([logits], mask, top_k=2), torch.tensor([[2 / 6, 2 / 6, 2 / 6]]))
    assert torch.allclose(expert_load([logits, logits[:, :2]])[1], torch.tensor([3 / 4, 1 / 4, 0]))
