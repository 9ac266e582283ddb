"""How a language model grades answers, where a score needs one."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass

from moe_eval.task.samples import Sample

__all__ = ["Grade", "Judge", "JudgeCall", "Judgement", "NoGrade"]


@dataclass(frozen=True)
class JudgeCall:
    """One question to a language model that grades."""

    prompt: str
    temperature: float
    max_tokens: int


class NoGrade(float):
    """What an original takes for a grade where its judge never gave one: a number like any other, but counted apart."""


Grade = float | str
"""What a judge makes of one answer: a number from 0 to 1, or how it understands the answer, such as a letter."""

Judgement = Generator[JudgeCall, str, Grade]
"""How one answer is graded: yields calls, is sent the reply to each, returns the grade. Pure, so it can be replayed."""


@dataclass(frozen=True)
class Judge:
    """How a language model grades the answers of a task whose score needs one.

    The grades of a sample reach `TaskProtocol.score` as `sample.meta["grades"]`, one per run of the judge.

    Args:
        model: the model that the original uses.
        grade: the dialogue about one answer.
        runs: how often the original grades each answer.
        undecided: of the samples with answers, those that a judge has to read because the rules leave them open. Such a
            judge reads letters, and there is a score without it, too. None: it grades every answer with a number.
        refused: what an answer gets that the endpoint refuses to read; None: it is left without a grade.
    """

    model: str
    grade: Callable[[Sample, str], Judgement]
    runs: int = 1
    undecided: Callable[[Sequence[Sample], Mapping[str, str]], Sequence[Sample]] | None = None
    refused: Grade | None = None
