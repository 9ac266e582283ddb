"""What every task of `tasks/` must keep to.

A new task in `tasks/` adds to `DATA` how some of its data come to be here.
"""

import copy
import json
import random
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest

from moe_eval.commands.list import listing
from moe_eval.errors import UserError
from moe_eval.files.jsonl import read_jsonl
from moe_eval.metrics.totals import OfTotals
from moe_eval.registry import find_task
from moe_eval.statistics.resampling import number_clusters, numbers_of, record_totals
from moe_eval.task import Dataset, Sample, SampleScore, Task, TaskProtocol, worth
from tests.tables import write_tsv

TESTS = Path(__file__).parents[1]
RELEASED = TESTS / "data" / "llava15_13b"
LLAVA = TESTS / "data" / "llava"

ODD_ANSWERS = [
    "",
    " ",
    "\n\n",
    ".",
    "Yes",
    "no, there is not.",
    "A",
    "(B) it is",
    "The answer is C.",
    "E",
    "unanswerable",
    "2",
    "3.0",
    "-1",
    "1e999",
    "NaN",
    "a red bus's roof",
    "\x00\x1b[31m\t",
    "\ud800 half a pair",
    "日本語 😀 ﷺ",
    "<br> & \\frac{1}{2} {} %s",
    "word " * 20_000,
]


# --- data that tests have at hand ---------------------------------------------------------------------------------


def tsv(columns: dict[str, list[str]]) -> Callable[[Path], str]:
    return lambda folder: f"tsv:{write_tsv(folder / 'data.tsv', columns)}"


