"""Tasks of lmms-eval as tasks of ours: `moe-eval run MODEL --tasks lmms:NAME`, or `lmms:FILE.yaml` for one of your own.

The samples, prompts, filters, scores and aggregates are lmms-eval's own; the answers are our backend's, one greedy
answer per document, in our run folders. lmms-eval is imported when the first task is loaded.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from moe_eval.errors import UserError, unknown
from moe_eval.lmms import LMMS_PREFIX
from moe_eval.lmms.documents import load_documents
from moe_eval.lmms.failure import reason
from moe_eval.lmms.request import max_new_tokens
from moe_eval.lmms.scoring import TaskScorer
from moe_eval.metrics.totals import RunOnce
from moe_eval.task import Card, Task, TaskProtocol

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
    with _truncated_pictures_as_before():
        theirs = _load(name)
    if theirs.OUTPUT_TYPE != "generate_until":
        raise UserError(
            f"{LMMS_PREFIX}{name}: asks for {theirs.OUTPUT_TYPE}, which a run cannot hold; "
            f"use lmms-eval --model {MODEL} --model_args pretrained=MODEL --tasks {theirs.config.task}"
        )
    scorer = TaskScorer(f"{LMMS_PREFIX}{theirs.config.task}", theirs)
    protocol = TaskProtocol(
        scorer.headline,
        lambda sample: sample.question,
        scorer.score,
        RunOnce(scorer.aggregate),  # many of them log a table each time
        maximum=1.0,  # of most of its metrics; it does not say
    )
    return Task(
        name=scorer.name,
        title=f"lmms-eval: {theirs.config.task}",
        card=_card(theirs),
        max_new_tokens=max_new_tokens(theirs.config.generation_kwargs),
        protocols={"lmms-eval": protocol},
        sources={"lmms": lambda _: load_documents(scorer.name, theirs)},
    )


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
        raise UserError(f"{LMMS_PREFIX}{name}: lmms-eval cannot load it: {reason(error)}") from error
    if task.config.num_fewshot is None:
        task.set_config("num_fewshot", 0)
    task.set_fewshot_seed(1234)  # lmms-eval's default
    return task


@contextmanager
def _truncated_pictures_as_before() -> Iterator[None]:
    """lmms-eval makes Pillow read broken pictures, in the whole process, when it is imported; for us they are errors."""
    from PIL import ImageFile

    before = ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


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
