"""Asking only as many questions as are needed: `--until 1.0`, `--until decided:RUN`."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from moe_eval.errors import UserError
from moe_eval.runs.stored_run import find_stored_runs
from moe_eval.task import Dataset, Stopping

__all__ = ["Until", "parse_until"]


@dataclass(frozen=True)
class Until:
    """When to stop.

    Args:
        half_width: of the headline's interval, in the headline's units; None: when `baseline` is decided.
        baseline: a folder of runs to be better or worse than.
        seed: of the order in which pictures come.
    """

    half_width: float | None
    baseline: Path | None = None
    seed: int = 0

    @property
    def words(self) -> str:
        """For people, and for the run's folder."""
        return f"until={self.half_width:g}" if self.half_width else "until=decided"

    def stages(self, dataset: Dataset) -> list[Dataset]:
        """The data at each look: the first pictures in random order, √2 times as many each time, at last all."""
        from moe_eval.statistics.sequential import looks_at, stretch_of  # numpy, which `--help` can do without

        looks = looks_at(len({sample.group for sample in dataset.samples}))
        ordered = dataset.stopped(Stopping(self.words, self.seed, len(dataset.samples), stretch_of(looks)))
        counts = list(Counter(sample.group for sample in ordered.samples).values())
        return [ordered.first(sum(counts[:look])) for look in looks]


def parse_until(text: str, seed: int) -> Until:
    """`1.0` or `decided:RUN`.

    Raises:
        UserError: for anything else, and a folder without runs.
    """
    kind, colon, folder = text.partition(":")
    if kind == "decided" and colon:
        find_stored_runs(Path(folder))
        return Until(None, Path(folder), seed)
    try:
        half_width = float(text)
    except ValueError:
        half_width = 0.0
    if not 0 < half_width < float("inf"):
        raise UserError(
            f"--until {text}: needs half the width of the 95 % interval, above 0 and in points, such as 1.0, or decided:RUN "
            "with the folder of a run to be better or worse than"
        )
    return Until(half_width, None, seed)
