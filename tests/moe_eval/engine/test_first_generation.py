"""IDEFICS, InstructBLIP and BLIP-2 as the hub has them, without a chat template: prompts, pictures, ends of answers."""

from pathlib import Path

import pytest
import torch

from moe_eval.engine.backend import Request, Response
from moe_eval.engine.generate import GenerateBackend, stop_ids
from moe_eval.engine.models import ModelSource
from moe_eval.engine.prompting import encode, render
from moe_eval.errors import UserError
from moe_eval.registry import find_task
from tests.tiny_architectures import spread_weights
from tests.tiny_first_generation import FIRST_GENERATION, ONE_PICTURE, write_tiny_first_generation

pytestmark = pytest.mark.usefixtures("one_thread")
SAMPLES = find_task("pope").load("mini").samples
FIRST, SECOND = SAMPLES[0].images, next(one.images for one in SAMPLES if one.images != SAMPLES[0].images)
PROMPTS = {
    "idefics": "Instruction: Provide an answer to the question. Use the image to answer.\n<image>Question: Why? Answer:",
    "instructblip": "<image>Why?",
    "blip-2": "<image>Question: Why? Answer:",
}


@pytest.fixture(scope="module")
def backends(tmp_path_factory) -> dict[str, GenerateBackend]:
    folder = tmp_path_factory.mktemp("first-generation")
    made = {name: write_tiny_first_generation(name, folder / name) for name in FIRST_GENERATION}
    for path in made.values():
        spread_weights(path)
    return {name: GenerateBackend(ModelSource(str(path)), batch_size=4) for name, path in made.items()}


@pytest.mark.parametrize("name", FIRST_GENERATION)
def test_a_batch_answers_as_its_questions_alone(backends, name):
    asked = [
        Request("short", FIRST, "Why?", max_new_tokens=4),
        Request("long", SECOND, "Which of the animals in the picture is it?", max_new_tokens=4),
    ]
    together = list(backends[name].generate(asked))
    alone = [answer for request in asked for answer in backends[name].generate([request])]
    assert together == alone
    assert all(isinstance(answer, Response) and answer.tokens for answer in together)


@pytest.mark.parametrize(("name", "prompt"), PROMPTS.items())
def test_prompts_are_those_of_the_models_cards(backends, name, prompt):
    assert render(backends[name].loaded[1], Request("q", FIRST, "Why?", max_new_tokens=1), 1) == prompt


def test_a_tokenizer_with_ends_of_utterances_is_asked_in_turns(tmp_path):
    source = ModelSource(str(write_tiny_first_generation("idefics", tmp_path, instruct=True)))
    model, processor = source.load()
    prompt = render(processor, Request("q", FIRST, "Why?", max_new_tokens=1), 1)
    assert prompt == "User:<image>Why?<end_of_utterance>\nAssistant:"
    assert stop_ids(model, processor.tokenizer) == {2, processor.tokenizer.convert_tokens_to_ids("<end_of_utterance>")}


def test_pictures_of_idefics_stand_in_the_prompt_between_their_tokens(backends):
    from PIL import Image

    processor = backends["idefics"].loaded[1]
    pictures = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    inputs = encode(processor, [(Request("q", FIRST, "Why?", max_new_tokens=1), pictures)])
    fake, picture = (processor.tokenizer.convert_tokens_to_ids(one) for one in ("<fake_token_around_image>", "<image>"))
    special = [token for token in inputs["input_ids"][0].tolist() if token in (fake, picture)]
    assert special == [fake, picture, fake, picture, fake]
    assert inputs["pixel_values"].shape[:2] == (1, 2)


@pytest.mark.parametrize("name", ONE_PICTURE)
@pytest.mark.parametrize("images", [(), (*FIRST, *SECOND)], ids=["none", "two"])
def test_another_number_of_pictures_than_one_is_refused_in_one_line(backends, name, images):
    with pytest.raises(UserError, match="about exactly one picture") as error:
        list(backends[name].generate([Request("q", images, "Why?", max_new_tokens=1)]))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["idefics", "instructblip", "blip-2"])
def test_given_answers_are_as_likely_as_in_one_prompt_with_them(backends, name):
    request = Request("q", FIRST, "Why?", max_new_tokens=1, continuations=("so", "not"))
    (answer,) = backends[name].generate([request])
    model, processor = backends[name].loaded
    [picture] = [image.open() for image in FIRST]
    for words, expected in answer.log_probabilities.items():
        question = encode(processor, [(request, [picture])])  # which is all that InstructBLIP's Q-Former reads
        inputs = encode(processor, [(request, [picture])], beginnings=[f" {words}"])
        inputs.update({name: value for name, value in question.items() if name.startswith("qformer")})
        with torch.inference_mode():
            chosen = model(**inputs).logits[0, :-1].log_softmax(-1)[range(-1 - len(words), 0)]
        ids = inputs["input_ids"][0, -1 - len(words) :]
        assert chosen.gather(1, ids[:, None]).sum().item() == pytest.approx(expected, abs=1e-4)


def test_given_answers_of_a_model_with_an_encoder_are_refused(backends):
    request = Request("q", FIRST, "Why?", max_new_tokens=1, continuations=("so", "not"))
    with pytest.raises(UserError, match="with an encoder"):
        list(backends["blip-2-t5"].generate([request]))


def test_a_template_of_the_models_own_is_kept(tmp_path: Path):
    folder = write_tiny_first_generation("blip-2", tmp_path)
    without = ModelSource(str(folder)).describe("generate").processing_fingerprint
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert ModelSource(str(folder)).template is None
    assert ModelSource(str(folder)).describe("generate").processing_fingerprint != without
