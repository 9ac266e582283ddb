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
    with pytest.raises(UserError, match=r"line 2: the answer 'C' is none of the 2 options"):
        find_task("scienceqa").load(f"tsv:{write(tmp_path / 'b.tsv', header, [*rows[0][:7], 'C', ''])}")


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
