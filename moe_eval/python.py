"""What Python code calls: `evaluate`, `load_runs`, `compare`, and the pandas frames of `Runs`. `docs/python.md` shows it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from moe_eval.errors import UserError, unknown
from moe_eval.runs.journal import answer_lines
from moe_eval.runs.plan import make_plans
from moe_eval.runs.stored_run import StoredRun, plain_or_gzipped

if TYPE_CHECKING:
    import datasets
    import pandas as pd

    from moe_eval.engine.backend import Backend

__all__ = ["Runs", "compare", "evaluate", "exportable", "load_runs"]

RUNS = Path("results/runs")
LOADING = (
    *("dtype", "device", "revision", "adapter", "chat_template", "picture_tokens", "processor_kwargs"),
    *("quantize", "device_map"),
    "engine_args",
)
"""What `evaluate` passes on to `find_source`."""


@dataclass(frozen=True)
class Runs:
    """Finished runs.

    Args:
        folders: one per model and task.
    """

    folders: Sequence[Path]

    def __len__(self) -> int:
        return len(self.folders)

    def __iter__(self) -> Iterator[StoredRun]:
        return map(StoredRun.read, self.folders)

    def summary(self) -> "pd.DataFrame":
        """A row per model and task: model, task, protocol, data, metric, score (None: pending), low, high (of the 95 % interval), n."""
        rows = []
        for stored in self:
            run, scores = stored.run, stored.scores
            interval = scores.intervals.get("headline")
            rows.append(
                {
                    "model": run.model.name,
                    "task": run.task,
                    "protocol": run.protocol,
                    "data": run.data.source,
                    "official": run.data.official,
                    "metric": scores.headline.name,
                    "score": scores.headline.value,
                    "low": interval.low if interval else None,
                    "high": interval.high if interval else None,
                    "n": len(scores.samples),
                }
            )
        return _frame(rows, SUMMARY)

    def samples(self) -> "pd.DataFrame":
        """A row per question: model, task, id, group, prompt, answer, gold, prediction, score (0 to 1), finish_reason, tokens.

        Prompt and gold are None where the data are not on this machine any more.
        """
        from moe_eval.task import worth

        rows = []
        for stored in self:
            path = plain_or_gzipped(stored.folder / "responses.jsonl")
            responses = {line["id"]: line for _, line in answer_lines(path)} if path.is_file() else {}
            questions, _ = stored.known_samples()
            for score in stored.scores.samples:
                key = str(score["id"])
                sample, response = questions.get(key), responses.get(key, {})
                rows.append(
                    {
                        "model": stored.run.model.name,
                        "task": stored.run.task,
                        "id": key,
                        "group": score.get("group"),
                        "prompt": stored.protocol.prompt(sample) if sample else None,
                        "answer": response.get("response"),
                        "gold": _plain(sample.gold) if sample else None,
                        "prediction": score.get("prediction"),
                        "score": worth(score),
                        "finish_reason": response.get("finish_reason"),
                        "tokens": response.get("tokens"),
                    }
                )
        return _frame(rows, SAMPLES)

    def dataset(self) -> "datasets.Dataset":
        """`samples()` for `datasets`: gold and prediction as text (several answers as JSON), so that tasks share columns."""
        import datasets

        return datasets.Dataset.from_pandas(exportable(self.samples()), preserve_index=False)

    def table(
        self,
        layout: str = "main",
        format: str = "md",
        published: Literal["all", "paper", "own", "none"] = "own",
        intervals: bool = True,
    ) -> str:
        """The comparison table as text; see `moe-eval table`.

        Raises:
            UserError: for a layout or format that does not exist, and a table without rows.
        """
        from moe_eval.table.build import Wanted, build_table
        from moe_eval.table.formats import render
        from moe_eval.table.published import read_published

        return render(build_table(layout, Wanted(self.folders, read_published(), published, intervals)), format)

    def report(self, out: str | Path, limit_images: int = 1000, thumbnail: int = 160) -> str:
        """Write the HTML report; what it holds comes back in a few lines."""
        from moe_eval.report.write import write_report

        return write_report(self.folders, Path(out), limit_images, thumbnail)


def evaluate(
    model: "str | Path | tuple[Any, Any] | Callable[..., str]",
    tasks: str | Sequence[str] = "all",
    *,
    data: str | None = None,
    protocol: str | None = None,
    limit: int | None = None,
    out: str | Path = RUNS,
    name: str | None = None,
    batch_size: int = 16,
    fresh: bool = False,
    allow_missing: bool = False,
    max_new_tokens: int | None = None,
    system: str | None = None,
    thinking: bool | None = None,
    on_answer: Callable[[int, int], None] = lambda answered, total: None,
    **loading: Any,
) -> Runs:
    """Ask a model the questions of tasks, score its answers, keep everything as runs in `out`; a stopped one goes on.

    Args:
        model: a name of `moe-eval list models`, a folder, `hf:ORG/NAME`, `vllm:` and one of these, `openai:NAME@URL`; a pair (model, processor) that is in memory; or a
            function (pictures, text) -> answer.
        tasks: names of `moe-eval list tasks`, a list or comma-separated; `all` stands for our nine.
        data: where samples come from. Default: the papers' questions; for models trained on `mini`, and nothing else, `mini`.
        limit: ask at most so many questions per task, in whole groups.
        name: of the model in folders and tables; None: as it was given.
        fresh: throw away earlier answers instead of going on from them.
        allow_missing: score without the questions that could not be answered.
        max_new_tokens: length limit of an answer; None: the benchmark's.
        system: the system's words; None: those of the chat template.
        thinking: let the model think before it answers; None: not; behind a server, as that has it.
        on_answer: called with (answered so far, all questions) after each answer.
        loading: of a model that is named: engine, dtype, device, revision, adapter, chat_template, picture_tokens,
            processor_kwargs (a dict), quantize, device_map, engine_args, as for `moe-eval run`.

    Raises:
        UserError: for names that do not exist, and for questions without an answer; all other answers are kept.
    """
    from moe_eval.evaluation import carry_out

    backend, title, trained_on_mini = _backend(model, name, batch_size, loading)
    names = [name.strip() for name in (tasks.split(",") if isinstance(tasks, str) else tasks)]
    settings = {"out": Path(out), "limit": limit, "allow_missing": allow_missing, "fresh": fresh}
    asking = {"max_new_tokens": max_new_tokens, "system": system, "thinking": thinking}
    plans = make_plans(title, names, trained_on_mini, data=data, protocol=protocol, **settings, **asking)
    for plan in plans:
        carry_out(plan, backend, on_answer)
    return Runs([plan.folder for plan in plans])


def load_runs(*folders: str | Path) -> Runs:
    """The finished runs in or below folders, sorted by path.

    Raises:
        UserError: when there is none.
    """
    found = sorted(
        {
            file.parent
            for folder in folders
            for name in ("scores.json", "scores.json.gz")
            for file in Path(folder).glob(f"**/{name}")
        }
    )
    if not found:
        raise UserError(f"{', '.join(map(str, folders)) or 'no folder'}: no finished run in it (no scores.json)")
    return Runs(found)


def compare(first: "Runs | str | Path", second: "Runs | str | Path", common: bool = False) -> "pd.DataFrame":
    """Two models' runs paired question by question: a row per common task with the difference second - first, its 95 %
    interval, and the p-value corrected for the number of tasks (Holm).

    Raises:
        UserError: when no task is common, or runs cannot be compared.
    """
    from moe_eval.comparison.pairing import compare_tasks

    comparisons, _ = compare_tasks(_by_task(first), _by_task(second), common)
    rows = [
        {
            "task": one.task,
            "metric": one.headline,
            "first": one.first.scores.headline.value,
            "second": one.second.scores.headline.value,
            "difference": one.difference.value,
            "low": one.difference.low,
            "high": one.difference.high,
            "p_value": one.adjusted,
            "n": len(one.ids),
        }
        for one in comparisons
    ]
    return _frame(rows, COMPARISON)


COMPARISON = ["task", "metric", "first", "second", "difference", "low", "high", "p_value", "n"]
SUMMARY = ["model", "task", "protocol", "data", "official", "metric", "score", "low", "high", "n"]
SAMPLES = [
    *("model", "task", "id", "group", "prompt", "answer", "gold", "prediction", "score", "finish_reason", "tokens"),
]


def _frame(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> "pd.DataFrame":
    import pandas as pd

    frame = pd.DataFrame(rows, columns=list(columns))
    numbers = [name for name in ("score", "low", "high", "first", "second", "difference", "p_value") if name in columns]
    return frame.astype(dict.fromkeys(numbers, float))  # what is not known is NaN


def _plain(gold: Any) -> Any:
    """Gold as one value of a column: text, or a list of texts."""
    return list(gold) if isinstance(gold, (list, tuple)) else gold if gold is None else str(gold)


def _by_task(runs: "Runs | str | Path") -> dict[str, StoredRun]:
    found: dict[str, StoredRun] = {}
    for stored in runs if isinstance(runs, Runs) else load_runs(runs):
        if stored.run.task in found:
            raise UserError(
                f"several runs of {stored.run.task} ({found[stored.run.task].folder} and {stored.folder}): one is compared"
            )
        found[stored.run.task] = stored
    return found


def exportable(frame: "pd.DataFrame") -> "pd.DataFrame":
    """The frame with one type in every column, whatever a task's gold is: text, and several answers as JSON."""
    return frame.assign(**{name: frame[name].map(_text) for name in ("gold", "prediction") if name in frame})


