"""One way to ask and score a task."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from moe_eval.task.judging import Judge
from moe_eval.task.samples import Sample
from moe_eval.task.scores import Result, SampleScore

__all__ = ["TaskProtocol"]


@dataclass(frozen=True)
class TaskProtocol:
    """One way to ask and score a task, such as LLaVA's.

    Args:
        headline: name of the headline number, with its scale.
        prompt: the text of the user turn: the question and its suffix, without image line and chat template.
        score: worth of one answer; total on strings.
        aggregate: worth of all answers; does not depend on their order.
        max_new_tokens: length limit of an answer, where it is not the task's.
        judge: how a language model grades answers, where the score needs that.
        continuations: the answers that may be given. Where there are some, nothing is generated: the most likely is the
            answer, and `score` finds the log-probability of each in `sample.meta["log_probabilities"]`.
        maximum: the best that the headline can be on all questions; tolerances are in percent of it.
        maxima: the best that numbers of the breakdown can be which are no percentages, by their path in the metrics or a
            pattern such as `subtasks.*.score`; infinite for those without an end.
        maxima_on: those that depend on which questions are asked, of their scores; `headline` for the headline itself.
        upright: turn pictures as their EXIF orientation says, which lmms-eval's data sets do and the originals do not.
    """

    headline: str
    prompt: Callable[[Sample], str]
    score: Callable[[Sample, str], SampleScore]
    aggregate: Callable[[Sequence[SampleScore]], Result]
    max_new_tokens: int | None = None
    judge: Judge | None = None
    continuations: Callable[[Sample], Sequence[str]] | None = None
    maximum: float = 100.0
    maxima: Mapping[str, float] = field(default_factory=dict)
    maxima_on: Callable[[Sequence[SampleScore]], Mapping[str, float]] | None = None
    upright: bool = False

    def maximum_of(self, samples: Sequence[SampleScore], path: str = "headline") -> float:
        """The best that a number can be on scored samples: `headline`, or the one at that dotted path in the metrics."""
        known = {**self.maxima, **(self.maxima_on(samples) if self.maxima_on else {})}
        if path == "headline":
            return known.get("headline", self.maximum)
        return next((maximum for pattern, maximum in known.items() if fnmatchcase(path, pattern)), 100.0)
