"""A plan carried out: asked (`runs`), scored (`scoring`), written. What the command line and Python both call."""

from collections.abc import Callable, Sequence
from pathlib import Path

from moe_eval.engine.backend import Backend
from moe_eval.judge.record import read_judge
from moe_eval.registry import find_task
from moe_eval.runs.answering import Answered, answer
from moe_eval.runs.merging import StoredShard, merged
from moe_eval.runs.plan import Plan
from moe_eval.runs.records import ScoresRecord, write_record
from moe_eval.scoring.score import score_answers

__all__ = ["carry_out", "carry_out_shard", "merge"]


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
