"""Every figure by its name: what `moe-eval figures --figure NAME` draws."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from moe_eval.errors import UserError, unknown
from moe_eval.figures import (
    expert_load,
    expert_overlap,
    modality,
    params,
    pathways,
    pope_yes_ratio,
    reliability,
    specialisation,
    tasks,
)
from moe_eval.figures.drawing import Drawing, Sources
from moe_eval.table.published import read_published

__all__ = ["FIGURES", "kind_of", "make_drawings"]

FIGURES: dict[str, Callable[[Sources], Iterable[Drawing]]] = {
    "params": params.drawings,
    "tasks": tasks.drawings,
    "pope-yes-ratio": pope_yes_ratio.drawings,
    "reliability": reliability.drawings,
    "expert-load": expert_load.drawings,
    "modality": modality.drawings,
    "pathways": pathways.drawings,
    "expert-overlap": expert_overlap.drawings,
    "specialisation": specialisation.drawings,
}

NEEDS = {
    "params": "two or more models with a score of the same questions that activate different numbers of parameters",
    "tasks": "two or more scores of the nine benchmarks",
    "pope-yes-ratio": "a run of pope",
    "reliability": "a run of pope or mme under --protocol likelihood",
    "modality": "a run of a sparse model on pictures, made with `moe-eval run --routing`",
    "expert-overlap": "a run of a sparse model on pictures, made with `moe-eval run --routing`",
    "specialisation": "a scored run of a sparse model, made with `moe-eval run --routing`, whose questions are of several types "
    "or whose answers are right and wrong, or yes and no",
}
ROUTING = "a run of a sparse model, made with `moe-eval run --routing` (a dense model has no routing)"


def make_drawings(runs: Sequence[Path], names: Sequence[str] = (), published: bool = True) -> list[Drawing]:
    """Figures of run folders, ready to be saved.

    Args:
        runs: run folders, as `moe_eval.table.measured.find_runs` finds them.
        names: of `FIGURES`; none: all that there are data for, and of published numbers alone only if there is no run.
        published: whether published numbers appear beside measured ones.

    Raises:
        UserError: for a name that does not exist, and for a figure that was asked for and has no data.
    """
    for name in names:
        if name not in FIGURES:
            raise unknown("figure", name, FIGURES)
    sources = Sources(runs, read_published() if published else ())
    found = []
    for name in names or FIGURES:
        drawings = list(FIGURES[name](sources))
        if names and not drawings:
            raise UserError(
                f"figure {name}: needs {NEEDS.get(name, ROUTING)}; none is among the {len(runs)} runs given"
            )
        found += drawings
    return _named_apart([drawing for drawing in found if names or not runs or drawing.measured])


def _named_apart(drawings: Sequence[Drawing]) -> list[Drawing]:
    """Drawings whose names, of one model twice under different roofs, say, do not end in one file."""
    seen: Counter[str] = Counter()
    named = []
    for drawing in drawings:
        seen[drawing.name] += 1
        again = seen[drawing.name]
        named.append(replace(drawing, name=f"{drawing.name}-{again}") if again > 1 else drawing)
    return named


def kind_of(drawing: Drawing) -> str:
    """The name of `FIGURES` that a drawing is of."""
    return next(name for name in FIGURES if f"{drawing.name}-".startswith(f"{name}-"))
