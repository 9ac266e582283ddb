"""Runs in which something is taken away from every question."""

import json
from pathlib import Path

import pytest
from moe_eval.tasks.pope import TASK

from moe_eval.cli import main
from moe_eval.engine.ablation import GreyImage, Pruning, find_ablation, find_pruning
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


@pytest.mark.parametrize("name", ["image=grey", "image=none"])
def test_every_question_is_asked_ablated(tmp_path, name):
    images = []
    backend = FakeBackend(lambda request: images.extend(request.images) or "Yes")
    run_task(TASK, "llava", DATA, backend, tmp_path, ablation=name)
    assert len(images) == (18 if name == "image=grey" else 0)
    assert all(isinstance(image, GreyImage) for image in images)


def test_one_picture_cannot_be_shuffled(tmp_path):
    with pytest.raises(UserError, match="needs two pictures or more"):
        run_task(TASK, "llava", DATA, FakeBackend(), tmp_path, ablation="image=shuffled")


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


def test_experts_are_named_by_layer_and_number():
    assert find_pruning("expert=0:3,expert=12:1,top_k=1") == Pruning(((0, 3), (12, 1)), 1)
    assert find_pruning("image=grey") is find_pruning(None) is None


@pytest.mark.parametrize("name", ["expert=3", "expert=0:a", "top_k=", "top_k=1,top_k=2", "expert=0:1,image=grey"])
def test_what_is_no_expert_is_one_line(name):
    with pytest.raises(UserError, match="is neither expert=LAYER:EXPERT nor top_k=N"):
        find_ablation(name)


@pytest.fixture(scope="module")
def pruned(tmp_path_factory) -> Path:
    """The runs of `moe-eval experts`."""
    out = tmp_path_factory.mktemp("experts")
    with pytest.raises(SystemExit, match="0"):
        main(["experts", "moe-llava-nano", "--tasks", "mme", "--limit", "2", "--out", str(out)])
    return out


def test_every_expert_is_taken_away_in_turn(pruned):
    found = json.loads((pruned / "moe-llava-nano.json").read_text())
    experts = [f"expert={layer}:{expert}" for layer in (0, 2, 4) for expert in range(4)]
    assert [row["ablation"] for row in found] == ["top_k=1", *experts]
    assert sum(row["share"] for row in found[1:5]) == pytest.approx(1)
    folders = sorted(path.name for path in pruned.iterdir() if path.is_dir())
    assert folders == sorted(
        ["moe-llava-nano", *(f"moe-llava-nano--{row['ablation'].replace(':', '--')}" for row in found)]
    )


def test_fewer_experts_per_token_activate_fewer_parameters(pruned):
    def parameters(ablation: str):
        return read_record(RunRecord, pruned / f"moe-llava-nano{ablation}/mme/run.json").model.parameters

    whole, top_1, without = (parameters(ablation) for ablation in ("", "--top_k=1", "--expert=0--1"))
    one_per_layer = (whole.total - whole.activated) // 2  # of four, two are idle
    assert (top_1.total, top_1.activated) == (whole.total, whole.activated - one_per_layer)
    assert without == whole


def test_it_is_the_run_that_run_makes_with_either_engine(pruned, tmp_path):
    arguments = ["run", "moe-llava-nano", "--tasks", "mme", "--limit", "2", "--ablate", "expert=4:1"]
    with pytest.raises(SystemExit, match="0"):
        main([*arguments, "--engine", "generate", "--out", str(tmp_path)])
    name = "moe-llava-nano--expert=4--1/mme"
    ours, theirs = (read_record(RunRecord, out / name / "run.json") for out in (tmp_path, pruned))
    assert ours.generation == theirs.generation
    texts = [
        sorted((line["id"], line["response"]) for line in map(json.loads, (out / name / "responses.jsonl").open()))
        for out in (tmp_path, pruned)
    ]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run", "moe-llava-nano", "--ablate", "expert=99:9"], "layer 99 is not sparse; sparse are 0, 2, 4"),
        (["run", "llava-nano", "--ablate", "top_k=1"], "model llava-nano: it has no sparse layer"),
        (
            ["run", "openai:x@http://127.0.0.1:1", "--data", "mini", "--ablate", "top_k=1"],
            "--ablate: means nothing for",
        ),
        (["experts", "llava-nano"], "has no sparse layer, so there are no experts to take away"),
        (["experts", "openai:x@http://127.0.0.1:1"], "it is not loaded here"),
    ],
)
def test_what_cannot_be_taken_away_is_said_before_anything_is_asked(arguments, complaint, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([*arguments, "--tasks", "pope", "--out", str(tmp_path / "out")])
    assert complaint in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
