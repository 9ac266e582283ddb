"""Runs in which something is taken away from every question."""

from pathlib import Path

import pytest
from moe_eval.tasks.pope import TASK

from moe_eval.engine.ablation import ABLATIONS, GreyImage, find_ablation
from moe_eval.engine.backend import Request
from moe_eval.errors import UnreadableImageError, UserError
from moe_eval.images import NamedImage
from moe_eval.runs.plan import run_folder
from moe_eval.runs.records import RunRecord, read_record
from tests.asking import run_task
from tests.fake_backend import FakeBackend

DATA = TASK.load("mini").first(18)


def test_grey_pictures_keep_name_and_size():
    image = DATA.samples[0].images[0]
    grey = GreyImage(image)
    opened = grey.open()
    assert (grey.name, opened.size) == (image.name, image.open().size)
    assert opened.getcolors() == [(opened.width * opened.height, (128, 128, 128))]


def test_a_picture_that_cannot_be_opened_stays_unreadable():
    with pytest.raises(UnreadableImageError, match=r"gone\.jpg"):
        GreyImage(NamedImage("gone.jpg")).open()


def test_without_images_the_text_places_none():
    asked = find_ablation("image=none")(Request("1", DATA.samples[0].images, "<image>\nIs it?", 4))
    assert (asked.images, asked.text) == ((), "Is it?")


def test_an_unknown_ablation_is_one_line():
    with pytest.raises(UserError, match="unknown ablation 'image=gray': did you mean image=grey"):
        find_ablation("image=gray")


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_question_is_asked_ablated(tmp_path, name):
    images = []
    backend = FakeBackend(lambda request: images.extend(request.images) or "Yes")
    run_task(TASK, "llava", DATA, backend, tmp_path, ablation=name)
    assert len(images) == (18 if name == "image=grey" else 0)
    assert all(isinstance(image, GreyImage) for image in images)


def test_the_run_records_what_was_taken_away(tmp_path):
    run_task(TASK, "llava", DATA, FakeBackend(), tmp_path / "grey", ablation="image=grey")
    run_task(TASK, "llava", DATA, FakeBackend(), tmp_path / "whole")
    grey, whole = (read_record(RunRecord, tmp_path / name / "run.json") for name in ("grey", "whole"))
    assert whole.differences(grey) == ["generation.ablation: None → image=grey"]


def test_ablated_answers_are_not_taken_for_others(tmp_path):
    run_task(TASK, "llava", DATA, FakeBackend(), tmp_path)
    with pytest.raises(UserError, match=r"generation\.ablation: None → image=grey"):
        run_task(TASK, "llava", DATA, FakeBackend(), tmp_path, ablation="image=grey")


def test_ablated_runs_have_a_folder_of_their_own():
    assert run_folder(Path("runs"), "mine", "pope", "image=grey") == Path("runs/mine--image=grey/pope")
