"""A plan carried out: asked (`runs`), scored (`scoring`), written. What the command line and Python both call."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from moe_eval.engine.backend import Backend
from moe_eval.errors import UserError
from moe_eval.judge.record import read_judge
from moe_eval.registry import find_task
from moe_eval.runs.answering import Answered, answer
from moe_eval.runs.merging import StoredShard, merged
from moe_eval.runs.plan import Plan
from moe_eval.runs.records import RunRecord, ScoresRecord, read_record, write_record
from moe_eval.runs.stored_run import StoredRun, find_stored_runs
from moe_eval.runs.until import Until
from moe_eval.scoring.score import score_answers

__all__ = ["carry_out", "carry_out_shard", "carry_out_until", "merge"]


def carry_out(
    plan: Plan, backend: Backend, on_answer: Callable[[int, int], None] = lambda answered, total: None
) -> ScoresRecord:
    """Answer what is not answered yet, score, and write the run's files.

    Args:
        on_answer: called with (answered so far, all questions) at the start and after each answer.

    Raises:
        UserError: see `moe_eval.runs.answering.answer`.
    """
    with answer(plan, backend, on_answer) as answered:
        judge = read_judge(plan.folder, plan.protocol_name)
        scores = score_answers(
            plan.task,
            plan.protocol_name,
            plan.dataset,
            answered.answers,
            answered.missing,
            judge,
            log_probabilities=answered.log_probabilities,
            drawn=plan.sampling.samples if plan.sampling else None,
        )
        write_record(scores, plan.folder / "scores.json")
        return scores


def carry_out_until(
    plan: Plan,
    backend: Backend,
    on_answer: Callable[[int, int], None] = lambda answered, total: None,
    on_decision: Callable[[str], None] = lambda words: None,
) -> ScoresRecord:
    """Ask pictures in random order, look at the scores from time to time, and stop when `plan.until` is reached.

    What an earlier, killed run has answered counts, and so does the look that it was at.

    Args:
        on_decision: called at the end with how the run compares with the baseline that it was to be held against.

    Raises:
        UserError: see `moe_eval.runs.answering.answer`; also for scores that are not known before a judge has graded, and,
            before anything is asked, a baseline that was not run on these questions.
    """
    assert plan.until
    from moe_eval.comparison.deciding import decide  # numpy, which `--help` can do without

    baseline = _find_baseline(plan, plan.until)
    stages = plan.until.stages(plan.whole)
    earlier = 0 if plan.fresh else _asked_before(plan.folder)
    for stage in [stage for stage in stages if len(stage.samples) >= earlier] or stages[-1:]:
        now = replace(plan, data=stage, limit=None, fresh=plan.fresh and stage is stages[0])
        scores = carry_out(now, backend, on_answer)
        if scores.headline.value is None:
            raise UserError(f"{plan.task.name}: --until needs a score as soon as there are answers; run it without")
        decision = baseline and decide(baseline, scores, plan.protocol)
        if decision.words if decision else _is_narrow(scores, plan.until):
            break
    if baseline and decision:
        on_decision(decision.told(baseline))
    return scores


def _asked_before(folder: Path) -> int:
    path = folder / "run.json"
    return read_record(RunRecord, path).data.samples if path.is_file() else 0


def _find_baseline(plan: Plan, until: Until) -> StoredRun | None:
    if until.baseline is None:
        return None
    stored = find_stored_runs(until.baseline).get(plan.task.name)
    if stored is None:
        raise UserError(f"--until decided:{until.baseline}: it has no run of {plan.task.name}")
    from moe_eval.comparison.deciding import check_baseline

    check_baseline(stored, plan.protocol_name, plan.whole)
    return stored


def _is_narrow(scores: ScoresRecord, until: Until) -> bool:
    interval = scores.intervals.get("headline")
    assert until.half_width
    return interval is not None and (interval.high - interval.low) / 2 <= until.half_width


def carry_out_shard(
    plan: Plan, backend: Backend, on_answer: Callable[[int, int], None] = lambda answered, total: None
) -> Answered:
    """Answer a shard's questions; what the answers are worth is told when all shards are merged.

    Raises:
        UserError: see `moe_eval.runs.answering.answer`.
    """
    with answer(plan, backend, on_answer) as answered:
        return answered


def merge(shards: Sequence[StoredShard], out: Path, allow_missing: bool = False) -> tuple[Path, ScoresRecord]:
    """Make the run of its shards, score it, and write its files; its folder comes back, too.

    Raises:
        UserError: see `moe_eval.runs.merging.merged`.
    """
    with merged(shards, out, allow_missing) as run:
        task, answered = find_task(run.run.task), run.answered
        judge = read_judge(run.folder, run.run.protocol)
        scores = score_answers(
            task,
            run.run.protocol,
            run.dataset,
            answered.answers,
            answered.missing,
            judge,
            log_probabilities=answered.log_probabilities,
        )
        write_record(scores, run.folder / "scores.json")
        return run.folder, scores
