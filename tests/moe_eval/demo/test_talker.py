"""The nano models in conversation: the answers of `moe-eval run`, growing, with the way of every token."""

from itertools import pairwise

import pytest
from PIL import Image

from moe_eval.cli import main
from moe_eval.demo.drawing import draw_way
from moe_eval.demo.talker import Talker, Turn
from moe_eval.engine.backend import Request
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.models import ModelSource
from moe_eval.errors import UserError
from moe_eval.mini.captions import CAPTION_REQUEST
from moe_eval.registry import find_task

SAMPLE = find_task("textvqa").load("mini").samples[0]
QUESTION = find_task("textvqa").protocol("llava").prompt(SAMPLE)


@pytest.fixture(scope="module")
def sparse() -> Talker:
    return Talker(ModelSource("moe-llava-nano"))


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


def test_with_experts_off_it_answers_as_an_ablated_run_does(sparse, picture):
    off = [(layer, expert) for layer in (0, 2, 4) for expert in range(4)]
    source = ModelSource("moe-llava-nano", pruning=",".join(f"expert={layer}:{expert}" for layer, expert in off))
    request = Request(id="1", images=SAMPLE.images, text=CAPTION_REQUEST, max_new_tokens=64)
    (expected,) = GenerateBackend(source, 1).generate([request])
    *_, (whole, _) = sparse.answer(picture, [], CAPTION_REQUEST)
    *_, (text, way) = sparse.answer(picture, [], CAPTION_REQUEST, off)
    assert text == expected.text != whole
    assert way.off == set(off)
    assert 'class="e0 off"' in draw_way(way, picture)
    *_, (again, way) = sparse.answer(picture, [], CAPTION_REQUEST)
    assert again == whole
    assert " off" not in draw_way(way, picture)


def test_experts_are_those_of_the_sparse_layers(sparse):
    assert sparse.experts == [(layer, expert) for layer in (0, 2, 4) for expert in range(4)]


def test_what_fails_is_one_line_and_the_next_question_is_answered(sparse, picture):
    with pytest.raises(UserError, match="layer 1 is not sparse"):
        list(sparse.answer(picture, [], QUESTION, [(1, 0)]))
    assert list(sparse.answer(None, [], "Hello"))


def test_a_dense_model_has_no_ways(picture):
    dense = Talker(ModelSource("llava-nano"))
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
    monkeypatch.setattr("moe_eval.engine.loading.free_memory", lambda *where: ("the memory", 1_000_000, 0))
    with pytest.raises(SystemExit) as end:
        main(["demo", "moe-llava-nano"])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "model moe-llava-nano" in said
    assert "the memory" in said
