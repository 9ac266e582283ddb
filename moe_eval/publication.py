"""Runs as the hub's evaluation files: `.eval_results/*.yaml`, and the older `model-index` of a model card.

Both by huggingface_hub's own classes. The formats have a place for a number and none for its interval and protocol: these
stand in `notes`, and in the metric's arguments.
"""

import re
from collections.abc import Sequence
from importlib.metadata import version

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, eval_result_entries_to_yaml
from huggingface_hub.repocard_data import eval_results_to_model_index

from moe_eval.errors import UserError
from moe_eval.registry import find_task
from moe_eval.runs.stored_run import StoredRun

__all__ = ["eval_results_files", "model_index", "notes_of"]

TASK_TYPE = "image-text-to-text"
PACKAGE = "moe-llava-eval"
PART = re.compile(r", first [\d,]+ of")  # as `Dataset.first` calls what --limit leaves


def eval_results_files(runs: Sequence[StoredRun]) -> dict[str, str]:
    """Name in the model's repository → YAML, a file per task, of the runs whose questions are a data set of the hub.

    Raises:
        UserError: for runs of several models, two runs of a task, and a run without a number.
    """
    _check(runs)
    files = {}
    for run in runs:
        named = _hub_data(run)
        if named is None:
            continue
        repository, revision, split = named
        entry = EvalResultEntry(
            dataset_id=repository,
            task_id=split or run.run.task,
            value=run.scores.headline.value,
            dataset_revision=revision,
            date=_date(run),
            notes=notes_of(run),
        )
        files[f".eval_results/{run.run.task}.yaml"] = _yaml(eval_result_entries_to_yaml([entry]))
    return files


def model_index(runs: Sequence[StoredRun]) -> str:
    """The front matter's `model-index` of all runs, generated data included, which are called so.

    Raises:
        UserError: see `eval_results_files`.
    """
    _check(runs)
    return _yaml({"model-index": eval_results_to_model_index(runs[0].run.model.name, [_result(run) for run in runs])})


def notes_of(run: StoredRun) -> str:
    """What a number means: metric, interval, protocol, how many questions, and what asked them."""
    scores = run.scores
    interval = scores.intervals.get("headline")
    parts = [
        scores.headline.name,
        f"95 % interval [{interval.low:.2f}, {interval.high:.2f}]" if interval else "no interval",
        f"protocol {scores.protocol}",
        f"{scores.data.samples - len(scores.missing):,} of {scores.data.samples:,} questions ({scores.data.version})",
        f"graded by {scores.judge}" if scores.judge else "",
        f"taken away or changed on purpose: {run.run.ablation}" if run.run.ablation else "",
        *(run.run.generation.asked_otherwise if run.run.generation else ()),
        f"quantised: {run.run.model.quantization}" if run.run.model.quantization else "",
        f"{PACKAGE} {version(PACKAGE)}",
    ]
    return "; ".join(part for part in parts if part)


def _check(runs: Sequence[StoredRun]) -> None:
    models = sorted({run.run.model.name for run in runs})
    if len(models) > 1:
        raise UserError(f"publish: the runs are of {len(models)} models ({', '.join(models)}); give those of one")
    tasks = [run.run.task for run in runs]
    for run in runs:
        if tasks.count(run.run.task) > 1:
            raise UserError(f"publish: {tasks.count(run.run.task)} runs are of {run.run.task}; give one of them")
        if run.scores.headline.value is None:
            raise UserError(
                f"{run.folder}: {run.run.task} has no number yet: `moe-eval judge` or `moe-eval record` gives it"
            )


def _hub_data(run: StoredRun) -> tuple[str, str | None, str | None] | None:
    """Data set, commit and split of what was asked, where that is on the hub, or the same questions from elsewhere."""
    kind, _, argument = run.run.data.source.partition(":")
    kind, _, only_revision = kind.partition("@")
    if kind == "hf":
        found = re.fullmatch(r"([\w.-]+/[\w.-]+)@([0-9a-f]{40}):([^:]+)(?::.*)?", argument)
        return (found[1], found[2], found[3]) if found else None
    if PART.search(run.run.data.version):
        return None
    repository = find_task(run.run.task).repository
    if repository is None or not (kind == "hub" or run.run.data.official):
        return None
    split, _, revision = argument.partition("@") if kind == "hub" else ("", "", "")
    commit = revision or only_revision
    return repository, commit if re.fullmatch("[0-9a-f]{40}", commit) else None, split or None


def _result(run: StoredRun) -> EvalResult:
    named = _hub_data(run)
    task, scores = find_task(run.run.task), run.scores
    interval = scores.intervals.get("headline")
    arguments = {
        "protocol": scores.protocol,
        "interval_95": [round(interval.low, 4), round(interval.high, 4)] if interval else None,
        "questions": scores.data.samples - len(scores.missing),
        "judge": scores.judge,
    }
    return EvalResult(
        task_type=TASK_TYPE,
        task_name="Image-text-to-text",
        dataset_type=named[0] if named else f"{run.run.task}:{run.run.data.source}",
        dataset_name=task.title if named else f"{task.title}: {run.run.data.version}",
        dataset_revision=named[1] if named else None,
        dataset_split=named[2] if named else None,
        metric_type=re.sub(r"[^a-z0-9]+", "_", scores.headline.name.lower()).strip("_"),
        metric_name=scores.headline.name,
        metric_value=scores.headline.value,
        metric_args={name: value for name, value in arguments.items() if value is not None},
    )


def _date(run: StoredRun) -> str | None:
    return run.run.sessions[-1].started if run.run.sessions else None


def _yaml(content: object) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
