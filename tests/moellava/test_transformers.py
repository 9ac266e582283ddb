"""What transformers expects of any of its models holds for ours, on every backbone, sparse everywhere or at layer 0 only.

Each group once failed transformers' own test suite, which test_common_suite.py runs where it can be had.
"""

import copy
import inspect

import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    LlavaForConditionalGeneration,
    LlavaModel,
)

from moellava import MoELlavaConfig, MoELlavaForConditionalGeneration, MoELlavaModel
from tests.tiny_models import BACKBONES, VOCABULARY, tiny_config, tiny_inputs, tiny_model

IMAGE_TOKEN_ID = VOCABULARY.index("<image>")
PROMPTS = ("What is in <image>?", "<image> or <image>, which <image>?", "Nothing to see.")

every_model = pytest.mark.parametrize(
    ("backbone", "layers"),
    [(backbone, layers) for backbone in BACKBONES for layers in ((0, 1, 2, 3), (0,))],
    ids=[f"{backbone}-{where}" for backbone in BACKBONES for where in ("everywhere", "layer-0")],
)


def model_with_image_row(backbone: str = "llama", layers=(0, 1, 2, 3)) -> MoELlavaForConditionalGeneration:
    """A model whose embedding table and head have a row for the image token."""
    return tiny_model(backbone, layers=layers, text={"vocab_size": len(VOCABULARY)})


def generated(model, inputs, new_tokens: int = 6, **options) -> list[list[int]]:
    ids = model.generate(**inputs, min_new_tokens=new_tokens, max_new_tokens=new_tokens, eos_token_id=-1, **options)
    return ids[:, -new_tokens:].tolist()


@pytest.fixture
def encoded(monkeypatch) -> list[int]:
    """How many pictures every call of the vision tower saw."""
    seen: list[int] = []
    original = LlavaModel.get_image_features

    def get_image_features(self, pixel_values, **options):
        seen.append(len(pixel_values))
        return original(self, pixel_values=pixel_values, **options)

    monkeypatch.setattr(MoELlavaModel, "get_image_features", get_image_features)
    return seen


# 1. An image token without pictures


@every_model
def test_a_generated_image_token_is_a_token_like_any_other(backbone, layers):
    model = model_with_image_row(backbone, layers)

    def only_image_tokens(input_ids, scores):
        forced = torch.full_like(scores, float("-inf"))
        forced[:, IMAGE_TOKEN_ID] = 0.0
        return forced

    inputs = tiny_inputs("clip", *PROMPTS, padding=True)
    assert generated(model, inputs, 3, logits_processor=[only_image_tokens]) == [[IMAGE_TOKEN_ID] * 3] * len(PROMPTS)


def test_an_image_token_without_pictures_has_its_own_embedding():
    model = model_with_image_row()
    input_ids = torch.tensor([[1, IMAGE_TOKEN_ID, 2]])
    expected = model(inputs_embeds=model.get_input_embeddings()(input_ids)).logits
    torch.testing.assert_close(model(input_ids=input_ids).logits, expected)


@every_model
@pytest.mark.parametrize("assistant", ["itself", "another", "prompt lookup"])
def test_assisted_decoding_gives_what_plain_decoding_gives(backbone, layers, assistant):
    model = model_with_image_row(backbone, layers)
    inputs = tiny_inputs("clip", PROMPTS[1])
    if assistant == "prompt lookup":
        options = {"prompt_lookup_num_tokens": 2}
    else:
        helper = model if assistant == "itself" else tiny_model(backbone, seed=1, text={"vocab_size": len(VOCABULARY)})
        options = {"assistant_model": helper}
    assert generated(model, inputs, **options) == generated(model, inputs)


# 2. Arguments that transformers looks for in the signature


@pytest.mark.parametrize(
    ("ours", "llavas"),
    [(MoELlavaModel, LlavaModel), (MoELlavaForConditionalGeneration, LlavaForConditionalGeneration)],
)
def test_forward_names_every_argument_that_llava_names(ours, llavas):
    names = list(inspect.signature(llavas.forward).parameters)
    assert [name for name in inspect.signature(ours.forward).parameters if name in names] == names


@every_model
def test_beam_search_encodes_each_picture_once(backbone, layers, encoded):
    model = tiny_model(backbone, layers=layers)
    generated(model, tiny_inputs("clip", *PROMPTS, padding=True), num_beams=3)
    assert encoded == [4]


def test_several_answers_to_a_prompt_see_its_pictures():
    model, inputs = tiny_model("llama"), tiny_inputs("clip", *PROMPTS, padding=True)
    likeliest = generated(model, inputs, do_sample=True, top_k=1, num_return_sequences=2)
    assert likeliest == [answer for answer in generated(model, inputs) for _ in range(2)]


