"""Two runs of one task, sample by sample: whether they can be compared, and how they differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from moe_eval.comparison.drawn import answers_differ, missing_questions, side_by_side
from moe_eval.engine.ablation import OTHER_ORDER
from moe_eval.errors import UserError
from moe_eval.runs.stored_run import StoredRun
from moe_eval.scoring.headlines import headline_name
from moe_eval.statistics.intervals import widened
from moe_eval.statistics.paired import Difference, PairedScores, PairedTest, differences, paired_test
from moe_eval.statistics.sequential import stretched_p_value
from moe_eval.statistics.significance import holm
from moe_eval.task import worth

__all__ = [
    "Comparison",
    "compare_runs",
    "compare_tasks",
    "corrected",
    "incompatibilities",
    "pair_scores",
    "stretch_of_looks",
]


@dataclass(frozen=True)
class Comparison:
    """One task of two runs.

    Args:
        headline: name of the number.
        ids: of the samples that were compared.
        groups: how many groups of questions, mostly pictures, they are in.
        differences: second minus first of every number that both have; `headline` is one of them.
        test: of the headline.
        adjusted: its p-value after Holm's correction for all tasks that were compared together.
        notes: what a reader of the difference must know.
    """

    task: str
    headline: str
    first: StoredRun = field(repr=False)
    second: StoredRun = field(repr=False)
    ids: tuple[str, ...] = field(repr=False)
    groups: int
    differences: Mapping[str, Difference]
    test: PairedTest
    adjusted: float
    notes: tuple[str, ...]

    @property
    def difference(self) -> Difference:
        """Of the headline."""
        return self.differences["headline"]


def compare_tasks(
    first: Mapping[str, StoredRun], second: Mapping[str, StoredRun], common: bool = False
) -> tuple[list[Comparison], list[str]]:
    """Every task that both have, and the names of those that one has alone.

    Raises:
        UserError: when no task is common, and as `compare_runs`.
    """
    shared = [task for task in first if task in second]
    if not shared:
        raise UserError(f"no common task: one has {', '.join(sorted(first))}, the other {', '.join(sorted(second))}")
    found = [compare_runs(first[task], second[task], common) for task in shared]
    return corrected(found), sorted(first.keys() ^ second.keys())


def corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same with p-values corrected for there being several."""
    adjusted = holm([comparison.test.p_value for comparison in comparisons])
    return [replace(one, adjusted=p_value) for one, p_value in zip(comparisons, adjusted, strict=True)]


def incompatibilities(first: StoredRun, second: StoredRun) -> list[str]:
    """What keeps two runs of a task from being compared, as `name: first → second`."""
    ours, theirs = first.run, second.run
    same_order = ours.data.fingerprint == theirs.data.fingerprint
    same_data = same_order or _all_in_another_order(first, second)
    settings = {"protocol": (ours.protocol, theirs.protocol), "judge": (first.scores.judge, second.scores.judge)}
    reordered = OTHER_ORDER in (ours.ablation, theirs.ablation) and ours.ablation != theirs.ablation
    if same_order and ours.prompt and theirs.prompt and not reordered:  # imported answers do not say what was asked
        settings["prompts"] = (ours.prompt.fingerprint[:15], theirs.prompt.fingerprint[:15])
    found = [] if same_data else [f"data: {_data(first)} → {_data(second)}"]
    found += [f"{name}: {one} → {other}" for name, (one, other) in settings.items() if one != other]
    answered_by_one = missing_questions(first) ^ missing_questions(second)
    if same_data and answered_by_one:
        found.append(f"{len(answered_by_one):,} questions are answered by one run only, such as {min(answered_by_one)}")
    return found


