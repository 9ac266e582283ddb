"""Asking until the interval is small enough, or a comparison is decided."""

from dataclasses import replace
from pathlib import Path

import pytest
from moe_eval.tasks.pope import TASK

from moe_eval.comparison.pairing import compare_runs
from moe_eval.errors import UserError
from moe_eval.evaluation import carry_out_until
from moe_eval.runs.plan import Plan
from moe_eval.runs.records import RunRecord, read_record
from moe_eval.runs.stored_run import StoredRun
from moe_eval.runs.until import Until, parse_until
from moe_eval.task import Dataset
from tests.fake_backend import FAKE_MODEL, FakeBackend
from tests.moe_eval.comparison.runs import make_run


def data(pictures: int) -> Dataset:
    """POPE's mini, with its pictures as often as wanted."""
    mini = TASK.load("mini")
    copies = [
        replace(sample, id=f"{sample.id}-{copy}", group=f"{sample.group}-{copy}")
        for copy in range(-(-pictures // 33))
        for sample in mini.samples
    ]
    return replace(mini, samples=copies).first(18 * pictures)


class Asked(FakeBackend):
    """Right but for every tenth question; counts."""

    def __init__(self, dataset: Dataset, wrong: float = 0.1):
        golds = {sample.id: str(sample.gold) for sample in dataset.samples}
        numbers = {sample.id: number for number, sample in enumerate(dataset.samples)}
        self.count = 0

        def answer(request):
            self.count += 1
            gold = golds[request.id]
            return {"yes": "no", "no": "yes"}[gold] if numbers[request.id] % round(1 / wrong) == 0 else gold

        super().__init__(answer, info=FAKE_MODEL)


def plan(out: Path, dataset: Dataset, until: Until) -> Plan:
    return Plan("fake", TASK, "llava", "mini", out, data=dataset, until=until)


def test_it_stops_when_the_interval_is_small_enough_and_says_so(tmp_path):
    dataset = data(90)
    backend = Asked(dataset)
    wanted = plan(tmp_path, dataset, Until(4.0))
    scores = carry_out_until(wanted, backend)
    interval = scores.intervals["headline"]
    assert (interval.high - interval.low) / 2 <= 4
    assert backend.count == scores.data.samples < len(dataset.samples)
    stopping = read_record(RunRecord, wanted.folder / "run.json").data.stopping
    assert (stopping.rule, stopping.seed, stopping.of) == ("until=4", 0, len(dataset.samples))
    assert stopping.stretch > 1
    assert "first" in scores.data.version
    assert wanted.folder.parent.name == "fake--until=4"


def test_the_same_command_asks_nothing_again(tmp_path):
    dataset = data(90)
    first = carry_out_until(plan(tmp_path, dataset, Until(4.0)), Asked(dataset))
    again = Asked(dataset)
    assert carry_out_until(plan(tmp_path, dataset, Until(4.0)), again).headline == first.headline
    assert again.count == 0


def test_everything_is_asked_where_that_is_not_enough(tmp_path):
    dataset = data(40)
    scores = carry_out_until(plan(tmp_path, dataset, Until(0.1)), Asked(dataset))
    assert scores.data.samples == len(dataset.samples)


def test_a_comparison_stops_when_it_is_decided(tmp_path):
    dataset = data(90)
    baseline = make_run(tmp_path / "baseline", lambda number, _: number % 3 == 0, data=dataset)
    backend, decided = Asked(dataset), []
    wanted = plan(tmp_path / "out", dataset, Until(None, baseline))
    scores = carry_out_until(wanted, backend, on_decision=decided.append)
    assert scores.data.samples == backend.count < len(dataset.samples)
    stored, stopped = StoredRun.read(baseline / "pope"), StoredRun.read(wanted.folder)
    assert scores.headline.value > stored.scores.headline.value
    found = compare_runs(stored, stopped, common=True).difference
    assert found.low > 0  # as wide as the looks make it, as what was decided
    (words,) = decided
    assert words.startswith(f"better than {stored.folder}: {found.value:+.2f} [+")


def test_comparisons_with_a_stopped_run_are_as_wide_as_its_looks_make_them(tmp_path):
    dataset = data(60)
    whole = StoredRun.read(make_run(tmp_path / "whole", lambda number, _: number % 4 == 0, data=dataset) / "pope")
    wanted = plan(tmp_path / "out", dataset, Until(0.1))
    carry_out_until(wanted, Asked(dataset))  # everything is asked, in another order
    stopped = StoredRun.read(wanted.folder)
    data_of_whole = {"data": whole.run.data, "prompt": whole.run.prompt}
    plain = replace(stopped, run=stopped.run.model_copy(update=data_of_whole))
    looked, once = compare_runs(whole, stopped), compare_runs(whole, plain)
    stretch = stopped.run.data.stopping.stretch
    assert looked.difference.high - looked.difference.low == pytest.approx(
        stretch * (once.difference.high - once.difference.low)
    )
    assert looked.test.p_value > once.test.p_value
    assert any("stopped by looks at the score" in note for note in looked.notes)
    assert once.notes == ()


def test_a_baseline_on_other_questions_is_one_line(tmp_path):
    baseline = make_run(tmp_path / "baseline", data=data(33).first(36))
    wanted, backend = plan(tmp_path / "out", data(33), Until(None, baseline)), Asked(data(33))
    with pytest.raises(UserError, match="has no answer to 558 of the questions"):
        carry_out_until(wanted, backend)
    assert backend.count == 0
    assert not wanted.folder.exists()


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", "decided"])
def test_other_rules_are_one_line(text):
    with pytest.raises(UserError, match="half the width"):
        parse_until(text, 0)


def test_another_seed_asks_other_pictures_first():
    dataset = data(90)
    first, other = (Until(1.0, None, seed).stages(dataset)[0] for seed in (0, 1))
    assert {sample.group for sample in first.samples} != {sample.group for sample in other.samples}
    assert len({sample.group for sample in first.samples}) == 30