@every_model
@pytest.mark.parametrize("size", [3, 16])
def test_a_prompt_in_chunks_gives_what_it_gives_whole(backbone, layers, size):
    model = tiny_model(backbone, layers=layers)
    inputs = tiny_inputs("clip", *PROMPTS, padding=True)
    assert generated(model, inputs, prefill_chunk_size=size) == generated(model, inputs)


@pytest.mark.slow
@every_model
def test_a_forward_pass_compiles_to_one_graph(backbone, layers):
    model = tiny_model(backbone, layers=layers[:2], text={"num_hidden_layers": 2})
    inputs = tiny_inputs("clip", PROMPTS[0])
    torch.compiler.reset()
    with torch.inference_mode():
        expected = model(**inputs).logits  # in this order: transformers' first pass through a tower takes a lock
        compiled = torch.compile(model, fullgraph=True, backend="eager")(**inputs).logits
        torch.testing.assert_close(compiled, expected, rtol=0.0, atol=2e-5)


def test_picture_features_can_be_given_instead_of_pictures():
    model = tiny_model()
    inputs = dict(tiny_inputs("clip", *PROMPTS, padding=True))
    expected = model(**inputs).logits
    features = model.get_image_features(inputs.pop("pixel_values"), return_dict=True)
    torch.testing.assert_close(model(**inputs, mm_encoder_outputs={"image": features}).logits, expected)


def test_pictures_and_their_features_together_are_refused():
    model = tiny_model()
    inputs = tiny_inputs("clip", PROMPTS[0])
    features = model.get_image_features(inputs["pixel_values"], return_dict=True)
    with pytest.raises(ValueError, match="not both"):
        model(**inputs, mm_encoder_outputs={"image": features})


@pytest.mark.parametrize("layer", [-1, [-1, -2]])
def test_the_tower_s_layer_is_chosen_per_call(layer):
    config = tiny_config()
    config.vision_feature_layer = layer
    model = MoELlavaForConditionalGeneration(config).eval()
    inputs = tiny_inputs("clip", PROMPTS[0])
    expected = model(**inputs).logits
    model.config.vision_feature_layer = -2 if layer == -1 else [-2, -1]
    assert not torch.equal(model(**inputs).logits, expected)
    torch.testing.assert_close(model(**inputs, vision_feature_layer=layer).logits, expected)


# 3. Embeddings and pictures


@every_model
def test_embeddings_with_pictures_equal_ids_with_pictures(backbone, layers):
    model = model_with_image_row(backbone, layers)
    inputs = dict(tiny_inputs("clip", *PROMPTS, padding=True))
    expected, ids = model(**inputs).logits, generated(model, inputs)
    inputs["inputs_embeds"] = model.get_input_embeddings()(inputs.pop("input_ids"))
    torch.testing.assert_close(model(**inputs).logits, expected)
    assert generated(model, inputs) == ids
    generated(model, inputs, num_beams=2)


def test_ids_and_embeddings_together_are_refused():
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        tiny_model()(input_ids=torch.tensor([[1]]), inputs_embeds=torch.zeros(1, 1, 32))


# 4. Tuples instead of named outputs


@every_model
@pytest.mark.parametrize("base", [False, True], ids=["with head", "base model"])
def test_tuples_hold_what_named_outputs_hold(backbone, layers, base):
    model = tiny_model(backbone, layers=layers)
    model = model.model if base else model
    inputs = tiny_inputs("clip", PROMPTS[0])
    options = {"use_cache": False, "output_hidden_states": True}
    named, unnamed = model(**inputs, **options), model(**inputs, **options, return_dict=False)
    assert isinstance(unnamed, tuple)
    assert len(unnamed) == len(named.to_tuple())
    torch.testing.assert_close(unnamed[0], named[0])


# 5. Parallel plans: test_parallel.py. 6. The processor: test_processing.py


# What transformers knows us by


@pytest.mark.parametrize(
    ("auto_class", "model_class"),
    [
        (AutoModel, MoELlavaModel),
        (AutoModelForImageTextToText, MoELlavaForConditionalGeneration),
        (AutoModelForMultimodalLM, MoELlavaForConditionalGeneration),
    ],
)
def test_auto_classes_know_the_model(tmp_path, auto_class, model_class):
    tiny_model(layers=(0,)).save_pretrained(tmp_path)
    assert type(auto_class.from_pretrained(tmp_path)) is model_class
    assert type(auto_class.from_config(MoELlavaConfig.from_pretrained(tmp_path))) is model_class


def test_the_configuration_asks_for_router_logits_too(tmp_path):
    model = tiny_model()
    model.config.output_router_logits = True
    inputs = tiny_inputs("clip", PROMPTS[0])
    expected = copy.deepcopy(model)(**inputs, output_router_logits=True)
    output = model(**inputs)
    assert len(output.router_logits) == 2
    torch.testing.assert_close(output.aux_loss, expected.aux_loss)
    assert model(**inputs, output_router_logits=False).router_logits is None
    model.save_pretrained(tmp_path)
    assert MoELlavaConfig.from_pretrained(tmp_path).output_router_logits