def compare_runs(first: StoredRun, second: StoredRun, common: bool = False) -> Comparison:
    """How the second run differs from the first.

    Args:
        common: compare the samples that both have even though data, protocols, prompts or judges differ.

    Raises:
        UserError: for runs that differ in what was asked or how it was scored (unless `common`), that have no sample in
            common, or whose answers nobody has scored yet.
    """
    task = first.run.task
    notes = incompatibilities(first, second)
    if notes and not common:
        raise UserError(
            f"{task}: these runs cannot be compared ({'; '.join(notes)}); compare what they have in common with --common"
        )
    ours, theirs = side_by_side(first, second)
    ids = [name for name in ours if name in theirs]
    if notes:
        ids, renamed = _same_questions(first, second, ids)
        notes.append(f"compared on the {len(ids):,} common samples of {len(ours):,} and {len(theirs):,}")
        notes += [f"{renamed:,} ids that stand for different questions are left out"] if renamed else []
    if not ids:
        raise UserError(f"{task}: {first.folder} and {second.folder} have no sample in common")
    for stored, entries in ((first, ours), (second, theirs)):
        if any(worth(entries[name]) is None for name in ids):
            raise UserError(
                f"{stored.folder}: what the answers of {task} are worth is not known here (hidden references, or "
                "`moe-eval judge` has to grade them), so they cannot be compared"
            )
    pair = pair_scores(first, second, ids)
    stretch = stretch_of_looks(first, second)
    found = {path: _stretched(one, stretch) for path, one in differences(pair).items()}
    if "headline" not in found:
        raise UserError(f"{task}: {first.scores.headline.name} is not known for both runs, so they cannot be compared")
    test = paired_test(pair)
    if stretch > 1:
        test = replace(test, p_value=stretched_p_value(test.p_value, stretch))
        notes.append(
            f"stopped by looks at the score (--until): intervals are {stretch:.2f} times as wide as of one look, p-values are those of such intervals"
        )
    return Comparison(
        task=task,
        headline=headline_name(second.scores),
        first=first,
        second=second,
        ids=tuple(ids),
        groups=len(set(pair.groups)),
        differences=found,
        test=test,
        adjusted=test.p_value,
        notes=(*notes, *_ablated(first, second), *answers_differ(first, second)),
    )


def stretch_of_looks(first: StoredRun, second: StoredRun) -> float:
    """How many times as wide intervals are because one of the runs was looked at until it was sure enough."""
    stops = (stored.run.data.stopping for stored in (first, second))
    return max([1.0, *(stop.stretch for stop in stops if stop)])


def _stretched(difference: Difference, stretch: float) -> Difference:
    if difference.low is None or difference.high is None:
        return difference
    low, high = widened((difference.low, difference.high), difference.value, stretch)
    detectable = difference.detectable and stretch * difference.detectable
    return replace(difference, low=low, high=high, detectable=detectable)


def _all_in_another_order(first: StoredRun, second: StoredRun) -> bool:
    """Whether both were asked all there is, though one was asked it picture by picture until it was sure enough."""
    data = [stored.run.data for stored in (first, second)]
    whole = all(one.stopping is None or one.samples == one.stopping.of for one in data)
    asked = [{str(entry["id"]) for entry in one.scores.samples} | set(one.scores.missing) for one in (first, second)]
    return any(one.stopping for one in data) and whole and data[0].source == data[1].source and asked[0] == asked[1]


def pair_scores(first: StoredRun, second: StoredRun, ids: Sequence[str] | None = None) -> PairedScores:
    """The scores of two runs side by side, of some samples or of all that both have.

    Raises:
        UserError: when the task is not installed.
    """
    ours, theirs = side_by_side(first, second)
    ids = [name for name in ours if name in theirs] if ids is None else ids
    return PairedScores(
        first=[ours[name] for name in ids],
        second=[theirs[name] for name in ids],
        groups=[str(ours[name]["group"]) for name in ids],
        aggregates=(first.protocol.aggregate, second.protocol.aggregate),
    )


def _same_questions(first: StoredRun, second: StoredRun, ids: Sequence[str]) -> tuple[list[str], int]:
    """The ids that stand for the same question in both, as far as that is known, and how many do not."""
    ours, theirs = first.known_samples()[0], second.known_samples()[0]
    same = [
        name
        for name in ids
        if name not in ours
        or name not in theirs
        or (ours[name].question, ours[name].gold) == (theirs[name].question, theirs[name].gold)
    ]
    return same, len(ids) - len(same)


def _data(stored: StoredRun) -> str:
    data = stored.run.data
    until = f", {data.stopping.rule} of {data.stopping.of:,}" if data.stopping else ""
    return f"{data.source} ({data.samples:,} samples{until}, {data.fingerprint[:15]})"


def _ablated(first: StoredRun, second: StoredRun) -> list[str]:
    """What was taken away or changed in one of the runs only."""
    ours, theirs = first.run.ablation, second.run.ablation
    return [] if ours == theirs else [f"ablation: {ours or 'none'} → {theirs or 'none'}"]
