"""What runs are called on the page: the same everywhere, and different runs differently."""

from collections.abc import Callable, Sequence

from moe_eval.report.runs import ReportRun

__all__ = ["letters_of", "run_labels"]


def run_labels(runs: Sequence[ReportRun]) -> list[str]:
    """The models' names, with what tells runs of one name apart; runs of one model on several tasks share a label."""
    labels = []
    for run in runs:
        rivals = [other for other in runs if other.run.model.name == run.run.model.name]
        parts = [text for fact in FACTS if len({fact(other) for other in rivals}) > 1 and (text := fact(run))]
        labels.append(f"{run.run.model.name} ({', '.join(parts)})" if parts else run.run.model.name)
    for label in _repeated(runs, labels):
        parents = len({run.folder.parent for run, own in zip(runs, labels, strict=True) if own == label}) > 1
        for index, run in enumerate(runs):
            if labels[index] == label:
                labels[index] = f"{label} ({(run.folder.parent if parents else run.folder).as_posix()})"
    return labels


def _repeated(runs: Sequence[ReportRun], labels: Sequence[str]) -> set[str]:
    """Labels that two runs on the same questions have."""
    seen: set[tuple[str, str, str]] = set()
    repeated = set()
    for run, label in zip(runs, labels, strict=True):
        key = label, run.run.task, run.run.data.fingerprint
        repeated |= {label} if key in seen else set()
        seen.add(key)
    return repeated


def _protocol(run: ReportRun) -> str:
    return run.run.protocol


def _ablation(run: ReportRun) -> str:
    return run.run.ablation or ""


def _otherwise(run: ReportRun) -> str:
    return ", ".join(run.run.generation.asked_otherwise if run.run.generation else ())


def _noise(run: ReportRun) -> str:
    seed = run.run.model.router_noise_seed
    return "" if seed is None else f"router noise {seed}"


def _dtype(run: ReportRun) -> str:
    return run.run.model.dtype


def _weights(run: ReportRun) -> str:
    return f"weights {run.run.model.weights_fingerprint.removeprefix('sha256:')[:8]}"


FACTS: tuple[Callable[[ReportRun], str], ...] = (_protocol, _ablation, _otherwise, _noise, _dtype, _weights)
"""What can differ between runs of one name; "" for what goes without saying."""


def letters_of(labels: Sequence[str]) -> dict[str, str]:
    """A short sign for each different label, in their order: A, B, …, Z, AA, …; none where there is nothing to tell apart.

    >>> letters_of(["llava-nano", "moe-llava-nano", "llava-nano"])
    {'llava-nano': 'A', 'moe-llava-nano': 'B'}
    """
    different = list(dict.fromkeys(labels))
    return {label: _letter(number) if len(different) > 1 else "" for number, label in enumerate(different)}


def _letter(number: int) -> str:
    before = _letter(number // 26 - 1) if number >= 26 else ""
    return before + chr(ord("A") + number % 26)
