"""Log-probabilities of given answers: both engines agree, with each other and with what is generated."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoProcessor

from moe_eval.engine.backend import Request
from moe_eval.engine.function import FunctionBackend
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.likelihood import continuation_ids, most_likely
from moe_eval.engine.models import ModelSource
from moe_eval.engine.prefix.backend import PrefixBackend
from moe_eval.errors import UserError
from moe_eval.mini.world import make_scenes
from moe_eval.registry import find_task
from moellava.convert import convert
from moellava.peers.qwen_vl.chat import TEMPLATES
from tests.tiny_architectures import write_tiny
from tests.tiny_llava import save_tiny_llava
from tests.tiny_models import tiny_model, tiny_processor
from tests.tiny_vlms import ARCHITECTURES
from tests.upstream_checkpoints import ORACLE

pytestmark = pytest.mark.usefixtures("one_thread")

SCENES = make_scenes(3, 1, "test")
SEVERAL_TOKENS = ("Yes", "No", "a cat in the picture", "a cat in the garden", "a cat")
REQUESTS = [
    *(
        Request(f"{scene.name}.{text}.{len(answers)}", (scene,), text, 4, continuations=answers)
        for scene in SCENES
        for text in ("Is there a cat?", "Is there a dog?\nAnswer shortly.")
        for answers in (("Yes", "No"), SEVERAL_TOKENS)
    ),
    Request("one question about its picture", tuple(SCENES[:2]), "Which?", 4, continuations=SEVERAL_TOKENS),
    Request("no picture", (), "Which?", 4, continuations=("A", "B", "C")),
]


def by_id(answers) -> dict:
    return {answer.id: answer for answer in answers}


def check_equal(one: dict, other: dict) -> None:
    assert one.keys() == other.keys() == {request.id for request in REQUESTS}
    for name, answer in one.items():
        assert answer.log_probabilities == pytest.approx(other[name].log_probabilities, abs=1e-5, rel=1e-6)
        assert answer.text == max(answer.log_probabilities, key=answer.log_probabilities.get)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return ModelSource(str(save_tiny_llava(tmp_path_factory.mktemp("tiny-llava"))), device="cpu")


@pytest.fixture(scope="module")
def plain(source):
    return by_id(GenerateBackend(source).generate(REQUESTS))


@pytest.mark.parametrize("slots", [None, 1])
def test_the_prefix_engine_measures_what_plain_passes_do(source, plain, slots):
    check_equal(by_id(PrefixBackend(source, slots=slots).generate(REQUESTS)), plain)


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "qwen3_vl"])
def test_on_architectures_of_transformers(architecture, tmp_path):
    source = ModelSource(str(write_tiny(architecture, tmp_path)), device="cpu")
    check_equal(by_id(PrefixBackend(source).generate(REQUESTS)), by_id(GenerateBackend(source).generate(REQUESTS)))


def test_too_little_memory_is_one_line_that_names_the_question(source, monkeypatch):
    def fails(*_):
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr("moe_eval.engine.generate.plain_likelihood", fails)
    with pytest.raises(UserError, match="cpu has too little memory for question no picture and its given answers"):
        list(GenerateBackend(source).generate(REQUESTS[-1:]))


def test_a_question_to_answer_and_one_to_measure_share_a_picture(source, plain):
    free = [replace(request, id=f"free {request.id}", continuations=()) for request in REQUESTS]
    answers = by_id(PrefixBackend(source).generate([*REQUESTS, *free]))
    check_equal({name: answer for name, answer in answers.items() if not name.startswith("free")}, plain)
    expected = by_id(GenerateBackend(source, 1).generate(free))
    assert {name: answer for name, answer in answers.items() if name.startswith("free")} == expected


def test_they_are_the_probabilities_of_the_tokens_of_the_whole_text(tmp_path):
    """Without any of our own code: the conversation as the chat template writes it, through the model."""
    tiny_model(layers=(0, 2)).save_pretrained(tmp_path)
    tiny_processor().save_pretrained(tmp_path)
    source, request = ModelSource(str(tmp_path), device="cpu"), REQUESTS[-1]
    (measured,) = PrefixBackend(source).generate([request])
    model, processor = source.load()
    for words in request.continuations:
        turns = [
            {"role": "user", "content": [{"type": "text", "text": request.text}]},
            {"role": "assistant", "content": [{"type": "text", "text": words}]},
        ]
        ids = processor.apply_chat_template(turns, tokenize=True, return_tensors="pt", return_dict=True)["input_ids"]
        asked = processor.apply_chat_template(
            turns[:1], add_generation_prompt=True, tokenize=True, return_tensors="pt", return_dict=True
        )["input_ids"]
        own = continuation_ids(processor, request)[words]
        start = asked.shape[1]
        assert tuple(ids[0, start : start + len(own)].tolist()) == own
        with torch.inference_mode():
            logits = model(input_ids=ids).logits[0].log_softmax(-1)
        total = sum(logits[start - 1 + place, token].item() for place, token in enumerate(own))
        assert measured.log_probabilities[words] == pytest.approx(total, abs=1e-5, rel=1e-6)


def test_the_blank_before_an_answer_is_the_templates():
    """MoE-LLaVA's writes "ASSISTANT: Yes" and asks with "ASSISTANT:"."""
    processor = tiny_processor()
    (ids,) = continuation_ids(processor, replace(REQUESTS[0], continuations=("Yes",))).values()
    assert processor.tokenizer.decode(ids) == " Yes"


def test_of_equally_likely_answers_the_first_counts():
    request = Request("1", (), "?", 4, continuations=("No", "Yes"))
    assert most_likely(request, {"Yes": -1.0, "No": -1.0}).text == "No"


def test_a_function_has_no_probabilities():
    with pytest.raises(UserError, match="no log-probabilities"):
        list(FunctionBackend(lambda images, text: "Yes", "mine").generate([REQUESTS[-1]]))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pope", "mme", "mmbench", "scienceqa"])
def test_the_nano_model_measures_what_it_generates(name):
    source, task = ModelSource("moe-llava-nano", device="cpu"), find_task(name)
    protocol = task.protocol("likelihood")
    asked = [
        Request(
            sample.id, sample.images, protocol.prompt(sample), 8, continuations=tuple(protocol.continuations(sample))
        )
        for sample in task.load("mini").first(40).samples
    ]
    prefix, plain = (by_id(backend(source).generate(asked)) for backend in (PrefixBackend, GenerateBackend))
    generated = by_id(PrefixBackend(source).generate([replace(request, continuations=()) for request in asked]))
    for request in asked:
        measured = prefix[request.id].log_probabilities
        assert measured == pytest.approx(plain[request.id].log_probabilities, abs=1e-5, rel=0)
        assert prefix[request.id].text == generated[request.id].text


def test_letters_follow_on_qwen_vls_prompt_after_a_blank(tmp_path):
    """Its authors measure " A", " B", … after "Answer:"."""
    convert(ORACLE / "qwen-vl" / "checkpoint", tmp_path / "qwen-vl")
    processor = AutoProcessor.from_pretrained(tmp_path / "qwen-vl")
    processor.chat_template = TEMPLATES["raw"]
    task = find_task("scienceqa")
    sample, protocol = task.load("mini").samples[0], task.protocol("qwen-vl")
    letters = protocol.continuations(sample)
    found = continuation_ids(processor, Request("q", (), protocol.prompt(sample), 1, continuations=letters))
    assert found == {letter: tuple(processor.tokenizer(f" {letter}")["input_ids"]) for letter in letters}
