"""More than two models on the same tasks: all pairs, one correction for all of them, and the ranks that are then possible."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import sqrt

import numpy as np

from moe_eval.comparison.pairing import Comparison, compare_runs, incompatibilities, pair_scores, stretch_of_looks
from moe_eval.errors import UserError, unknown
from moe_eval.runs.stored_run import StoredRun
from moe_eval.statistics.draws import RESAMPLES
from moe_eval.statistics.paired import how_many_extreme, swapped_differences
from moe_eval.statistics.sequential import stretched_p_value
from moe_eval.statistics.significance import holm

__all__ = ["LEVEL", "Pair", "Ranked", "Ranking", "rank_models", "weights_of"]

LEVEL = 0.05

Models = Mapping[str, Mapping[str, StoredRun]]
"""Runs by model and task."""


@dataclass(frozen=True)
class Pair:
    """Two models, the first with the better average.

    Args:
        tasks: by name, the second minus the first.
        adjusted: by task, p-values after Holm's correction over all pairs and tasks and averages.
        difference: of the averages, first minus second, in percent of the maximum.
        half_width: of its 95 % interval.
        adjusted_average: the p-value of that difference, corrected likewise.
    """

    first: str
    second: str
    tasks: Mapping[str, Comparison] = field(repr=False)
    adjusted: Mapping[str, float]
    difference: float
    half_width: float
    adjusted_average: float

    @property
    def told_apart(self) -> bool:
        """Whether the averages differ significantly."""
        return self.adjusted_average < LEVEL


@dataclass(frozen=True)
class Ranked:
    """A model.

    Args:
        average: of its headlines in percent of their maximum, by the ranking's weights.
        values: headlines by task.
        best, worst: the ranks it may have: all intervals hold together with a probability of 95 %.
    """

    model: str
    average: float
    values: Mapping[str, float]
    best: int
    worst: int


@dataclass(frozen=True)
class Ranking:
    """Models, the best average first, and their pairs.

    Args:
        weights: by task; they add up to 1.
        tests: how many p-values were corrected together.
        left_out: tasks that not all models have.
    """

    models: Sequence[Ranked]
    pairs: Sequence[Pair]
    weights: Mapping[str, float]
    tests: int
    left_out: Sequence[str]


def weights_of(text: str, tasks: Sequence[str]) -> dict[str, float]:
    """`pope=2,gqa=1` as weights that add up to 1; tasks that it does not name weigh 1, and all do where it is empty.

    Raises:
        UserError: for another form, a task that is not ranked or named twice, and weights below 0 or all 0.
    """
    weights, said = dict.fromkeys(tasks, 1.0), set[str]()
    for part in filter(None, text.split(",")):
        task, _, value = part.partition("=")
        if task not in weights:
            raise unknown("--weights: task", task, tasks)
        if task in said:
            raise UserError(f"--weights {text}: {task} is in it twice")
        said.add(task)
        try:
            weights[task] = float(value)
        except ValueError:
            raise UserError(f"--weights {part}: needs TASK=NUMBER, such as pope=2") from None
        if not 0 <= weights[task] < float("inf"):
            raise UserError(f"--weights {part}: needs a number of 0 or more")
    total = sum(weights.values())
    if not total:
        raise UserError("--weights: at least one task must weigh more than 0")
    return {task: weight / total for task, weight in weights.items()}


def rank_models(models: Models, weights: str = "") -> Ranking:
    """Compare all pairs of models on all tasks that all have.

    With M models and T tasks there are M(M − 1)/2 · (T + 1) p-values, one of each average; Holm's correction over all of them keeps the
    chance of any false alarm below 5 %. A model's rank is then at least one more than the number of models with a significantly
    better average, and at most M less those with a worse one; these intervals hold together.
    Source: Al Mohamad, Goeman and van Zwet, Simultaneous confidence intervals for ranks, Biometrics 2022.

    Args:
        weights: as `weights_of` reads them.

    Raises:
        UserError: for less than two models, no common task, and runs that were asked other questions.
    """
    if len(models) < 2:
        raise UserError(f"a ranking needs two models or more, and there is {len(models)}")
    tasks = [task for task in next(iter(models.values())) if all(task in runs for runs in models.values())]
    if not tasks:
        raise UserError("no task was run by all of these models: " + ", ".join(models))
    everything = {task for runs in models.values() for task in runs}
    shares = weights_of(weights, tasks)
    _check_same_questions(models, tasks)
    averages = {name: _average(runs, shares) for name, runs in models.items()}
    order = sorted(models, key=lambda name: -averages[name])
    compared = {
        (one, other): {task: compare_runs(models[one][task], models[other][task]) for task in tasks}
        for one, other in combinations(order, 2)
    }
    of_average = {names: _of_average(found, shares) for names, found in compared.items()}
    raw = [p for names in compared for p in _p_values(compared[names], of_average[names])]
    corrected = iter(holm(raw))
    pairs = []
    for (one, other), found in compared.items():
        adjusted = {task: next(corrected) for task in found}
        difference, half_width, _ = of_average[one, other]
        pairs.append(Pair(one, other, found, adjusted, difference, half_width, next(corrected)))
    ranked = [_ranked(name, models[name], averages[name], tasks, pairs, len(models)) for name in order]
    return Ranking(ranked, pairs, shares, len(raw), sorted(everything - set(tasks)))


def _check_same_questions(models: Models, tasks: Sequence[str]) -> None:
    first, *others = models
    for name in others:
        for task in tasks:
            reasons = incompatibilities(models[first][task], models[name][task])
            if reasons:
                raise UserError(f"{task}: {first} and {name} cannot be ranked together ({'; '.join(reasons)})")


def _average(runs: Mapping[str, StoredRun], weights: Mapping[str, float]) -> float:
    for task in weights:
        if runs[task].scores.headline.value is None:
            raise UserError(
                f"{runs[task].folder}: has no {runs[task].scores.headline.name} yet; leave {task} out, or score it"
            )
    return sum(weight * _percent_of_maximum(runs[task]) for task, weight in weights.items())


def _percent_of_maximum(run: StoredRun) -> float:
    return 100 * (run.scores.headline.value or 0.0) / run.protocol.maximum_of(run.scores.samples)


def _of_average(found: Mapping[str, Comparison], weights: Mapping[str, float]) -> tuple[float, float, float]:
    """First minus second of the averages, half its 95 % interval, and the p-value of swapping the models group by group."""
    difference = variance = observed = 0.0
    swapped = np.zeros(RESAMPLES)
    for number, (task, one) in enumerate(found.items()):
        maximum = one.second.protocol.maximum_of(one.second.scores.samples)
        scale = weights[task] * 100 / maximum
        difference -= scale * one.difference.value
        if one.difference.low is not None and one.difference.high is not None:
            variance += (scale * (one.difference.high - one.difference.low) / 2) ** 2
        of_task, swapped_of_task = swapped_differences(pair_scores(one.first, one.second), maximum, seed=number)
        observed += weights[task] * of_task
        swapped += weights[task] * swapped_of_task
    p_value = (how_many_extreme(observed, swapped) + 1) / (RESAMPLES + 1)
    stretch = max(stretch_of_looks(one.first, one.second) for one in found.values())
    return difference, sqrt(variance), stretched_p_value(p_value, stretch)


def _p_values(found: Mapping[str, Comparison], of_average: tuple[float, float, float]) -> list[float]:
    return [*(one.test.p_value for one in found.values()), of_average[2]]


def _ranked(
    name: str, runs: Mapping[str, StoredRun], average: float, tasks: Sequence[str], pairs: Sequence[Pair], models: int
) -> Ranked:
    better = sum(pair.second == name and pair.told_apart for pair in pairs)
    worse = sum(pair.first == name and pair.told_apart for pair in pairs)
    values = {task: float(runs[task].scores.headline.value or 0.0) for task in tasks}
    return Ranked(name, average, values, 1 + better, models - worse)
