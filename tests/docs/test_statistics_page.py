"""The figures of docs/statistics.md are what the released answers give, and its example is an aggregate."""

import json
import re
from pathlib import Path

import pytest

from moe_eval.metrics.totals import OfTotals
from moe_eval.registry import find_task
from moe_eval.scoring.answers import read_answers
from moe_eval.scoring.score import score_answers
from moe_eval.statistics.draws import resample_scores
from moe_eval.statistics.intervals import intervals_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
RELEASED = ROOT / "tests" / "data" / "llava15_13b"


def rows() -> dict[str, list[str]]:
    found = (line[1:-1].split("|") for line in PAGE.splitlines() if re.match(r"\| (POPE|MME|Sci|MMB|MM-Vet)", line))
    return {name.strip(): [cell.strip() for cell in cells] for name, *cells in found}


@pytest.mark.parametrize(
    ("name", "task_name", "file", "source"),
    [
        ("POPE, mean F1", "pope", "pope", "official"),
        ("MME, perception", "mme", "mme", "answers"),
        ("ScienceQA-IMG", "scienceqa", "scienceqa", "answers"),
        ("MMBench, circular", "mmbench", "mmbench_dev_20230712", "answers"),
        ("MM-Vet", "mmvet", "mmvet_grades_13b", "answers"),
    ],
)
def test_the_table_is_what_the_released_answers_give(name, task_name, file, source):
    task, path = find_task(task_name), RELEASED / f"{file}.jsonl.gz"
    dataset = task.load(source if source == "official" else f"{source}:{path}")
    graded = task_name == "mmvet"
    texts = dict.fromkeys((s.id for s in dataset.samples), "") if graded else read_answers(task, dataset, path)
    scores = score_answers(task, "llava", dataset, texts)
    interval = scores.intervals["headline"]
    places = 1 if task_name == "mme" else 2
    assert rows()[name] == [
        f"{scores.headline.value:.2f}",
        f"[{interval.low:.1f}, {interval.high:.1f}]",
        f"{interval.standard_error:.{places}f}",
        f"{interval.analytic_standard_error:.{places}f}",
        f"{interval.minimum_detectable_difference:.{0 if task_name == 'mme' else 1}f}",
        f"{interval.groups:,}",
        "" if interval.design_effect is None else f"{interval.design_effect:.1f}",
    ]


NAMES = {
    None: "{0} on {0} pictures",
    "pictures, 18 questions": "18 on each of {} pictures",
    "macro-average of 5 categories": "mean of 5 categories, {} questions",
    "MME, perception": "MME, {} pictures with 2 questions",
    "MMBench, circular": "MMBench, {} questions in 4 rotations",
}
"""Population of `bench.decisions` → what the page calls so many groups of it."""


def test_the_table_of_decisions_is_what_was_simulated():
    record = json.loads((ROOT / "results" / "bench" / "decisions.json").read_text(encoding="utf-8"))
    for row in [*record["compare_and_check"], *record["compare_and_check_clustered"]]:
        name = NAMES[row.get("world")].format(row["groups"])
        said = " / ".join(f"{row[verdict]:.1f}" for verdict in ("fine", "worse", "cannot tell"))
        numbers = f"{row['significant']:.1f} % | {row['coverage']:.1f} % | {said} %"
        assert f"| {name} | {round(row['drop'], 1):g} | {numbers} |" in PAGE


def test_the_example_is_an_aggregate_in_totals():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict = {}
    exec("from moe_eval.metrics.means import percent\nfrom moe_eval.task import *\n" + code, names)
    scores = [{"kind": "ab"[n % 2], "correct": n % 3 == 0} for n in range(30)]
    assert isinstance(names["aggregate"], OfTotals)
    resampled = resample_scores(names["aggregate"], scores, [str(n) for n in range(30)])
    assert set(resampled.draws) == {"headline", "kinds.a.accuracy", "kinds.b.accuracy"}


def test_the_interval_of_independent_questions_is_as_it_says():
    task = find_task("pope")
    dataset = task.load("official")
    answers = read_answers(task, dataset, RELEASED / "pope.jsonl.gz")
    scores = [{**task.protocol("llava").score(one, answers[one.id]), "group": one.id} for one in dataset.samples]
    interval = intervals_of(scores, task.protocol("llava").aggregate)[0]["headline"]
    assert f"would give [{interval.low:.1f}, {interval.high:.1f}] in the table above" in PAGE
