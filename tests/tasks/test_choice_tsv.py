"""MME, ScienceQA and MM-Vet from VLMEvalKit's TSV files (MMBench's have their own tests in test_mmbench)."""

import base64
import csv
from pathlib import Path

import pytest

from moe_eval.errors import UserError
from moe_eval.registry import find_task
from tests.tables import encoded_picture


def write(path: Path, header: str, *rows: list[str]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, delimiter="\t", lineterminator="\n").writerows([header.split(), *rows])
    return path


@pytest.fixture
def picture() -> str:
    return base64.b64encode(encoded_picture()).decode()


def test_mme_pairs_share_the_picture_of_the_first_row(tmp_path, picture):
    header = "index image image_path question answer category"
    first = ["0", picture, "OCR/0001.jpg", "Is it A? Please answer yes or no.", "Yes", "OCR"]
    second = ["1", "0", "OCR/0001.jpg", "Is it B? Please answer yes or no.", "No", "OCR"]
    samples = find_task("mme").load(f"tsv:{write(tmp_path / 'MME.tsv', header, first, second)}").samples
    assert [(one.id, one.gold) for one in samples] == [
        ("OCR/0001.jpg: Is it A?", "yes"),
        ("OCR/0001.jpg: Is it B?", "no"),
    ]
    assert samples[0].images[0].open().size == samples[1].images[0].open().size
    with pytest.raises(UserError, match=r"OCR/0001\.jpg has 1 question, not a pair of two"):
        find_task("mme").load(f"tsv:{write(tmp_path / 'half.tsv', header, first)}")


def test_scienceqa_takes_the_options_that_are_there(tmp_path, picture):
    header = "index image question hint A B C answer category"
    rows = [
        ["7", picture, "Which?", "A hint.", "x", "y", "", "B", "physics"],
        ["8", "7", "Who?", "", "x", "y", "z", "C", ""],
    ]
    samples = find_task("scienceqa").load(f"tsv:{write(tmp_path / 'a.tsv', header, *rows)}").samples
    assert [one.meta["choices"] for one in samples] == [("x", "y"), ("x", "y", "z")]
    prompt = find_task("scienceqa").protocol("vlmevalkit").prompt(samples[0])
    assert prompt == "A hint.\nWhich?\nA. x\nB. y\nAnswer with the option's letter from the given choices directly."
    with pytest.raises(UserError, match=r"line 2: the answer 'C' is none of the 2 options \(A, B\)"):
        find_task("scienceqa").load(f"tsv:{write(tmp_path / 'b.tsv', header, [*rows[0][:7], 'C', ''])}")


@pytest.mark.parametrize("nothing", ["", "None", "NA", "nan"])
def test_scienceqa_letters_belong_to_their_columns(tmp_path, picture, nothing):
    header = "index image question A B C answer"
    path = write(tmp_path / "a.tsv", header, ["7", picture, "Which?", nothing, "y", "z", "B"])
    (one,) = find_task("scienceqa").load(f"tsv:{path}").samples
    assert (one.gold, one.meta["choices"]) == ("B", (None, "y", "z"))
    for name, protocol in find_task("scienceqa").protocols.items():
        assert "B. y\nC. z\n" in protocol.prompt(one), name
        assert protocol.score(one, "B")["correct"] == 1, name
    assert find_task("scienceqa").protocol("vlmevalkit").score(one, "z!")["prediction"] == "C"
    gold_is_empty = write(tmp_path / "b.tsv", header, ["7", picture, "Which?", nothing, "y", "z", "A"])
    with pytest.raises(UserError, match=r"b\.tsv line 2: the answer 'A' is none of the 2 options \(B, C\)"):
        find_task("scienceqa").load(f"tsv:{gold_is_empty}")


def test_scienceqa_has_as_many_options_as_columns(tmp_path, picture):
    path = write(tmp_path / "a.tsv", "index image question A B C D E F G answer", ["7", picture, "?", *"tuvwxyz", "G"])
    (one,) = find_task("scienceqa").load(f"tsv:{path}").samples
    assert (one.gold, one.meta["choices"]) == ("G", tuple("tuvwxyz"))


def test_mmbench_letters_belong_to_their_columns_and_none_is_dropped(tmp_path, picture):
    header = "index image question A B C D E answer"
    row = ["1", picture, "Which?", "None", "y", "", "z", "", "D"]
    (one,) = find_task("mmbench").load(f"tsv:{write(tmp_path / 'a.tsv', header, row)}").samples
    assert (one.gold, one.meta["options"]) == ("D", {"B": "y", "D": "z"})
    row[-2] = "fifth"
    with pytest.raises(UserError, match=r"b\.tsv line 2: there is an option E, and MMBench's end with D"):
        find_task("mmbench").load(f"tsv:{write(tmp_path / 'b.tsv', header, row)}")


def test_mmvet_takes_its_capabilities_from_the_category(tmp_path, picture):
    header = "index image question answer category"
    path = write(tmp_path / "MMVet.tsv", header, ["0", picture, "x?", "1<OR>2", "ocr,math"])
    (one,) = find_task("mmvet").load(f"tsv:{path}").samples
    assert (one.id, one.gold, one.meta["capabilities"]) == ("v1_0", "1<OR>2", ("ocr", "math"))


@pytest.mark.parametrize("task", ["mme", "scienceqa", "mmbench", "mmvet"])
def test_a_missing_column_is_named(tmp_path, task, picture):
    path = write(tmp_path / "a.tsv", "index image prompt", ["0", picture, "?"])
    with pytest.raises(UserError, match=r"a\.tsv: no column .*question.* \(it has index, image, prompt\)"):
        find_task(task).load(f"tsv:{path}")
