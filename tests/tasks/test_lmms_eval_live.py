"""The protocol `lmms-eval` of every task, against the installed lmms-eval: its task files, its functions, same inputs.

Its tasks are built as it builds them, but for the data: the documents are made from the scoring vectors' inputs.
"""

import json
import os
from argparse import Namespace
from copy import deepcopy
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("lmms_eval", reason="lmms-eval is not installed: make test EXTRAS=lmms")
os.environ.setdefault("OPENAI_API_KEY", "none is needed")  # its MM-Vet makes a client as soon as openai is installed

import lmms_eval.tasks
import pandas as pd
from lmms_eval.api.task import ConfigurableTask
from lmms_eval.utils import load_yaml_config
from PIL import ImageFile

from moe_eval.images import NamedImage
from moe_eval.lmms.request import max_new_tokens
from moe_eval.registry import find_task
from moe_eval.task import Sample
from tests.vectors import read_vectors

ImageFile.LOAD_TRUNCATED_IMAGES = False  # lmms-eval sets it, for all other tests, too

VECTORS = Path(__file__).parents[1] / "data" / "vectors"

FILES = {
    "gqa": "gqa/gqa.yaml",
    "mmbench": "mmbench/mmbench_en_dev_static.yaml",
    "mme": "mme/mme.yaml",
    "mmvet": "mmvet/mmvet.yaml",
    "pope": "pope/pope.yaml",
    "scienceqa": "scienceqa/scienceqa_img.yaml",
    "textvqa": "textvqa/textvqa_val.yaml",
    "vizwiz": "vizwiz_vqa/vizwiz_vqa_val.yaml",
    "vqav2": "vqav2/vqav2_val.yaml",
}


class Documents(list):
    """As much of a data set as lmms-eval looks at while it builds a task."""

    @property
    def features(self) -> dict[str, Any]:
        return self[0]


class OriginalTask(ConfigurableTask):
    """A task of the installed lmms-eval on documents of ours."""

    def __init__(self, name: str, docs: list[dict[str, Any]]):
        self._given = Documents(docs)
        path = Path(lmms_eval.tasks.__file__).parent / FILES[name]
        super().__init__(config=load_yaml_config(str(path), mode="full"), model_name="moe_llava")

    def download(self, dataset_kwargs: object = None) -> None:
        self.dataset = {self.config.test_split or self.config.validation_split: self._given}
        self.dataset_no_image = self.dataset

    def scores(self, answers: list[str]) -> list[dict[str, Any]]:
        """What `process_results` gives for each document; it may change documents, so it gets copies."""
        return [self.process_results(deepcopy(doc), [answer]) for doc, answer in zip(self._given, answers, strict=True)]

    def total(self, metric: str, scores: list[dict[str, Any]], **arguments: object) -> float:
        return self.aggregation()[metric]([one[metric] for one in scores if metric in one], **arguments)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "vectors" in metafunc.fixturenames:
        roots = (VECTORS, *metafunc.config.getoption("vectors"))
        readers = [partial(_vectors, root) for root in roots]
        metafunc.parametrize("vectors", readers, ids=[f"vectors-{number}" for number in range(len(roots))])


def _vectors(root: Path, benchmark: str) -> list[dict[str, Any]]:
    if not (root / benchmark).is_dir():
        pytest.skip(f"{root} has no vectors of {benchmark}")
    return list(read_vectors(root / benchmark))


def sample(sample_id: object, question: str, gold: Any, picture: str = "a.jpg", **meta: Any) -> Sample:
    return Sample(str(sample_id), question, (NamedImage(picture),), gold, picture, meta)


# --- prompts and limits -------------------------------------------------------------------------------------------

QUESTIONS = ["What is the T-shirt's Brand, IBM?", "  ÇA va? ", "is it ONE? Please answer yes or no."]


