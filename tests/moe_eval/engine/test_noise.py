"""Routing noise is a question's own: the same whatever engine answers it, and whatever is answered with it."""

import random
from dataclasses import replace

import pytest

from moe_eval.engine.backend import Request
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.models import ModelSource
from moe_eval.engine.prefix.backend import PrefixBackend
from moe_eval.mini.world import make_scenes
from tests.tiny_models import tiny_model, tiny_processor

pytestmark = pytest.mark.usefixtures("one_thread")

SCENES = make_scenes(3, 1, "test")
REQUESTS = [
    *(
        Request(f"{scene.name}.{number}", (scene,), text, max_new_tokens=4 + number)
        for number, text in enumerate(("Is there a cat?", "Is there a dog in it?", "Is there a cat?"))
        for scene in SCENES
    ),
    Request("no picture", (), "Which?", 6),
    Request("measured", (SCENES[0],), "Which?", 6, continuations=("Yes", "No", "a cat in the picture")),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny-sparse")
    tiny_model(layers=(0, 2)).save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return folder


def noisy(folder, seed: int | None = 1) -> ModelSource:
    return ModelSource(str(folder), device="cpu", router_noise_seed=seed)


def by_id(answers) -> dict:
    """Log-probabilities rounded, for they are equal to 1e-5."""
    return {
        answer.id: replace(
            answer,
            log_probabilities=answer.log_probabilities
            and {words: pytest.approx(value, abs=1e-5) for words, value in answer.log_probabilities.items()},
        )
        for answer in answers
    }


@pytest.fixture(scope="module")
def alone(folder):
    backend = GenerateBackend(noisy(folder), 1)
    return by_id(answer for request in REQUESTS for answer in backend.generate([request]))


def test_batches_of_generate_do_not_change_it(folder, alone):
    assert by_id(GenerateBackend(noisy(folder), 5).generate(REQUESTS)) == alone


@pytest.mark.parametrize("slots", [1, 100, 5_000])
def test_nor_does_the_prefix_engine(folder, alone, slots):
    some = random.Random(slots).sample(REQUESTS, 9)
    answers = by_id(PrefixBackend(noisy(folder), slots=slots).generate(some))
    assert answers == {request.id: alone[request.id] for request in some}


def test_seeds_and_questions_have_noise_of_their_own(folder, alone):
    """In probabilities, for a tiny model's tokens seldom change."""
    asked = [replace(REQUESTS[-1], id=name) for name in ("one", "other")]
    one, other = PrefixBackend(noisy(folder)).generate(asked)
    (again, _) = PrefixBackend(noisy(folder, seed=2)).generate(asked)
    (quiet, _) = PrefixBackend(noisy(folder, seed=None)).generate(asked)
    values = [answer.log_probabilities["Yes"] for answer in (one, other, again, quiet)]
    assert len(set(values)) == 4


def test_routing_is_recorded_as_it_was(folder):
    answers = by_id(PrefixBackend(noisy(folder), routing=True).generate(REQUESTS[:-1]))
    assert answers == by_id(GenerateBackend(noisy(folder), 3, routing=True).generate(REQUESTS[:-1]))
