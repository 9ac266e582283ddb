"""Whether yes comes as often as its probability says: runs of yes/no questions under the protocol `likelihood`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moe_eval.figures.drawing import Drawing, Sources, file_name
from moe_eval.figures.style import BLUE, COLUMN, GREY, ORANGE, new_figure
from moe_eval.metrics.calibration import BINS, bin_of
from moe_eval.metrics.likelihood import is_yes
from moe_eval.registry import task_title
from moe_eval.runs.records import RunRecord, ScoresRecord, read_record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ReliabilityBin", "draw", "drawings", "reliability_bins"]

SIZE = COLUMN, 3.3


@dataclass(frozen=True)
class ReliabilityBin:
    """The answers whose probability of yes lies between `low` and `high`.

    Args:
        probability: their mean; as `share`, None where there are none.
        share: of them, those to which yes is right.
    """

    low: float
    high: float
    answers: int
    probability: float | None
    share: float | None


def drawings(sources: Sources) -> Iterable[Drawing]:
    """One per run whose answers have a probability of yes."""
    for folder in sources.runs:
        scores = _scores(folder)
        if scores is None or "ece" not in scores.metrics or "p_yes" not in scores.samples[0]:
            continue
        run = read_record(RunRecord, folder / "run.json")
        ablation = run.ablation or ""
        name = file_name("reliability", run.model.name, ablation, run.task)
        what = ", ".join(filter(None, (run.model.name, ablation, task_title(run.task))))
        title = (
            f"Reliability of yes: {what} ({run.data.source}), expected calibration error {scores.metrics['ece']:.1f} %"
        )
        yield Drawing(name, title, reliability_bins(scores.samples), draw)


def reliability_bins(samples: Sequence[Mapping[str, Any]]) -> list[ReliabilityBin]:
    """The bins of the expected calibration error, from scores with `p_yes` and `gold`."""
    members: list[list[Mapping[str, Any]]] = [[] for _ in range(BINS)]
    for sample in samples:
        members[bin_of(sample["p_yes"])].append(sample)
    return [
        ReliabilityBin(
            low=number / BINS,
            high=(number + 1) / BINS,
            answers=len(some),
            probability=sum(sample["p_yes"] for sample in some) / len(some) if some else None,
            share=sum(map(is_yes, some)) / len(some) if some else None,
        )
        for number, some in enumerate(members)
    ]


def draw(rows: Sequence[ReliabilityBin]) -> "Figure":
    """Above, the share of yes over its probability, and dashed where both are equal; below, how many answers there are."""
    figure, (upper, lower) = new_figure(*SIZE, rows=2, sharex=True, height_ratios=[3, 1])
    points = [(row.probability, row.share) for row in rows if row.probability is not None and row.share is not None]
    upper.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)
    upper.plot(*zip(*points, strict=True), "o-", color=BLUE, markersize=3.2)
    upper.set_xlim(0, 1)
    upper.set_ylim(-0.03, 1.03)
    upper.set_ylabel("yes is right (share)")
    upper.grid()
    lower.bar([row.low for row in rows], [row.answers for row in rows], 1 / BINS, align="edge", color=ORANGE)
    lower.set_ylabel("answers")
    lower.set_xlabel("probability of yes")
    return figure


def _scores(folder: Path) -> ScoresRecord | None:
    path = folder / "scores.json"
    return read_record(ScoresRecord, path) if path.is_file() else None
