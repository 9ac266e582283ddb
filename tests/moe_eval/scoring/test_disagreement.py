"""`moe-eval score TASK ANSWERS --protocol all`: every protocol's number, and where they disagree."""

import json
import re
from pathlib import Path

import pytest
from moe_eval.tasks.textvqa import TASK as TEXTVQA
from moe_eval.tasks.vqav2 import TASK as VQAV2

from moe_eval.commands.score import score_file
from moe_eval.images import NamedImage
from moe_eval.scoring.disagreement import find_disagreements, render_comparison
from moe_eval.scoring.score import score_answers
from moe_eval.task import Dataset, Sample

RELEASED = Path(__file__).parents[2] / "data" / "llava15_13b" / "pope.jsonl.gz"

ANSWERS = {"1": "No.", "2": "No", "3": "Yes, it is", "4": "maybe", "5": "Yes,"}
"""Of the first five questions of POPE (yes, no, yes, no, yes): what the protocols make of them differs on 3 and 5."""


def write_answers(path: Path) -> Path:
    lines = [{"question_id": int(name), "text": text} for name, text in ANSWERS.items()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def score(path: Path, as_json: bool = False) -> str:
    return score_file("pope", path, None, "all", allow_missing=True, as_json=as_json)


def test_each_protocol_has_a_line():
    text = score(RELEASED)
    for protocol, headline in (("llava", "85.95"), ("lmms-eval", "85.93"), ("vlmevalkit", "85.93")):
        assert re.search(rf"^{protocol} .* {headline}$", text, re.MULTILINE)
    assert "they disagree on 0 of 8,910 answers (0.0 %)" in text


def test_disagreements_are_counted_and_shown_by_kind(tmp_path):
    text = score(write_answers(tmp_path / "answers.jsonl"))
    assert "5 of 8,910 questions" in text
    assert "they disagree on 2 of 5 answers (40.0 %)" in text
    assert "llava = vlmevalkit > lmms-eval: 2\n  3: 'Is there a person in the image?'" in text
    assert "answer 'Yes, it is', gold 'yes'" in text
    assert "llava 1 for 'yes'; lmms-eval 0 for 'yes, it is'; vlmevalkit 1 for 'yes'" in text


def test_comparison_is_printed_as_json(tmp_path):
    content = json.loads(score(write_answers(tmp_path / "answers.jsonl"), as_json=True))
    assert list(content["scores"]) == ["llava", "lmms-eval", "vlmevalkit"]
    assert content["disagreements"]["answers"] == 2
    (kind,) = content["disagreements"]["kinds"]
    assert [example["answer"] for example in kind["examples"]] == ["Yes, it is", "Yes,"]


def test_texts_of_options_that_are_not_there_make_no_disagreement():
    """LLaVA's released answers to ScienceQA say how many options there were, but not which."""
    path = RELEASED.parent / "scienceqa.jsonl.gz"
    text = score_file("scienceqa", path, None, "all", allow_missing=False, as_json=False)
    assert "they disagree on 0 of 4,241 answers" in text
    assert "not compared: 216 answers that are more than a letter" in text
    content = json.loads(score_file("scienceqa", path, None, "all", allow_missing=False, as_json=True))
    assert {**content["disagreements"]} == {"answers": 0, "not_compared": 216, "kinds": []}


def test_two_headlines_are_told_apart_in_words():
    text = score(RELEASED)
    assert "mean F1 (%): one F1 for each of adversarial, popular and random" in text
    assert "pooled F1 (%): one F1 over the questions of all three categories together" in text


def compare(task, golds: list, texts: list[str], examples: int = 3):
    samples = [Sample(str(n), "What?", (NamedImage("a"),), gold and tuple(gold), "a") for n, gold in enumerate(golds)]
    answers = dict(zip("0123456789", texts, strict=False))
    dataset = Dataset("made", "made", samples, official=False)
    scores = {name: score_answers(task, name, dataset, answers) for name in task.text_protocols}
    return scores, find_disagreements(samples, answers, scores, examples)


def test_partial_scores_are_ordered_from_generous_to_strict():
    _, (kind,) = compare(TEXTVQA, [["3"] * 5 + ["3."] * 2 + ["4"] * 3], ["3."])
    assert kind.order == "llava = lmms-eval = qwen-vl > vlmevalkit"
    assert kind.examples[0].worths == pytest.approx({"llava": 1.0, "lmms-eval": 1.0, "vlmevalkit": 0.6, "qwen-vl": 1.0})


def test_examples_are_few_but_all_are_counted():
    _, (kind,) = compare(VQAV2, [["T-shirt"] * 10] * 5, ["T-shirt"] * 5, examples=2)
    assert (kind.order, kind.count, len(kind.examples)) == ("lmms-eval = official = qwen-vl > llava", 5, 2)


def test_hidden_answers_cannot_be_compared():
    scores, kinds = compare(VQAV2, [None], ["T-shirt"])
    text = render_comparison(scores, kinds)
    assert (kinds, text.count("pending")) == ([], 4)
    assert "nothing can be compared" in text


def test_odd_answers_can_be_shown():
    scores, kinds = compare(VQAV2, [["T-shirt"] * 10], ["T-shirt"])
    example = kinds[0].examples[0]
    odd = type(example)(example.id, "a\nb", ("a\ud800",), "x" * 100_000, example.predictions, example.worths)
    text = render_comparison(scores, [type(kinds[0])("a > b", 1, (odd,))])
    text.encode()
    assert "'a\\nb'" in text
    assert len(text) < 2_000