def asked(task: str, question: str) -> tuple[dict[str, Any], Sample]:
    """The same question as a document of lmms-eval and as our sample."""
    if task == "scienceqa":
        doc = {"question": question, "hint": "A hint.", "choices": ["left", "B"], "answer": 1, "image": None}
        return doc, sample(1, question, "B", choices=("left", "B"), hint="A hint.")
    if task == "mmbench":
        doc = {"question": question, "hint": "nan", "A": "left", "B": "right", "C": "nan", "answer": "A", "index": 7}
        doc |= {"category": "ocr", "L2-category": "x", "source": "", "split": "dev"}
        return doc, sample(7, question, "A", options={"A": "left", "B": "right"}, split="dev")
    return {"question": question, "answer": "yes", "ocr_tokens": ["a"]}, sample(1, question, "yes", ocr="a")


@pytest.mark.parametrize("task", FILES)
@pytest.mark.parametrize("question", QUESTIONS)
def test_questions_are_asked_as_lmms_eval_asks(task, question):
    doc, ours = asked(task, question)
    original = OriginalTask(task, [doc])
    assert find_task(task).protocol("lmms-eval").prompt(ours) == original.fewshot_context(doc, 0)


@pytest.mark.parametrize("task", FILES)
def test_answers_may_be_as_long_as_in_lmms_eval(task):
    doc, _ = asked(task, "?")
    ours = find_task(task)
    limit = ours.protocol("lmms-eval").max_new_tokens or ours.max_new_tokens
    assert limit == max_new_tokens(OriginalTask(task, [doc]).config.generation_kwargs)


# --- scores -------------------------------------------------------------------------------------------------------


def assert_scored_alike(
    task: str, docs: list[dict], samples: list[Sample], answers: list[str], metric: str, ours: str, scale: float = 100
) -> None:
    """Every score within 1e-9, and the mean."""
    protocol, original = find_task(task).protocol("lmms-eval"), OriginalTask(task, docs)
    theirs = original.scores(answers)
    scores = [protocol.score(one, answer) for one, answer in zip(samples, answers, strict=True)]
    for one, mine, their in zip(samples, scores, theirs, strict=True):
        assert mine[ours] == pytest.approx(their[metric], abs=1e-9), one.id
    assert protocol.aggregate(scores).headline == pytest.approx(scale * original.total(metric, theirs), abs=1e-9)


def test_vqav2(vectors):
    given = vectors("vqav2")
    docs = [{"question_id": v["id"], "question": "?", "answers": v["gold"]} for v in given]
    samples = [sample(v["id"], "?", tuple(one["answer"] for one in v["gold"])) for v in given]
    assert_scored_alike("vqav2", docs, samples, [v["prediction"] for v in given], "exact_match", "score")


@pytest.mark.parametrize("task", ["vizwiz", "textvqa"])
def test_vizwiz_and_textvqa(vectors, task):
    given = vectors(task)
    docs = [{"question_id": v["id"], "question": "?", "answers": v["gold"], "ocr_tokens": []} for v in given]
    samples = [sample(v["id"], "?", tuple(v["gold"])) for v in given]
    assert_scored_alike(task, docs, samples, [v["prediction"] for v in given], "exact_match", "score")


def test_gqa(vectors):
    given = vectors("gqa")
    docs = [{"question": "?", "answer": v["gold"]} for v in given]
    samples = [sample(v["id"], "?", v["gold"]) for v in given]
    assert_scored_alike("gqa", docs, samples, [v["prediction"] for v in given], "exact_match", "correct")


def test_scienceqa(vectors):
    given = [v for v in vectors("scienceqa") if v["prediction"] is not None]
    docs = [v["input"] for v in given]
    samples = [sample(v["id"], "?", v["gold"], choices=tuple(v["input"]["choices"])) for v in given]
    assert_scored_alike("scienceqa", docs, samples, [v["prediction"] for v in given], "exact_match", "correct")


