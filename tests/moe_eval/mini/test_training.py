"""Training data: LLaVA's format, ideal answers, nothing of the test sets, the same bytes again."""

import json
from pathlib import Path

import pytest

from moe_eval.mini.patches import VOCABULARIES
from moe_eval.mini.training import main, write_training_data
from moe_eval.registry import find_task, own_tasks

SCENES = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("nano")
    write_training_data(folder, SCENES)
    return folder


def items(folder: Path, name: str) -> list[dict]:
    return json.loads((folder / f"{name}.json").read_text())


@pytest.mark.parametrize("name", ["language", "captions", "instructions", "mix"])
def test_items_are_llavas(folder, name):
    for item in items(folder, name):
        assert [turn["from"] for turn in item["conversations"]] == ["human", "gpt"] * (len(item["conversations"]) // 2)
        shown = [turn["value"].count("<image>") for turn in item["conversations"]]
        assert shown == [int("image" in item)] + [0] * (len(shown) - 1)
        assert "image" not in item or (folder / "images" / item["image"]).is_file()


def test_both_stages_hold_questions_of_every_benchmark(folder):
    for name in own_tasks():
        task = find_task(name)
        asked = {task.protocol("llava").prompt(sample) for sample in task.sources["mini"](f"train:{SCENES}").samples}
        for stage in ("instructions", "mix"):
            turns = {
                turn["value"].removeprefix("<image>\n") for i in items(folder, stage) for turn in i["conversations"]
            }
            assert asked & turns, (name, stage)


def test_the_language_model_reads_without_pictures(folder):
    read = items(folder, "language")
    assert len(read) == 2 * SCENES
    assert not any("image" in item for item in read)


def test_no_item_is_in_both_stages(folder):
    ids = [{item["id"] for item in items(folder, name)} for name in ("instructions", "mix")]
    assert not ids[0] & ids[1]


def test_every_patch_has_its_labels(folder):
    for line in (folder / "patches.jsonl").read_text().splitlines():
        patches = json.loads(line)["patches"]
        assert patches.keys() == VOCABULARIES.keys()
        assert all(len(labels) == 36 for labels in patches.values())


def test_the_same_seed_gives_the_same_bytes(folder, tmp_path):
    write_training_data(tmp_path, SCENES)
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert all((tmp_path / path).read_bytes() == (folder / path).read_bytes() for path in files)


def test_what_is_there_already_is_left_alone(folder, capsys):
    (folder / "images" / "marker").write_text("")
    before = (folder / "mix.json").stat().st_mtime_ns
    write_training_data(folder, SCENES)
    assert "there already" in capsys.readouterr().out
    assert (folder / "mix.json").stat().st_mtime_ns == before
    (folder / "images" / "marker").unlink()


def test_bad_input_gets_one_line(tmp_path, capsys):
    assert main([str(tmp_path), "--scenes", "0"]) == 2
    assert capsys.readouterr().err == "moe_eval.mini.training: --scenes 0: at least one is needed\n"
