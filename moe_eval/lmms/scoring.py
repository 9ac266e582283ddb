"""Scores of lmms-eval's tasks by their own functions, in the form in which our runs store them."""

import ast
import inspect
import math
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any

from moe_eval.errors import UserError
from moe_eval.lmms.failure import reason
from moe_eval.task import Result, Sample, SampleScore

__all__ = ["TaskScorer", "plain", "storable", "stored"]


@dataclass(frozen=True)
class TaskScorer:
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
                    scores[f"{metric},{name}"] = storable(value)
        except Exception as error:  # somebody else's functions: anything may go wrong in them
            raise UserError(f"{self.name}: document {number} cannot be scored: {reason(error)}") from error
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
                items = [stored(score[key]) for score in scores if key in score]
                value = plain(self._combine(key, combine, items)) if items else None
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
                raise UserError(f"{self.name}: {key} cannot be aggregated: {reason(error)}") from error


REASONING_TAGS = '[["<think>", "</think>"], ["<analysis>", "</analysis>"]]'
"""What lmms-eval's command line strips from answers unless told otherwise."""


def storable(value: Any) -> float | int | str:
    """Finite numbers as they are, all else as a Python literal.

    Raises:
        ValueError: for what has no literal, such as a picture.
    """
    simple = plain(value)
    if isinstance(simple, bool):
        return int(simple)
    if isinstance(simple, int) or (isinstance(simple, float) and math.isfinite(simple)):
        return simple
    literal = repr(simple)
    if repr(stored(literal)) != literal:
        raise ValueError(f"a {type(value).__name__} cannot be stored: {literal[:80]}")
    return literal


def stored(value: float | int | str) -> Any:
    """What `storable` was given, but for the kinds of arrays and mappings."""
    return ast.literal_eval(_NamedNumbers().visit(ast.parse(value, mode="eval"))) if isinstance(value, str) else value


def plain(value: Any) -> Any:
    """Arrays, their numbers and mappings of all kinds as Python's own, all the way down."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return tuple(plain(one) for one in value) if isinstance(value, tuple) else value


class _NamedNumbers(ast.NodeTransformer):
    """`nan` and `inf`, which have no literals."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(float(node.id)) if node.id in ("nan", "inf") else node
