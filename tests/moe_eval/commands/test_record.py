"""Numbers that only a server can give: pending in tables until `moe-eval record` takes them."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from moe_eval.runs.recorded import read_recorded
from tests.moe_eval.test_cli import call

DATA = Path(__file__).parents[2] / "data"
QUESTIONS = DATA / "llava" / "vizwiz" / "llava_test.jsonl"


def answer_vizwiz(capsys, out: Path, text: str = "Black", *options: str) -> Path:
    """A run of the model `mine` on VizWiz test, whose answers are hidden."""
    answers = out.parent / "answers.jsonl"
    ids = [json.loads(line)["question_id"] for line in QUESTIONS.read_text().splitlines()]
    answers.write_text("".join(json.dumps({"question_id": one, "text": text}) + "\n" for one in ids))
    arguments = ["vizwiz", answers, "--model", "mine", "--data", f"llava:{QUESTIONS.parent}", "--out", out]
    assert call(capsys, "import", *arguments, *options)[0] == 0
    return out / "mine" / "vizwiz"


def cells(capsys, runs: Path) -> dict[str, str]:
    """The only row of the main table."""
    arguments = ["table", runs, "--layout", "main", "--published", "none", "--format", "csv"]
    (row,) = csv.DictReader(io.StringIO(call(capsys, *arguments)[1]))
    return row


@pytest.fixture
def run(capsys, tmp_path):
    return answer_vizwiz(capsys, tmp_path / "runs")


def test_a_hidden_split_is_pending(capsys, run):
    assert cells(capsys, run)["Image QA VizWiz"] == "pending"
    shown = call(capsys, "table", run, "--layout", "main", "--published", "none", "--format", "md")[1]
    assert re.search(r"\| +pending \[\d+\] \|", shown)
    assert re.search(r"\d+\. pending: a server", shown)


def test_the_servers_number_takes_its_place_and_is_marked(capsys, run):
    code, out, _ = call(capsys, "record", run, 53.6)
    assert code == 0
    assert out.startswith("mine, vizwiz: accuracy (%) 53.6, from https://eval.ai/")
    row = cells(capsys, run)
    assert row["Image QA VizWiz"] == "53.6"
    assert "mine, Image QA VizWiz: the server's number, not computed here (https://eval.ai/" in row["notes"]


def test_the_source_may_be_named_and_the_number_corrected(capsys, run):
    call(capsys, "record", run, 53.6)
    out = call(capsys, "record", run, 53.7, "--source", "EvalAI 12345")[1]
    assert "53.7 instead of 53.6, from EvalAI 12345" in out
    assert read_recorded(run).source == "EvalAI 12345"


def test_a_recorded_number_holds_for_its_answers_only(capsys, run):
    call(capsys, "record", run, 53.6)
    path = run / "responses.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(reversed(lines)))
    assert cells(capsys, run)["Image QA VizWiz"] == "53.6"
    path.write_text("".join([lines[0].replace("Black", "White"), *lines[1:]]))
    assert cells(capsys, run)["Image QA VizWiz"] == "pending"


def test_new_answers_are_pending_again(capsys, run):
    call(capsys, "record", run, 53.6)
    answer_vizwiz(capsys, run.parents[1], "White", "--fresh")
    assert cells(capsys, run)["Image QA VizWiz"] == "pending"


def test_the_tasks_of_a_model_are_one_row_with_notes_by_task(capsys, run):
    released = DATA / "llava15_13b" / "pope.jsonl.gz"
    call(capsys, "import", "pope", released, "--model", "mine", "--out", run.parents[1])
    row = cells(capsys, run.parents[1])
    assert (row["Image QA VizWiz"], row["Toolkit POPE"][:5]) == ("pending", "85.94")
    assert re.search(
        r"mine: answers imported \(llava, pope.jsonl.gz\), scored here, protocol llava: POPE ", row["notes"]
    )
    assert re.search(r"not the data that published numbers are about .*: VizWiz ", row["notes"])


def test_published_rows_of_nine_benchmarks_make_a_table(capsys, run):
    shown = call(capsys, "table", run, "--layout", "main", "--format", "md", "--published", "all")[1]
    assert re.search(r"\| MoE-LLaVA-2.7Bx4-Top2 +\| Phi2-2.7B .*\b77\.6\b.*\b61\.4\b.*\b43\.9\b.*\b68\.5\b", shown)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("101", "accuracy (%) cannot be 101"),
        ("nan", "accuracy (%) cannot be nan"),
        ("high", "should be a valid number"),
    ],
)
def test_a_value_that_is_none_is_one_line(capsys, run, value, message):
    code, _, err = call(capsys, "record", run, value)
    assert code == 2
    assert re.fullmatch(r"moe-eval: [^\n]+\n", err)
    assert message in err


def test_a_number_of_our_own_is_not_replaced(capsys, tmp_path):
    released = DATA / "llava15_13b" / "pope.jsonl.gz"
    call(capsys, "import", "pope", released, "--model", "mine", "--out", tmp_path)
    code, _, err = call(capsys, "record", tmp_path / "mine" / "pope", 86)
    assert code == 2
    assert "pope was scored here (mean F1 (%) 85.95); only a pending number can be recorded" in err


def test_a_folder_without_a_run_is_named(capsys, tmp_path):
    assert "run.json: cannot be read" in call(capsys, "record", tmp_path, 50)[2]
