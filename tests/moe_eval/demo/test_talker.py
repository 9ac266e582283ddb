"""The nano models in conversation: the answers of `moe-eval run`, growing, with the way of every token."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from moe_eval.cli import main
from moe_eval.demo import talker as module
from moe_eval.demo.drawing import draw_way
from moe_eval.demo.talker import Talker, Turn
from moe_eval.engine.backend import Request
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.models import ModelSource
from moe_eval.errors import UserError
from moe_eval.registry import find_task

SAMPLE = find_task("textvqa").load("mini").samples[0]
QUESTION = find_task("textvqa").protocol("llava").prompt(SAMPLE)


@pytest.fixture(scope="module")
def sparse() -> Talker:
    return Talker("moe-llava-nano")


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return SAMPLE.images[0].open()


def test_it_answers_as_a_run_does(sparse, picture):
    request = Request(id="1", images=SAMPLE.images, text=QUESTION, max_new_tokens=64)
    (expected,) = GenerateBackend(ModelSource("moe-llava-nano"), 1).generate([request])
    steps = list(sparse.answer(picture, [], QUESTION))
    texts = [text for text, _ in steps]
    assert texts[-1] == expected.text
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))
    assert [way for _, way in steps[:-1]] == [None] * (len(steps) - 1)


def test_the_way_has_every_patch_and_every_token(sparse, picture):
    *_, (_, way) = sparse.answer(picture, [], QUESTION)
    kinds = [step.kind for step in way.steps]
    assert kinds.count("image") == 36
    assert kinds[-1] == "answer"
    assert way.layers == (0, 2, 4)
    assert {len(step.experts) for step in way.steps} == {3}
    assert max(expert for step in way.steps for expert in step.experts) < 4


def test_what_was_said_before_is_part_of_the_question(sparse, picture):
    *_, (_, way) = sparse.answer(picture, [Turn("Is it day?", "Yes, quite.")], "Why?")
    text = "".join(step.text for step in way.steps if step.kind == "prompt")
    assert "Is it day?" in text
    assert "Yes, quite." in text


def test_experts_that_are_off_are_on_nobody_s_way(sparse, picture):
    *_, (_, way) = sparse.answer(picture, [], QUESTION, [(0, 2), (4, 1)])
    chosen = np.array([step.experts for step in way.steps])
    assert not (chosen[:, 0] == 2).any()
    assert not (chosen[:, 2] == 1).any()
    assert sparse.experts == [(layer, expert) for layer in (0, 2, 4) for expert in range(4)]


def test_too_many_off_is_one_line_and_the_next_question_is_answered(sparse, picture):
    with pytest.raises(UserError, match="fewer experts than the 2"):
        list(sparse.answer(picture, [], QUESTION, [(0, 0), (0, 1), (0, 2)]))
    assert list(sparse.answer(None, [], "Hello"))


def test_a_dense_model_has_no_ways(picture):
    dense = Talker("llava-nano")
    *_, (text, way) = dense.answer(picture, [], QUESTION)
    assert text
    assert way is None
    assert dense.experts == []
    assert "dense" in draw_way(None, picture)


def test_the_drawing_escapes_and_names_every_patch(sparse, picture):
    *_, (_, way) = sparse.answer(picture, [], "<script>alert(1)</script>")
    html = draw_way(way, picture)
    assert "<script" not in html
    assert html.count('class="patch"') == 36
    assert "patch 36: layer 0 → " in html
    assert 'class="patch"' not in draw_way(way, None)


def test_a_model_that_does_not_fit_is_one_line(monkeypatch, capsys):
    pytest.importorskip("gradio", reason="the page is the extra [demo]")
    monkeypatch.setattr(module, "available_memory", lambda: 1_000_000)
    with pytest.raises(SystemExit) as end:
        main(["demo", "moe-llava-nano"])
    assert end.value.code == 2
    assert "take 0.0 GB, and cpu has 0.0 GB" in capsys.readouterr().err
