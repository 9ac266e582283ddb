"""Answers of several runs side by side."""

import base64
import gzip
import json

from moe_eval.report.labels import run_labels
from moe_eval.report.pictures import Album
from moe_eval.report.questions import gold_text, group_runs, pack_set
from moe_eval.report.runs import find_run_folders, read_run, read_runs
from tests.moe_eval.commands.test_submit import make_mmvet
from tests.moe_eval.report.conftest import QUESTIONS, answer_pope


def unpack(text: str):
    return json.loads(gzip.decompress(base64.b64decode(text)))


def packed(folder, limit: int = 100) -> tuple[dict, list[dict]]:
    runs, _ = read_runs(find_run_folders([folder]))
    (questions,) = group_runs(runs)
    one = pack_set(questions, Album(), limit)
    return one, [row for block in one["blocks"] for row in unpack(block)]


def test_rows_are_the_questions_with_all_answers(runs):
    one, rows = packed(runs)
    sample = read_run(runs / "rambler" / "pope").dataset.samples[2]
    assert (one["runs"], one["size"], len(rows)) == (["rambler", "yes-sayer"], QUESTIONS, QUESTIONS)
    row = rows[2]
    assert (row["id"], row["question"], row["gold"]) == (sample.id, sample.question, sample.gold)
    assert row["answers"] == ["I think so. No doubt.", "Yes"]
    assert list(row["prompts"].values()) == [[0, 1]]
    assert row["facts"] == {"category": "adversarial"}
    assert row["pictures"] == [0]


def test_columns_hold_what_each_answer_is_worth_under_each_protocol(runs):
    one, rows = packed(runs)
    worths = unpack(one["columns"])["worths"]
    llava = one["protocols"].index("llava")
    says_yes = one["runs"].index("yes-sayer")
    assert worths[says_yes][llava] == [1.0 if row["gold"] == "yes" else 0.0 for row in rows]
    assert {len(column) for of_run in worths for column in of_run} == {QUESTIONS}


def test_long_sets_are_cut_into_blocks(runs, monkeypatch):
    monkeypatch.setattr("moe_eval.report.questions.BLOCK", 10)
    one, rows = packed(runs)
    assert [len(unpack(block)) for block in one["blocks"]] == [10, 10, 10, 6]
    assert len({row["id"] for row in rows}) == QUESTIONS


def test_without_data_the_folder_still_gives_answers_and_gold(runs):
    for file in runs.glob("*/pope/run.json"):
        record = json.loads(file.read_text())
        file.write_text(json.dumps({**record, "data": {**record["data"], "source": "llava:/nowhere"}}))
    _, rows = packed(runs)
    assert len(rows) == QUESTIONS
    assert rows[0] | {"pictures": 0} == {
        "id": "1",
        "group": rows[0]["group"],
        "question": "",
        "prompts": {},
        "gold": "yes",
        "facts": {"category": "adversarial"},
        "pictures": 0,
        "names": [],
        "answers": ["No", "Yes"],
        "readings": ["no", "yes"],
    }


def test_runs_on_other_questions_are_another_set(runs, tmp_path):
    make_mmvet(tmp_path, 3)
    found, _ = read_runs([*find_run_folders([runs]), tmp_path / "run"])
    assert [(one.task, len(one.runs)) for one in group_runs(found)] == [("mmvet", 1), ("pope", 2)]


def test_two_runs_of_one_model_are_told_apart(runs, tmp_path):
    again = answer_pope(tmp_path / "again", "rambler", lambda request: "No")
    labels = run_labels([read_run(runs / "rambler" / "pope"), read_run(again)])
    assert len(set(labels)) == 2
    assert all(label.startswith("rambler (") for label in labels)


def test_gold_is_text_for_people():
    assert gold_text(("yes", "yes", "no")) == "yes (2), no (1)"
    assert gold_text(None, [{}, {"gold": "B"}]) == "B"
    assert gold_text(None, [{}]) is None
