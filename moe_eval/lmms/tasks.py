"""Tasks of lmms-eval as tasks of ours: `moe-eval run MODEL --tasks lmms:NAME`, or `lmms:FILE.yaml` for one of your own.

The samples, prompts, filters, scores and aggregates are lmms-eval's own; the answers are our backend's, one greedy
answer per document, in our run folders. lmms-eval is imported when the first task is loaded.
"""

import ast
import inspect
import math
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from moe_eval.errors import UnreadableImageError, UserError, unknown
from moe_eval.lmms.request import is_greedy, max_new_tokens, pictures_only
from moe_eval.registry import LMMS_PREFIX
from moe_eval.task import Card, Dataset, Result, Sample, SampleScore, Task, TaskProtocol

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["load_lmms_task"]

MODEL = "moe_llava"
"""Prompts and settings that a task has for some models only are looked up by this name."""


def load_lmms_task(name: str) -> Task:
    """The task of that name, or of a YAML file, with its data, which lmms-eval loads together.

    Args:
        name: as lmms-eval knows it, without prefix, or a path that ends with `.yaml`.

    Raises:
        UserError: when lmms-eval is not installed, knows no such task, cannot load it, or when the task asks for
            something else than one text answer per document.
    """
    theirs = _load(name)
    if theirs.OUTPUT_TYPE != "generate_until":
        raise UserError(
            f"{LMMS_PREFIX}{name}: asks for {theirs.OUTPUT_TYPE}, which a run cannot hold; "
            f"use lmms-eval --model {MODEL} --model_args pretrained=MODEL --tasks {theirs.config.task}"
        )
    scorer = _Scorer(f"{LMMS_PREFIX}{theirs.config.task}", theirs)
    protocol = TaskProtocol(scorer.headline, lambda sample: sample.question, scorer.score, scorer.aggregate)
    return Task(
        name=scorer.name,
        title=f"lmms-eval: {theirs.config.task}",
        card=_card(theirs),
        max_new_tokens=max_new_tokens(theirs.config.generation_kwargs),
        protocols={"lmms-eval": protocol},
        sources={"lmms": lambda _: _load_dataset(scorer)},
    )


# --- scores -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Scorer:
    """Scores of one task, by its own functions.

    Attributes:
        name: of our task.
        task: lmms-eval's, with its documents.
    """

    name: str
    task: Any = field(repr=False)

    @property
    def headline(self) -> str:
        """The first metric that the task declares, for the first of its filters, in lmms-eval's own scale."""
        return f"{next(iter(self.task.aggregation()))},{self.task._filters[0].name}"

    def score(self, sample: Sample, response: str) -> SampleScore:
        """What the task's filters and `process_results` make of an answer: `METRIC,FILTER` as in lmms-eval's results.

        Values that are no numbers are stored as Python literals, for `aggregate` to read.

        Raises:
            UserError: when the task's functions fail, or give what cannot be stored.
        """
        number = int(sample.id)
        scores: dict[str, float | int | str] = {}
        try:
            for name, filtered in self._filtered(number, response).items():
                doc = self.task.eval_docs_no_media[number]
                scores.setdefault("prediction", filtered if isinstance(filtered, str) else repr(filtered))
                for metric, value in self.task.process_results(doc, [filtered]).items():
                    scores[f"{metric},{name}"] = _storable(value)
        except Exception as error:  # somebody else's functions: anything may go wrong in them
            raise UserError(f"{self.name}: document {number} cannot be scored: {_reason(error)}") from error
        main = scores.get(self.headline)
        return {"score": main, **scores} if isinstance(main, int | float) and 0 <= main <= 1 else scores

    def aggregate(self, scores: Sequence[SampleScore]) -> Result:
        """The task's own aggregates by `METRIC,FILTER`; the headline is None where the task gives no number.

        Files that a task writes meanwhile, such as an upload, are thrown away: lmms-eval itself writes them.
        """
        metrics: dict[str, Any] = {}
        for name in (key.name for key in self.task._filters):
            for metric, combine in self.task.aggregation().items():
                key = f"{metric},{name}"
                items = [_stored(score[key]) for score in scores if key in score]
                value = _plain(self._combine(key, combine, items)) if items else None
                if value is not None:
                    metrics[key] = value
        headline = metrics.get(self.headline)
        if isinstance(headline, int | float) and math.isfinite(headline):
            return Result(float(headline), metrics)
        return Result(None, metrics)

    def _filtered(self, number: int, response: str) -> dict[str, Any]:
        """The answer after each of the task's chains of filters."""
        from lmms_eval.api.instance import Instance
        from lmms_eval.api.reasoning import parse_reasoning_tags_config, strip_reasoning_tags

        config = self.task.config
        metadata = {"task": config.task, "doc_id": number, "repeats": config.repeats}
        instance = Instance("generate_until", (), 0, metadata, resps=[response] * config.repeats)
        for chain in self.task._filters:
            chain.apply([instance], [self.task.eval_docs_no_media[number]])
        tags = parse_reasoning_tags_config(task_value=config.reasoning_tags, cli_value=REASONING_TAGS)
        if tags is None:
            return instance.filtered_resps
        return {
            name: strip_reasoning_tags(value, tags) if isinstance(value, str) else value
            for name, value in instance.filtered_resps.items()
        }

    def _combine(self, key: str, combine: Any, items: list[Any]) -> Any:
        with TemporaryDirectory() as folder:
            arguments = (
                {"args": Namespace(output_path=folder)} if "args" in inspect.signature(combine).parameters else {}
            )
            try:
                return combine(items, **arguments)
            except Exception as error:
                raise UserError(f"{self.name}: {key} cannot be aggregated: {_reason(error)}") from error