def test_pope(vectors):
    by_reference = {
        (commit, one.meta["category"], int(one.id) % 10_000_000): one
        for version, commit in (("old", "v_old_e3e39262"), ("new", "v_new_3df3ba1"))
        for one in find_task("pope").load(f"official:{version}").samples
    }
    protocol, given = find_task("pope").protocol("lmms-eval"), vectors("pope")
    references = [v["ref"] for v in given]
    samples = [by_reference[ref["data"], ref["category"], ref["question_id"]] for ref in references]
    docs = [{"question_id": one.id, "question": one.question, "answer": one.gold} for one in samples]
    original = OriginalTask("pope", docs)
    theirs = original.scores([v["prediction"] for v in given])
    scores = [protocol.score(one, v["prediction"]) for one, v in zip(samples, given, strict=True)]
    for one, mine, their in zip(samples, scores, theirs, strict=True):
        assert (mine["correct"], mine["prediction"]) == (
            their["pope_accuracy"]["score"],
            their["pope_accuracy"]["prediction"],
        ), one.id
    result = protocol.aggregate(scores)
    pooled = result.metrics["pooled"]
    assert pooled["f1"] == result.headline
    for name, metric in (("f1", "pope_f1_score"), *((n, f"pope_{n}") for n in ("accuracy", "precision", "recall"))):
        assert pooled[name] == pytest.approx(100 * original.total(metric, theirs), abs=1e-9)
    assert pooled["yes_ratio"] == pytest.approx(100 * original.total("pope_yes_ratio", theirs), abs=1e-9)


def test_mme(vectors):
    protocol, given = find_task("mme").protocol("lmms-eval"), vectors("mme")
    docs = [
        {
            "question_id": f"{v['input']['category']}/{v['input']['image']}",
            "category": v["input"]["category"],
            "question": v["input"]["question"],
            "answer": v["gold"],
        }
        for v in given
    ]
    samples = [
        sample(v["id"], doc["question"], v["gold"].lower(), doc["question_id"], category=doc["category"])
        for v, doc in zip(given, docs, strict=True)
    ]
    original = OriginalTask("mme", docs)
    theirs = original.scores([v["prediction"] for v in given])
    scores = [protocol.score(one, v["prediction"]) for one, v in zip(samples, given, strict=True)]
    for one, mine, their in zip(samples, scores, theirs, strict=True):
        (value,) = their.values()
        assert mine["correct"] == value["score"], one.id
    result = protocol.aggregate(scores)
    for section in ("perception", "cognition"):
        assert result.metrics[section] == pytest.approx(original.total(f"mme_{section}_score", theirs), abs=1e-9)
    assert result.headline == result.metrics["perception"]


def test_mmbench(vectors, tmp_path):
    protocol, given = find_task("mmbench").protocol("lmms-eval"), vectors("mmbench")
    docs, samples = [], []
    numbers = [v["id"] % 1_000_000 for v in given]
    for v in given:
        row = dict(v["input"])
        ability, group = row["category"], row.pop("l2-category")
        docs.append({**row, "L2-category": group, "answer": v["gold"], "hint": "nan", "source": ""})
        options = {letter: row[letter] for letter in "ABCD" if row[letter] is not None}
        rotations = numbers.count(v["id"] % 1_000_000)
        meta = {"options": options, "rotations": rotations, "ability": ability, "group": group, "split": "dev"}
        samples.append(sample(v["id"], row["question"], v["gold"], str(v["id"] % 1_000_000), **meta))
    original = OriginalTask("mmbench", docs)
    theirs = original.scores([v["prediction"] for v in given])
    total = original.total("gpt_eval_score", theirs, args=Namespace(output_path=str(tmp_path)))
    result = protocol.aggregate([protocol.score(one, v["prediction"]) for one, v in zip(samples, given, strict=True)])
    assert result.headline == pytest.approx(total, abs=1e-9)
    details = json.loads((tmp_path / "submissions" / "mmbench_en_dev_static_results.json").read_text())
    for ours, name in (("abilities", "category_acc"), ("groups", "l2_category_acc")):
        table = {kind: row["circular"] / 100 for kind, row in result.metrics[ours].items()}
        assert table == pytest.approx(details[name], abs=1e-9)


