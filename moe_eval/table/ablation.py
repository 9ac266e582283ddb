"""The layout `ablation`: runs of one model that differ in a setting; rows say in which, and by how much numbers move.

A sparse model and its dense twin (same language model, same picture size) count as one model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev

from moe_eval.errors import UserError
from moe_eval.registry import task_title
from moe_eval.runs.records import RunRecord, ScoresRecord, read_record
from moe_eval.table.grid import Block, Cell, Grid, Heading, Interval
from moe_eval.table.measured import HEADLINE, interval_of

__all__ = ["ablation_table"]

DECIMALS = 2

REMARK = "In brackets: difference to the first row of the model. moe-eval compare says whether it is more than chance."


@dataclass
class _Variant:
    """All runs with one setting, by task."""

    setting: dict[str, str]
    sparse: bool
    runs: dict[str, tuple[RunRecord, ScoresRecord]] = field(default_factory=dict)

    @property
    def plainness(self) -> tuple[bool, bool, bool]:
        """The plainest variant of a model is what the others are held against."""
        return "ablation" in self.setting, "router noise" in self.setting, not self.sparse

    def value(self, task: str) -> float | None:
        return self.runs[task][1].headline.value if task in self.runs else None


def ablation_table(folders: Sequence[Path], intervals: bool = True) -> Grid:
    """A block per model of which there are several settings, a row per setting, a column per task.

    Raises:
        UserError: when no two runs are of one model in different settings.
    """
    models: dict[tuple[object, ...], list[_Variant]] = {}
    for folder in folders:
        run = read_record(RunRecord, folder / "run.json")
        _add(models.setdefault(_model_key(run), []), run, read_record(ScoresRecord, folder / "scores.json"))
    compared = [sorted(variants, key=lambda variant: variant.plainness) for variants in models.values()]
    compared = [variants for variants in compared if len(variants) > 1]
    if not compared:
        raise UserError(
            "layout ablation: no two of these runs are of one model in different settings; "
            "make some with `moe-eval run MODEL --ablate image=grey` or `--router-noise --seeds 5`"
        )
    tasks = list(dict.fromkeys(task for variants in compared for variant in variants for task in variant.runs))
    headings = [Heading("Model", name="model"), Heading("What differs", name="differs")]
    headings += [Heading(task_title(task), name=task, numeric=True) for task in tasks]
    blocks = [Block(tuple(_rows(variants, tasks, intervals)), variants[0].setting["model"]) for variants in compared]
    return Grid("One model, one setting changed", tuple(headings), tuple(blocks), (REMARK,))


def _model_key(run: RunRecord) -> tuple[object, ...]:
    return (run.model.llm, run.model.image_size) if run.model.llm else (run.model.name,)


def _add(variants: list[_Variant], run: RunRecord, scores: ScoresRecord) -> None:
    """To the variant of the same setting, or to a new one: a second run of a task in the same setting is one, too."""
    setting, counts = _setting(run), run.model.parameters
    for variant in variants:
        if variant.setting == setting and run.task not in variant.runs:
            variant.runs[run.task] = run, scores
            return
    sparse = bool(counts and counts.activated != counts.total)
    variants.append(_Variant(setting, sparse, {run.task: (run, scores)}))


def _setting(run: RunRecord) -> dict[str, str]:
    """What can be changed, in words; what is not there is at its default."""
    model, generation = run.model, run.generation
    setting = {"model": model.name, "weights": model.weights_fingerprint, "protocol": run.protocol}
    setting |= {"dtype": model.dtype, "backend": model.backend}
    if model.router_noise_seed is not None:
        setting["router noise"] = f"seed {model.router_noise_seed}"
    if run.ablation:
        setting["ablation"] = run.ablation
    if run.data.stopping:
        setting["stopped"] = run.data.stopping.rule
    if generation and generation.system:
        setting["system"] = f'"{generation.system}"'
    if generation and generation.thinking:
        setting["thinking"] = "on"
    return setting


def _rows(variants: Sequence[_Variant], tasks: Sequence[str], intervals: bool) -> list[tuple[Cell, ...]]:
    base = variants[0]
    rows = []
    for variant in variants:
        changes = _changes(base, variant)
        notes = ("differs in more than one setting",) if len(changes) > 1 else ()
        what = Cell(
            "; ".join(changes) or ("nothing: the model as it is" if variant is base else "nothing: run again"),
            notes=notes,
        )
        rows.append(
            (Cell(variant.setting["model"]), what, *(_number(base, variant, task, intervals) for task in tasks))
        )
    noisy = [variant for variant in variants if set(_changed(base, variant)) == {"router noise"}]
    if len(noisy) > 1:
        rows.append(
            (
                Cell(base.setting["model"]),
                Cell(f"router noise, {len(noisy)} seeds: mean ± standard deviation"),
                *(_spread(noisy, task) for task in tasks),
            )
        )
    return rows


def _changed(base: _Variant, variant: _Variant) -> list[str]:
    names = dict.fromkeys([*base.setting, *variant.setting])
    return [name for name in names if base.setting.get(name) != variant.setting.get(name)]


def _changes(base: _Variant, variant: _Variant) -> list[str]:
    """One phrase per changed setting; another model is one change, whatever its weights are."""
    changed = _changed(base, variant)
    if "model" in changed:
        changed = [name for name in changed if name != "weights"]
    return [_phrase(name, base, variant) for name in changed]


def _phrase(name: str, base: _Variant, variant: _Variant) -> str:
    value = variant.setting.get(name)
    if name == "model":
        return "dense twin" if base.sparse and not variant.sparse else f"model {value}"
    if name == "ablation":
        return value or "no ablation"
    if value is None:
        return f"no {name}"
    return (
        f"other weights ({value[:15]})"
        if name == "weights"
        else f"{name}, {value}"
        if name == "router noise"
        else f"{name} {value}"
    )


def _number(base: _Variant, variant: _Variant, task: str, intervals: bool) -> Cell:
    if task not in variant.runs:
        return Cell()
    scores = variant.runs[task][1]
    value, of_base = scores.headline.value, base.value(task)
    if value is None:
        return Cell("pending")
    interval: Interval | None = interval_of(scores, HEADLINE)
    text = f"{value:.{DECIMALS}f}"
    if interval and intervals and variant is base:
        text += f" ±{(interval[1] - interval[0]) / 2:.{DECIMALS}f}"
    if variant is base or of_base is None:
        return Cell(text, value, interval)
    if _asked(base.runs[task]) != _asked(variant.runs[task]):
        return Cell(text, value, interval, (f"{task_title(task)}: not the questions of the first row: not compared",))
    return Cell(f"{text} ({value - of_base:+.{DECIMALS}f})", value, interval)


def _asked(of_task: tuple[RunRecord, ScoresRecord]) -> tuple[str, tuple[str, ...]]:
    run, scores = of_task
    return run.data.fingerprint, tuple(scores.missing)


def _spread(variants: Sequence[_Variant], task: str) -> Cell:
    values = [value for variant in variants if (value := variant.value(task)) is not None]
    if len(values) < 2:
        return Cell()
    return Cell(f"{fmean(values):.{DECIMALS}f} ± {stdev(values):.{DECIMALS}f}", fmean(values))