REASONING_TAGS = '[["<think>", "</think>"], ["<analysis>", "</analysis>"]]'
"""What lmms-eval's command line strips from answers unless told otherwise."""


def _storable(value: Any) -> float | int | str:
    """Finite numbers as they are, all else as a Python literal."""
    plain = _plain(value)
    if isinstance(plain, bool):
        return int(plain)
    if isinstance(plain, int) or (isinstance(plain, float) and math.isfinite(plain)):
        return plain
    literal = repr(plain)
    if _stored(literal) != plain and plain == plain:
        raise ValueError(f"a {type(value).__name__} cannot be stored: {literal[:80]}")
    return literal


def _stored(value: float | int | str) -> Any:
    if not isinstance(value, str):
        return value
    return float(value) if value in ("nan", "inf", "-inf") else ast.literal_eval(value)


def _plain(value: Any) -> Any:
    """Arrays and their numbers as Python's own, all the way down."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(one) for one in value) if type(value) in (list, tuple) else list(map(_plain, value))
    return value


# --- data -------------------------------------------------------------------------------------------------------


def _load_dataset(scorer: _Scorer) -> Dataset:
    task = scorer.task
    task.build_all_requests()
    texts = {request.doc_id: request.arguments[0] for request in task.instances}
    if len(texts) != len(task.instances):
        raise UserError(f"{scorer.name}: asks several questions about one document, which a run cannot hold")
    samples = []
    for number, text in texts.items():
        doc = _filled(_encoded(task.eval_docs, number))
        images = tuple(_DocImage(scorer, number, position) for position in range(_count_pictures(scorer, number, doc)))
        gold = _plain(task.doc_to_target(doc))
        samples.append(Sample(str(number), text, images, gold if _is_json(gold) else repr(gold), str(number)))
    config, split = task.config, task.config.test_split or task.config.validation_split
    data = "/".join(str(part) for part in (task.DATASET_PATH, task.DATASET_NAME, split) if part)
    greedy = "" if is_greedy(config.generation_kwargs) else ", answered greedily although the task asks for sampling"
    edition = f"{len(samples):,} documents of {data}, lmms-eval {version('lmms_eval')}{greedy}"
    return Dataset("lmms", edition, samples, official=False)


@dataclass(frozen=True)
class _DocImage:
    """One of the pictures of a document."""

    scorer: _Scorer
    document: int
    position: int

    @property
    def name(self) -> str:
        return f"{self.document}-{self.position}"

    def open(self) -> "Image":
        try:
            visuals = self.scorer.task.doc_to_visual(self.scorer.task.eval_docs[self.document])
            return visuals[self.position].convert("RGB")
        except Exception as error:  # the task's function and Pillow's decoders raise many kinds
            raise UnreadableImageError(f"{self.scorer.name} document {self.document}", _reason(error)) from error


def _count_pictures(scorer: _Scorer, number: int, doc: dict[str, Any]) -> int:
    """How many pictures a document shows; decodes them only if the task cannot do with placeholders."""
    where = f"{scorer.name}: document {number}"
    try:
        return len(pictures_only(scorer.task.doc_to_visual(doc), where))
    except UserError:
        raise
    except Exception:
        try:
            return len(pictures_only(scorer.task.doc_to_visual(scorer.task.eval_docs[number]), where))
        except Exception as error:
            raise UserError(f"{where}: its pictures cannot be read: {_reason(error)}") from error


def _encoded(docs: Any, number: int) -> dict[str, Any]:
    """A document with its pictures left encoded, where the documents are a data set and not a plain list."""
    if hasattr(docs, "with_format"):
        return docs.with_format("arrow")[number].to_pylist()[0]
    return docs[number]


def _filled(doc: Mapping[str, Any]) -> dict[str, Any]:
    """The document with a small grey picture for each encoded one."""
    from PIL import Image

    def fill(value: Any) -> Any:
        if isinstance(value, dict) and value.keys() == {"bytes", "path"}:
            return Image.new("RGB", (8, 8), "grey")
        return [fill(one) for one in value] if isinstance(value, list) else value

    return {name: fill(value) for name, value in doc.items()}


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(one) for key, one in value.items())
    if isinstance(value, list):
        return all(map(_is_json, value))
    return value is None or isinstance(value, str | int | float)


# --- lmms-eval's own tasks ----------------------------------------------------------------------------------------


def _load(name: str) -> Any:
    file = Path(name) if name.endswith((".yaml", ".yml")) else None
    if file and not file.is_file():
        raise UserError(f"{LMMS_PREFIX}{name}: there is no such file")
    manager = _manager(file.parent.resolve() if file else None)
    known = manager.task_index
    if file:
        inside = [key for key, entry in known.items() if entry["yaml_path"] == str(file.resolve())]
        if not inside:
            raise UserError(f"{LMMS_PREFIX}{name}: defines no task for lmms-eval")
        name = inside[0]
    if name not in known:
        raise unknown("task of lmms-eval", name, known, "try `lmms-eval tasks list`")
    if known[name]["type"] in ("group", "tag"):
        raise UserError(
            f"{LMMS_PREFIX}{name}: stands for several tasks; name them, separated by commas: {_members(known, name)}"
        )
    try:
        task = manager.load_task_or_group(name)[name]
    except Exception as error:  # somebody else's code and somebody else's data: anything may go wrong
        raise UserError(f"{LMMS_PREFIX}{name}: lmms-eval cannot load it: {_reason(error)}") from error
    if task.config.num_fewshot is None:
        task.set_config("num_fewshot", 0)
    task.set_fewshot_seed(1234)  # lmms-eval's default
    return task


@cache
def _manager(folder: Path | None) -> Any:
    """Index of lmms-eval's tasks, and of those in a folder; takes seconds."""
    try:
        from lmms_eval.tasks import TaskManager
        from loguru import logger
    except ImportError as error:
        raise UserError(
            f"{LMMS_PREFIX} tasks need lmms-eval ({error}): pip install 'moe-llava-eval[lmms]', "
            "or `make setup EXTRAS=lmms` where there is no torchvision for your torch"
        ) from error
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    return TaskManager(
        "WARNING", include_path=str(folder) if folder else None, include_defaults=not folder, model_name=MODEL
    )


def _members(known: Mapping[str, Any], name: str) -> str:
    members = known[name]["task"]
    if members == -1:
        from lmms_eval.utils import load_yaml_config

        members = load_yaml_config(known[name]["yaml_path"], mode="simple")["task"]
    return ", ".join(one if isinstance(one, str) else str(one.get("task")) for one in members)


def _card(task: Any) -> Card:
    return Card(
        measures="see lmms-eval's documentation of the task",
        size=f"{len(task.eval_docs):,} documents",
        licence="see the data set",
        citation=f"{task.DATASET_PATH}, through lmms-eval {version('lmms_eval')} (arXiv 2407.12772)",
        pitfalls=(
            "Prompts, scores and aggregates are lmms-eval's; some differ from the benchmark's own.",
            "Answers are greedy and are not cut at stop strings, as by lmms-eval's own LLaVA.",
        ),
    )


def _reason(error: BaseException) -> str:
    """One line; of a call that was tried again and again, what went wrong in the last."""
    attempt = getattr(error, "last_attempt", None)
    cause = attempt.exception() if attempt is not None else error
    return f"{type(cause).__name__}: {' '.join(str(cause).split())[:300]}"