def _text(value: object) -> str | None:
    return None if value is None or value != value else value if isinstance(value, str) else json.dumps(value)


def _backend(model: Any, name: str | None, batch_size: int, loading: Mapping[str, Any]) -> "tuple[Backend, str, bool]":
    """What answers, its name, and whether `mini` is what it was trained on."""
    if loading and not isinstance(model, (str, Path)):
        raise UserError(f"{', '.join(loading)}: of a model that is given by name or folder, not of one that is there")
    if isinstance(model, (str, Path)):
        from moe_eval.engine.choose import choose_backend
        from moe_eval.engine.named import find_source

        engine = loading.get("engine", "auto")
        loading = {key: value for key, value in loading.items() if key != "engine"}
        unknown_ones = sorted(loading.keys() - set(LOADING))
        if unknown_ones:
            raise unknown("option of evaluate", unknown_ones[0], LOADING)
        paths = {key: Path(loading[key]) for key in ("adapter", "chat_template") if loading.get(key) is not None}
        source = find_source(str(model), engine=engine, label=name, **{**loading, **paths})
        source.check_name()
        return choose_backend(source, engine, batch_size)[0], source.title, source.trained_on_mini
    if isinstance(model, tuple) and len(model) == 2:
        from moe_eval.engine.in_memory import InMemoryBackend

        title = name or Path(getattr(model[0].config, "_name_or_path", "") or "model").name
        return InMemoryBackend(*model, title, batch_size), title, False
    if callable(model):
        from moe_eval.engine.function import FunctionBackend

        function = FunctionBackend(model, name)
        return function, function.name, False
    raise UserError(
        f"a model's name or folder, (model, processor) or a function is wanted, not a {type(model).__name__}"
    )
