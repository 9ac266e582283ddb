"""A drawn answer follows from its request: the same under both engines, whatever is answered with it."""

import random
from collections import Counter
from dataclasses import replace

import pytest
import torch

from moe_eval.engine.backend import Request
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.models import ModelSource
from moe_eval.engine.prefix import backend as module
from moe_eval.engine.prefix.backend import PrefixBackend
from moe_eval.engine.sampling import perturbed
from moe_eval.mini.world import make_scenes
from tests.tiny_models import tiny_model, tiny_processor

pytestmark = pytest.mark.usefixtures("one_thread")

SCENES = make_scenes(2, 1, "test")
REQUESTS = [
    Request(f"{scene.name if scene else 'none'}.{text}#{number}", (scene,) if scene else (), text, 5, temperature=0.8)
    for scene in (*SCENES, None)
    for text in ("Is there a cat?", "Is there a dog in it?")
    for number in range(3)
]
REQUESTS += [replace(REQUESTS[0], id="greedy", temperature=0.0), replace(REQUESTS[0], id="alone", images=tuple(SCENES))]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny-sparse")
    tiny_model(layers=(0, 2)).save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return ModelSource(str(folder), device="cpu")


def by_id(answers) -> dict:
    return {answer.id: answer for answer in answers}


@pytest.fixture(scope="module")
def alone(source):
    return by_id(GenerateBackend(source, 1).generate(REQUESTS))


def test_batches_of_generate_do_not_change_it(source, alone):
    assert by_id(GenerateBackend(source, 7).generate(REQUESTS)) == alone
    assert len({answer.text for answer in alone.values()}) > 10


@pytest.mark.parametrize("slots", [1, 200, 5_000])
def test_nor_does_the_prefix_engine(source, alone, slots):
    some = random.Random(slots).sample(REQUESTS, 15)
    answers = by_id(PrefixBackend(source, slots=slots).generate(some))
    assert answers == {request.id: alone[request.id] for request in some}


def test_samples_of_a_question_compute_its_prompt_once(source, monkeypatch):
    seen = []
    real = module.answer_pack

    def answer_pack(model, pack, inputs, *others):
        seen.extend((len(row.branches), sum(len(branch.requests) for branch in row.branches)) for row in pack.rows)
        return real(model, pack, inputs, *others)

    monkeypatch.setattr(module, "answer_pack", answer_pack)
    asked = [request for request in REQUESTS if request.images == (SCENES[0],) and request.temperature]
    assert len(list(PrefixBackend(source).generate(asked))) == 6
    assert seen == [(2, 6)]


def test_routing_of_each_sample_is_recorded(source):
    recorded = by_id(PrefixBackend(source, routing=True).generate(REQUESTS))
    assert recorded == by_id(GenerateBackend(source, 1, routing=True).generate(REQUESTS))


def test_where_memory_is_short_samples_are_drawn_again(source, alone, monkeypatch):
    """A device that fails in the middle of every answer to more than two branches."""
    real = module.answer_pack

    def answer_pack(model, pack, *others):
        answers = real(model, pack, *others)
        yield next(answers)
        if sum(len(branch.requests) for row in pack.rows for branch in row.branches if branch.below is None) > 2:
            raise torch.OutOfMemoryError("no memory")
        yield from answers

    monkeypatch.setattr(module, "answer_pack", answer_pack)
    answers = list(PrefixBackend(source).generate(REQUESTS))
    assert len(answers) == len(REQUESTS)
    assert by_id(answers) == alone


def test_seeds_and_samples_differ(source, alone):
    other = by_id(PrefixBackend(source).generate([replace(request, seed=1) for request in REQUESTS]))
    assert sum(other[request.id] != alone[request.id] for request in REQUESTS) > 15
    assert other["greedy"] == alone["greedy"]


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_tokens_have_the_probabilities_of_the_softmax(temperature):
    logits = torch.tensor([0.0, 1.0, 2.0, -1.0])
    requests = [Request(str(number), (), "?", 1, temperature=temperature) for number in range(4_000)]
    counts = Counter(int(perturbed(logits, request, 3).argmax()) for request in requests)
    expected = (logits / temperature).softmax(-1)
    for token, probability in enumerate(expected.tolist()):
        deviation = (probability * (1 - probability) / len(requests)) ** 0.5
        assert abs(counts[token] / len(requests) - probability) < 4.5 * deviation
