"""Which labels questions have, and what experts get under each."""

import numpy as np
import pytest
from moe_eval.tasks.pope import TASK

from moe_eval.figures.question_loads import QuestionLoads, read_question_loads
from moe_eval.figures.specialisation import label_sets, rows
from moe_eval.runs.plan import run_folder
from tests.asking import run_task
from tests.moe_eval.figures.test_routed_figures import record
from tests.moe_eval.runs.test_routing import RoutedBackend

ONE_LAYER = record(layers=[3], counts={"image": [[[8, 8]]], "text": [[[6, 6]]]})


def loads(scores, text):
    return QuestionLoads(scores, np.arange(len(scores)), {"text": [np.array(text, dtype=float)]})


def test_questions_are_told_apart_by_type_by_worth_and_by_yes_or_no():
    scores = [
        {"structural": "verify", "prediction": "yes", "correct": 1},
        {"structural": "query", "prediction": "red", "correct": 0},
        {"structural": "verify", "prediction": "no", "correct": 0},
    ]
    assert label_sets(scores) == {
        "structural": ["verify", "query", "verify"],
        "correct": ["right", "wrong", "wrong"],
        "answer": ["yes", None, "no"],
    }


def test_labels_that_do_not_differ_tell_nothing_apart():
    assert label_sets([{"category": "a", "prediction": "yes", "score": 0.6}, {"category": "a", "score": 0.9}]) == {}
    assert label_sets([{"category": "a", "prediction": "x"}, {"category": "b"}]) == {"category": ["a", "b"]}
    assert label_sets([{"score": 0.5}, {"score": 0.6}]) == {"correct": ["wrong", "right"]}


def test_shares_are_of_the_labelled_questions():
    """The third question says neither yes nor no; the fourth is as the first."""
    scores = [{"prediction": answer} for answer in ("yes", "no", "red", "yes")]
    found = rows(ONE_LAYER, loads(scores, [[3, 1], [0, 4], [9, 9], [3, 1]]))
    assert [(row.by, row.label, row.questions, row.layer, row.expert, row.choices) for row in found] == [
        ("answer", "no", 1, 3, 0, 0),
        ("answer", "no", 1, 3, 1, 4),
        ("answer", "yes", 2, 3, 0, 6),
        ("answer", "yes", 2, 3, 1, 2),
    ]
    assert [row.share for row in found] == [0, 1, 0.75, 0.25]
    assert [row.mean_share for row in found] == [0.5] * 4
    assert [row.deviation for row in found] == [-0.5, 0.5, 0.25, -0.25]
    assert found[0].p_value == pytest.approx(1 / 3, abs=0.05)  # which of three questions is the one


def test_questions_without_labels_make_no_rows():
    assert rows(ONE_LAYER, loads([{"prediction": "x"}] * 2, [[1, 1], [1, 1]])) == []


def test_loads_of_a_run_are_joined_with_its_scores(tmp_path):
    folder = run_folder(tmp_path, "sparse", "pope")
    run_task(TASK, "llava", TASK.load("mini").first(36), RoutedBackend(), folder, routing=True)
    found = read_question_loads(folder)
    place = [score["id"] for score in found.scores].index("7")
    assert len(found.scores) == 36
    assert found.choices["image"][0][place].tolist() == [7, 7, 2]
    assert found.choices["text"][1].shape == (36, 2)
    assert found.groups.max() + 1 == len({score["group"] for score in found.scores}) == 2
    (folder / "routing.jsonl").unlink()
    assert read_question_loads(folder) is None