def vqav2_questions(folder: Path) -> str:
    path = folder / "llava_vqav2_mscoco_test-dev2015.jsonl"
    suffix = "Answer the question using a single word or phrase."
    rows = [{"question_id": n, "image": f"{n // 3}.jpg", "text": f"What is {n}?\n{suffix}"} for n in range(7)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return f"llava:{folder}"


def textvqa_questions(folder: Path) -> str:
    """The first of LLaVA's own questions, with annotations made up for them."""
    name = "llava_textvqa_val_v051_ocr.jsonl"
    rows = [row for _, row in read_jsonl(LLAVA / "textvqa" / name)]
    shutil.copy(LLAVA / "textvqa" / name, folder)
    records = [
        {"image_id": row["question_id"], "question": row["text"].split("\n")[0], "answers": TEN[number % len(TEN)]}
        for number, row in enumerate(rows)
    ]
    (folder / "TextVQA_0.5.1_val.json").write_text(json.dumps({"data": records}))
    return f"llava:{folder}"


TEN = [["cat"] * 10, ["1"] * 5 + ["one"] * 5, ["yes", "no"] * 5, ["it's a T-shirt"] * 9 + ["shirt"]]
FOUR = ["What is it?", "How many?", "IS it on?", "What does he wear?"]
MULTIPLE_CHOICE = {
    "question": ["Which?", "Which?", "Who?"],
    "A": ["x", "a red bus", "1"],
    "B": ["y", "two", "2"],
    "C": ["", "three", "3"],
    "D": ["", "4", ""],
    "answer": ["B", "D", "C"],
    "category": ["object_localization", "ocr", "physics"],
    "hint": ["", "A hint.", ""],
}
MMBENCH_EXTRA = {"l2-category": ["finegrained_perception (instance-level)"] * 3, "split": ["dev"] * 3}

DATA: dict[str, list[Callable[[Path], str]]] = {
    "gqa": [tsv({"question": FOUR, "answer": ["cat", "yes", "two", "t-shirt"]})],
    "mmbench": [
        tsv({**MULTIPLE_CHOICE, **MMBENCH_EXTRA}),
        tsv({name: cells for name, cells in {**MULTIPLE_CHOICE, **MMBENCH_EXTRA}.items() if name != "answer"}),
        lambda folder: f"answers:{RELEASED / 'mmbench_dev_20230712.jsonl.gz'}",
    ],
    "mme": [
        tsv(
            {
                "image_path": ["OCR/1.jpg", "OCR/1.jpg", "count/2.png", "count/2.png"],
                "question": [f"{question} Please answer yes or no." for question in FOUR],
                "answer": ["Yes", "No"] * 2,
                "category": ["OCR", "OCR", "count", "count"],
            }
        ),
        lambda folder: f"answers:{RELEASED / 'mme.jsonl.gz'}",
    ],
    "mmvet": [
        tsv(
            {"question": FOUR, "answer": ["a<OR>b", "2<AND>3", "x", "y"], "category": ["ocr,math", "rec", "rec", "gen"]}
        ),
        lambda folder: f"answers:{RELEASED / 'mmvet_grades_13b.jsonl.gz'}",
    ],
    "pope": [lambda folder: "official"],
    "scienceqa": [tsv(MULTIPLE_CHOICE), lambda folder: f"answers:{RELEASED / 'scienceqa.jsonl.gz'}"],
    "textvqa": [textvqa_questions, tsv({"question": FOUR, "answer": list(map(str, TEN))})],
    "vizwiz": [
        tsv({"question": FOUR, "answers": list(map(str, TEN))}),
        lambda folder: f"llava:{LLAVA / 'vizwiz'}",
    ],
    "vqav2": [vqav2_questions, vqav2_questions],  # as it is, with hidden answers, and with the ten of `annotated`
    "easyvqa": [lambda folder: "package"],
}

for name, sources in DATA.items():
    if name != "easyvqa":
        sources.append(lambda folder: "mini")


def annotated(dataset: Dataset) -> Dataset:
    """The same questions with ten answers each; VQAv2's answered splits are on the hub alone."""
    meta = {"question_type": "what is", "answer_type": "other"}
    samples = [
        replace(sample, gold=tuple(TEN[number % len(TEN)]), meta=meta) for number, sample in enumerate(dataset.samples)
    ]
    return replace(dataset, samples=samples)


CASES = [(name, number) for name, sources in DATA.items() for number in range(len(sources))]


@pytest.fixture(scope="module", params=CASES, ids=[f"{name}-{number}" for name, number in CASES])
def case(request, tmp_path_factory) -> tuple[Task, Dataset]:
    """A task and one of its data sets, cut to a few hundred samples."""
    name, number = request.param
    if name == "easyvqa":
        pytest.importorskip("easy_vqa", reason="the data are the extra [easy-vqa]")
    task = find_task(name)
    dataset = task.load(DATA[name][number](tmp_path_factory.mktemp(name)))
    if (name, number) == ("vqav2", 1):
        dataset = annotated(dataset)
    return task, dataset.first(300)


@pytest.fixture
def task(case) -> Task:
    return case[0]


@pytest.fixture
def dataset(case) -> Dataset:
    return case[1]


def scored(protocol: TaskProtocol, samples: Sequence[Sample]) -> list[SampleScore]:
    """One odd answer or the other for every sample."""
    return [protocol.score(sample, ODD_ANSWERS[n % len(ODD_ANSWERS)]) for n, sample in enumerate(samples)]


def comparable(value: object) -> str:
    """Of everything that is in it, so that a change anywhere is seen."""
    return repr(value)


# --- the interface ------------------------------------------------------------------------------------------------


def test_every_task_of_ours_is_tested_here():
    ours = {point.name for point in entry_points(group="moe_eval.tasks") if point.module.startswith("moe_eval.tasks.")}
    assert ours == set(DATA), "add to DATA how some of the new task's data come to be here"


def test_it_says_what_it_is(task):
    assert task.name == task.name.strip().lower()
    assert task.title
    assert task.max_new_tokens > 0
    assert task.protocols
    assert all(name == name.lower() and protocol.headline for name, protocol in task.protocols.items())
    assert task.sources


def test_every_source_says_in_one_line_what_it_is(task):
    for name, loader in task.sources.items():
        first_line = (loader.__doc__ or "").strip().splitlines()[0]
        assert first_line.startswith(f"`{name}"), name


def test_ids_are_unique_strings(dataset):
    ids = [sample.id for sample in dataset.samples]
    assert all(isinstance(one, str) and one for one in ids)
    assert len(set(ids)) == len(ids)


def test_loading_twice_gives_the_same_data(task, dataset):
    if dataset.source.startswith(("llava:", "tsv:", "mini", "package")) and dataset.samples[0].gold != tuple(TEN[0]):
        assert task.load(dataset.source).first(300).fingerprint == dataset.fingerprint


def test_gold_is_there_or_the_headline_is_left_open(task, dataset):
    hidden = [sample for sample in dataset.samples if sample.gold is None and not sample.meta.get("grades")]
    assert len(hidden) in (0, len(dataset.samples)), "some answers are hidden and some are not"
    for name, protocol in task.protocols.items():
        scores = scored(protocol, dataset.samples)
        headline = protocol.aggregate(scores).headline
        if hidden:
            assert all(worth(score) is None for score in scores), name
            assert headline is None, name
        elif protocol.judge is None or protocol.judge.undecided is not None:
            assert all(worth(score) is not None for score in scores), name
            assert headline is not None, name


def test_prompts_are_a_function_of_the_sample(task, dataset):
    for protocol in task.protocols.values():
        for sample in dataset.samples[:50]:
            before = comparable(sample)
            prompt = asked(protocol, sample)
            assert isinstance(prompt, str)
            assert asked(protocol, copy.deepcopy(sample)) == prompt
            assert comparable(sample) == before


def asked(protocol: TaskProtocol, sample: Sample) -> str:
    """The prompt, or why it cannot be made from these data."""
    try:
        return protocol.prompt(sample)
    except UserError as error:
        return str(error)


def test_scores_are_a_function_of_sample_and_answer(task, dataset):
    for protocol in task.protocols.values():
        for sample in dataset.samples[:5]:
            before = comparable(sample)
            for answer in ODD_ANSWERS:
                first = protocol.score(sample, answer)
                assert protocol.score(copy.deepcopy(sample), answer) == first
            assert comparable(sample) == before


def test_scores_are_plain_values_in_range(task, dataset):
    for protocol in task.protocols.values():
        for sample in dataset.samples[:5]:
            for answer in ODD_ANSWERS:
                score = protocol.score(sample, answer)
                assert all(isinstance(name, str) for name in score)
                assert all(type(value) in (float, int, str) for value in score.values())
                value = worth(score)
                assert value is None or 0 <= value <= 1


def test_aggregate_does_not_depend_on_order_and_changes_nothing(task, dataset):
    for protocol in task.protocols.values():
        scores = scored(protocol, dataset.samples)
        before = comparable(scores)
        result = protocol.aggregate(scores)
        assert protocol.aggregate(scores) == result
        assert comparable(scores) == before
        random.Random(1).shuffle(scores)
        shuffled = protocol.aggregate(scores)
        assert shuffled.headline == pytest.approx(result.headline, abs=1e-9)
        assert flat(shuffled.metrics) == pytest.approx(flat(result.metrics), abs=1e-9)


def test_intervals_come_from_what_repeated_scores_would_give(task, dataset):
    """Of an aggregate written in totals; what does not come from totals may not vary."""
    clusters = number_clusters([sample.group for sample in dataset.samples])
    weights = np.random.default_rng(1).integers(1, 4, (3, clusters.max() + 1))
    for protocol in task.protocols.values():
        if not isinstance(protocol.aggregate, OfTotals):
            continue
        scores = scored(protocol, dataset.samples)
        recording = record_totals(protocol.aggregate, scores, clusters)
        computed = recording.numbers(weights @ recording.columns)
        fixed = {path: value for path, value in numbers_of(recording.result).items() if path not in computed}
        for number, row in enumerate(weights):
            repeated = [score for score, times in zip(scores, row[clusters], strict=True) for _ in range(times)]
            numbers = numbers_of(protocol.aggregate(repeated))
            floats = {path: value for path, value in numbers.items() if isinstance(value, float)}
            expected = {path: values[number] for path, values in computed.items()} | {
                path: value for path, value in fixed.items() if path in floats
            }
            for path in NOT_RESAMPLED & floats.keys():
                expected[path] = floats[path]
            assert floats == pytest.approx(expected, abs=1e-9)


NOT_RESAMPLED = {"distribution"}
"""GQA's distance between distributions, which resampling moves apart."""


def flat(value: object, path: str = "") -> dict[str, object]:
    """Numbers by their path in a breakdown."""
    if not isinstance(value, dict):
        return {path: value}
    return {inner: leaf for name, entry in value.items() for inner, leaf in flat(entry, f"{path}/{name}").items()}


def test_results_can_be_aggregated_again_from_the_stored_file(task, dataset):
    for protocol in task.protocols.values():
        scores = scored(protocol, dataset.samples)
        stored = [json.loads(json.dumps({"id": "1", "group": "g", **score})) for score in scores]
        again = protocol.aggregate(stored)
        assert again.headline == protocol.aggregate(scores).headline
        json.dumps(again.metrics)


# --- the card -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DATA)
def test_the_card_says_what_a_reader_must_know(name):
    task = find_task(name)
    card = task.card
    assert card.measures
    assert re.search(r"\d+ (test )?questions", card.size)
    assert card.licence
    assert re.search(r"\b20\d\d\b|arXiv \d{4}\.", card.citation), "no year"
    assert re.search(r"arXiv \d{4}\.\d{5}|https://", card.citation), "nowhere to read on"
    assert card.pitfalls
    for text in (card.measures, card.size, card.licence, card.citation, *card.pitfalls):
        assert text == " ".join(text.split()), "one line each"
    shown = listing("tasks", long=True)
    for text in (task.title, card.measures, card.size, card.licence, card.citation, *card.pitfalls):
        assert text in shown
    assert f"headline:  {next(iter(task.protocols.values())).headline}" in shown


def test_only_lmms_eval_turns_pictures(task):
    assert {name for name, protocol in task.protocols.items() if protocol.upright} == {"lmms-eval"} & set(
        task.protocols
    )