@pytest.mark.parametrize("replies", [["B"], ["neither", "(A)."], ["who knows", "A or B", "C, I think"], ["E"]])
def test_mmbench_asks_the_judge_as_lmms_eval(vectors, monkeypatch, replies):
    """For every answer that the rules do not read; the letter that lmms-eval draws in the end is random."""
    doc, _ = asked("mmbench", "?")
    functions = OriginalTask("mmbench", [doc]).config.process_results.__globals__
    evaluator, task = functions["mmbench_evaluator"], find_task("mmbench")
    undecided = 0
    for v in vectors("mmbench"):
        row = v["input"]
        options = {letter: row[letter] for letter in "ABCD" if row[letter] is not None}
        prediction = str(v["prediction"]).strip()
        if evaluator.can_infer(prediction, dict(options)):
            continue
        undecided += 1
        theirs, ours = ScriptedJudge(replies), ScriptedJudge(replies)
        monkeypatch.setattr(evaluator, "get_chat_response", lambda prompt, judge=theirs: judge.reply(prompt, 0, 256))
        letter, said = evaluator.extract_answer_from_item(pd.Series({**row, "prediction": prediction}))
        one = sample(v["id"], row["question"], v["gold"], options=options)
        mine = play(task.protocol("lmms-eval").judge.grade(one, prediction), ours)
        assert ours.calls == theirs.calls, v["id"]
        assert mine == letter or said.startswith("Failed to predict"), v["id"]
    assert undecided


class ScriptedJudge:
    """Says one reply after the other, the last one for ever, and remembers what it was asked."""

    def __init__(self, replies: list[str]):
        self._replies = replies
        self.calls: list[tuple[str, float, int]] = []

    def evaluate(self, request: Any) -> SimpleNamespace:
        config = request.config
        return SimpleNamespace(
            content=self.reply(request.messages[0]["content"], config.temperature, config.max_tokens),
            model_used="scripted",
        )

    def reply(self, prompt: str, temperature: float, max_tokens: int) -> str:
        self.calls.append((prompt, temperature, max_tokens))
        return self._replies[min(len(self.calls), len(self._replies)) - 1]


def test_mmvet(vectors, monkeypatch):
    protocol, given = find_task("mmvet").protocol("lmms-eval"), vectors("mmvet")
    scores, theirs = [], []
    docs = [
        {"question_id": v["id"], **v["input"], "capability": ",".join(v["input"]["capability"]), "image": None}
        for v in given
    ]
    original = OriginalTask("mmvet", docs)
    functions = original.config.process_results.__globals__
    monkeypatch.setitem(functions, "time", SimpleNamespace(sleep=lambda seconds: None))
    for v, doc in zip(given, docs, strict=True):
        for script in v["input"]["grader_script"]:
            judge, mine = ScriptedJudge(script), ScriptedJudge(script)
            monkeypatch.setitem(functions, "server", judge)
            theirs.append(original.process_results(deepcopy(doc), [v["prediction"]]))
            kinds = tuple(v["input"]["capability"])
            one = sample(v["id"], doc["question"], doc["answer"], capabilities=kinds)
            grade = play(protocol.judge.grade(one, v["prediction"]), mine)
            assert mine.calls == judge.calls, v["id"]
            assert grade == theirs[-1]["gpt_eval_score"]["score"], v["id"]
            graded = sample(v["id"], doc["question"], doc["answer"], capabilities=kinds, grades=(grade,))
            scores.append(protocol.score(graded, v["prediction"]))
    total = original.total("gpt_eval_score", theirs)
    assert protocol.aggregate(scores).headline == pytest.approx(total, abs=1e-9)


def play(judgement: Any, judge: ScriptedJudge) -> Any:
    try:
        call = next(judgement)
        while True:
            call = judgement.send(judge.reply(call.prompt, call.temperature, call.max_tokens))
    except StopIteration as done:
        return done.value
