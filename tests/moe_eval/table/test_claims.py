"""Verdicts on published numbers: what `reproduced` means, and what cannot be compared."""

from dataclasses import replace

import pytest

from moe_eval.runs.records import GenerationRecord, IntervalRecord, RunRecord, ScoresRecord, read_record
from moe_eval.table.claims import claims_about, column_of, judge_claim
from moe_eval.table.published import PublishedNumber, read_published
from tests.run_folders import OTHER_DATA, TRAINED_MODEL, write_run

MODEL = replace(TRAINED_MODEL, published_as="Theirs")


def number(value: float, source: str = "paper", key=("GQA", "testdev_balanced", "accuracy"), **more) -> PublishedNumber:
    benchmark, split, metric = key
    return PublishedNumber(
        model="Theirs",
        llm=None,
        params_total_b=None,
        params_activated_b=None,
        image_size=None,
        benchmark=benchmark,
        split=split,
        metric=metric,
        value=value,
        source=source,
        **more,
    )


def interval(low: float, high: float) -> IntervalRecord:
    return IntervalRecord(
        low=low, high=high, standard_error=1.0, analytic_standard_error=None, minimum_detectable_difference=None
    )


def verdict(tmp_path, published: PublishedNumber, measured: float | None, task: str = "gqa", **run):
    folder = write_run(tmp_path / "run", task, measured, model=MODEL, **run)
    (claim,) = claims_about("Theirs", [published], task)
    return judge_claim(
        claim, read_record(RunRecord, folder / "run.json"), read_record(ScoresRecord, folder / "scores.json")
    )


@pytest.mark.parametrize(
    ("published", "outcome"),
    [(61.4, "yes"), (60.0, "yes"), (62.0, "yes"), (59.9, "no"), (59.96, "no"), (62.1, "no"), (63, "no")],
)
def test_a_value_inside_the_interval_is_reproduced(tmp_path, published, outcome):
    """The interval is 60.0 to 62.0; two decimals widen it by no more than 0.005."""
    assert verdict(tmp_path, number(published), 61.0, intervals={"headline": interval(60, 62)}).outcome == outcome


def test_the_interval_is_widened_by_the_published_rounding(tmp_path):
    result = verdict(tmp_path, number(59.9), 61.0, intervals={"headline": interval(59.95, 62)})
    assert result.outcome == "yes"


def test_without_an_interval_only_what_rounds_to_the_value_counts(tmp_path):
    assert verdict(tmp_path, number(61.4), 61.44).outcome == "yes"
    (tmp_path / "other").mkdir()
    assert verdict(tmp_path / "other", number(61.4), 61.46).outcome == "cannot tell"


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        ({"data": OTHER_DATA}, "other questions"),
        ({"protocol": "lmms-eval"}, "protocol lmms-eval"),
        ({"missing": ["a", "b"]}, "2 questions without an answer"),
        (
            {"generation": GenerationRecord(max_new_tokens=16, pad_images=True, ablation="image=grey")},
            "ablation image=grey",
        ),
    ],
)
def test_other_circumstances_are_not_comparable(tmp_path, run, reason):
    result = verdict(tmp_path, number(61.0), 61.0, **run)
    assert (result.outcome, result.reason) == ("not comparable", reason)


@pytest.mark.parametrize(("judge", "outcome"), [("gpt-4-0613, 1 run", "yes"), ("gpt-4o, 1 run", "not comparable")])
def test_another_judge_is_not_comparable(tmp_path, judge, outcome):
    published = number(35.0, key=("MM-Vet", "v1", "gpt4_score"))
    assert verdict(tmp_path, published, 35.0, task="mmvet", judge=judge).outcome == outcome


def test_a_number_that_somebody_has_to_give_is_pending(tmp_path):
    published = number(50.0, key=("VizWiz", "test", "accuracy"))
    assert verdict(tmp_path, published, None, task="vizwiz").outcome == "pending"


def test_a_doubted_number_is_told(tmp_path):
    published = number(61.4, note="looks swapped", doubted=True)
    assert "doubted: looks swapped" in verdict(tmp_path, published, 61.4).reason


def test_sources_that_contradict_each_other_are_claims_of_their_own():
    numbers = [number(30.5, "a"), number(31.1, "b"), number(31.1, "c"), number(30.5, "d")]
    assert [(claim.number.value, claim.sources) for claim in claims_about("Theirs", numbers)] == [
        (30.5, "a"),
        (31.1, "b; c"),
    ]


VARIANTS = {
    ("MM-Vet", "v1", "gpt4_turbo_score"),
    ("MMBench", "EN v1.1, split not stated", "accuracy"),
    ("MMBench", "EN, version and split not stated", "accuracy"),
    ("MMBench", "test EN v1.1", "accuracy"),
    ("MME", "test", "perception_and_cognition_total"),
    ("ScienceQA", "split not stated", "accuracy"),
    ("TextVQA", "test, pan and scan", "accuracy"),
    ("TextVQA", "val, no OCR tokens in the prompt", "accuracy"),
    ("TextVQA", "val, prompt not stated", "accuracy"),
    ("VQAv2", "val, pan and scan", "accuracy"),
}
"""Of our benchmarks, but other questions, prompts or judges: held against no run, and in no table of runs."""


def test_almost_every_published_number_is_one_that_we_measure():
    unknown = {entry.key for entry in read_published() if not column_of(entry)} - VARIANTS
    assert {key[0] for key in unknown} == {"Avg", "MM-Vet"}  # means over benchmarks, and MM-Vet's three runs by ability


def test_what_is_published_of_another_variant_of_a_benchmark_is_no_claim():
    numbers = read_published()
    assert {entry.key for entry in numbers} >= VARIANTS
    claims = claims_about("InternVL3.5-8B", numbers)
    assert [(claim.name, claim.number.value) for claim in claims] == [("POPE", 88.7)]
