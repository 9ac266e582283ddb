"""A benchmark: its facts, its protocols, its sources, and what else belongs to it."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from moe_eval.errors import UserError, unknown
from moe_eval.official import doubt_or_ground
from moe_eval.task.protocol import TaskProtocol
from moe_eval.task.samples import Dataset, DatasetLoader, Sample

__all__ = ["Card", "Options", "Submission", "Task", "question_id"]


@dataclass(frozen=True)
class Card:
    """What a reader must know before trusting a number of this task."""

    measures: str
    size: str
    licence: str
    citation: str
    pitfalls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Options:
    """Where the questions of a task keep their lettered options.

    Args:
        of: the texts that can change places, by letter; none of a question without options.
        put: the same question with other texts at some letters, and the letter that is right then (None where it is hidden).
    """

    of: Callable[[Sample], Mapping[str, str]]
    put: Callable[[Sample, Mapping[str, str], str | None], Sample]


@dataclass(frozen=True)
class Submission:
    """What the server of a benchmark wants to be sent.

    Args:
        filename: of the file that is written.
        upload: where to upload it, in one line.
        write: the file's content, from all samples in the order of the data and the answers by id.
        rows: how many questions the server wants in it; None where it has several splits.
        may_leave_out: whether the format has room for questions without an answer.
        scored_here: the source whose answers are not hidden, if there is one.
    """

    filename: str
    upload: str
    write: Callable[[Dataset, Mapping[str, str]], bytes]
    rows: int | None = None
    may_leave_out: bool = False
    scored_here: str | None = None


def question_id(answer: Mapping[str, Any]) -> str:
    """The sample that a line of a LLaVA answers file belongs to, where `question_id` alone says it."""
    return str(answer["question_id"])


@dataclass(frozen=True)
class Task:
    """A benchmark.

    Args:
        name: its name on the command line and in paths.
        title: its name in tables.
        card: facts for `moe-eval list tasks --long`.
        max_new_tokens: length limit of an answer in the original evaluation.
        protocols: ways to ask and score by name; the first is the default.
        sources: loaders by source name; the first is what `score` takes when nothing else is said.
        unpadded_families: model families whose original evaluation feeds this task's pictures without padding
            them to squares first.
        answer_id: the sample id that a line of a foreign answers file belongs to.
        submission: what its server accepts, where there is one.
        repository: the hub's data set with its questions.
        options: of a task whose questions have lettered options: what it takes to ask them in another order.
    """

    name: str
    title: str
    card: Card
    max_new_tokens: int
    protocols: Mapping[str, TaskProtocol]
    sources: Mapping[str, DatasetLoader]
    unpadded_families: frozenset[str] = frozenset()
    answer_id: Callable[[Mapping[str, Any]], str] = question_id
    submission: Submission | None = None
    repository: str | None = None
    options: Options | None = None

    @property
    def text_protocols(self) -> dict[str, TaskProtocol]:
        """Those that read free text, by name: stored answers can be scored under each of them."""
        return {name: protocol for name, protocol in self.protocols.items() if protocol.continuations is None}

    def protocol(self, name: str) -> TaskProtocol:
        """The protocol of that name.

        Raises:
            UserError: naming the ones that exist.
        """
        if name not in self.protocols:
            raise unknown(f"protocol of {self.name}", name, self.protocols)
        return self.protocols[name]

    def check_source(self, source: str) -> None:
        """Refuse the name of a source that this task does not have.

        Raises:
            UserError: naming the ones that exist.
        """
        kind, _ = _split_source(source)
        if kind not in self.sources:
            raise unknown(f"data source of {self.name}", kind, self.sources, "try `moe-eval list data`")

    def load(self, source: str) -> Dataset:
        """The samples of a source such as `mini`, `llava:DIR` or `hub@REVISION`.

        Raises:
            UserError: for a source that this task does not have, or data that are not as they should be.
        """
        self.check_source(source)
        kind, argument = _split_source(source)
        dataset = self.sources[kind](argument)
        if not dataset.samples:
            raise UserError(f"{self.name}: {source} holds no samples")
        repeated = [name for name, count in Counter(s.id for s in dataset.samples).items() if count > 1]
        if repeated:
            raise UserError(f"{self.name}: {source} holds {len(repeated)} ids more than once, such as {repeated[0]}")
        for sample in dataset.samples:
            if not sample.id.isascii() and sample.id.encode(errors="replace").decode() != sample.id:
                raise UserError(f"{self.name}: {source}: id {sample.id!r} holds half a surrogate pair, so is no text")
        return self._as_published(dataset) if dataset.official else dataset

    def _as_published(self, dataset: Dataset) -> Dataset:
        """Data with as many samples as papers score: whether they are theirs, and how that is known."""
        doubt, ground = doubt_or_ground(self.name, dataset.samples)
        if doubt:
            version = f"{dataset.version}: not those of the papers, though as many ({doubt})"
            return replace(dataset, version=version, official=False)
        return replace(dataset, version=f"{dataset.version}, {ground}") if ground else dataset


def _split_source(source: str) -> tuple[str, str]:
    """`llava:DIR` → (`llava`, `DIR`); `hub@REV` → (`hub`, `@REV`); `mini` → (`mini`, ``)."""
    kind, colon, argument = source.partition(":")
    name, at, revision = kind.partition("@")
    return (name, at + revision + colon + argument) if at else (kind, argument)
