"""What a benchmark is: samples, prompts, scores. Tasks know this module and nothing else of the harness's engine.

A task answers four questions: which samples there are (`sources`), what the model is asked
(`TaskProtocol.prompt`), what an answer is worth (`TaskProtocol.score`) and what all of them are worth together
(`TaskProtocol.aggregate`). The last two are pure. Importing this module imports no torch, no numpy, no Pillow.
"""

import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from moe_eval.errors import UserError, unknown
from moe_eval.images import ImageRef
from moe_eval.official import doubt_or_ground

__all__ = [
    "Card",
    "Dataset",
    "DatasetLoader",
    "Grade",
    "Judge",
    "JudgeCall",
    "Judgement",
    "NoGrade",
    "Options",
    "Result",
    "Sample",
    "SampleScore",
    "Stopping",
    "Submission",
    "Task",
    "TaskProtocol",
    "answer_ids",
    "question_id",
    "worth",
]


@dataclass(frozen=True, slots=True)  # by the hundred thousand
class Sample:
    """One question.

    Args:
        id: unique in its data set; answers are joined by it, never by position.
        question: the text as the data has it, without prompt suffix.
        images: the pictures that the question is about, in order.
        gold: the reference answer(s), as the task's scorer wants them; None where they are hidden.
        group: what the questions about one picture share: the unit of clustered intervals and of prefix sharing.
        meta: whatever else scoring or the breakdown needs, such as `category`.
    """

    id: str
    question: str
    images: tuple[ImageRef, ...]
    gold: Any
    group: str
    meta: Mapping[str, Any] = field(default_factory=dict)


SampleScore = Mapping[str, float | int | str]
"""What one answer is worth, in plain numbers and strings: all that `aggregate` needs, so that results can be
aggregated again (for intervals, for comparisons) from a stored file alone. `correct` (0 or 1) or `score` (0 to 1) says
how right it was, and neither is there where that is not known; `prediction` is what the answer was understood as."""


def worth(score: SampleScore) -> float | None:
    """How right an answer was, between 0 and 1; None where the reference is hidden or a judge has not spoken yet."""
    value = score.get("correct", score.get("score"))
    return None if value is None else float(value)


@dataclass(frozen=True)
class Result:
    """The scores of a whole data set, in the units that papers print: the one number, and the breakdown behind it.

    `headline` is None where the number is not ours to give: references are hidden, or a judge has to grade first.
    """

    headline: float | None
    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class JudgeCall:
    """One question to a language model that grades."""

    prompt: str
    temperature: float
    max_tokens: int


class NoGrade(float):
    """What an original takes for a grade where its judge never gave one: a number like any other, but counted apart."""


Grade = float | str
"""What a judge makes of one answer: a number from 0 to 1, or how it understands the answer, such as a letter."""

Judgement = Generator[JudgeCall, str, Grade]
"""How one answer is graded: yields calls, is sent the reply to each, returns the grade. Pure, so it can be replayed."""


@dataclass(frozen=True)
class Judge:
    """How a language model grades the answers of a task whose score needs one.

    The grades of a sample reach `TaskProtocol.score` as `sample.meta["grades"]`, one per run of the judge.

    Args:
        model: the model that the original uses.
        grade: the dialogue about one answer.
        runs: how often the original grades each answer.
        undecided: of the samples with answers, those that a judge has to read because the rules leave them open. Such a
            judge reads letters, and there is a score without it, too. None: it grades every answer with a number.
        refused: what an answer gets that the endpoint refuses to read; None: it is left without a grade.
    """

    model: str
    grade: Callable[[Sample, str], Judgement]
    runs: int = 1
    undecided: Callable[[Sequence[Sample], Mapping[str, str]], Sequence[Sample]] | None = None
    refused: Grade | None = None


@dataclass(frozen=True)
class TaskProtocol:
    """One way to ask and score a task, such as LLaVA's.

    Args:
        headline: name of the headline number, with its scale.
        prompt: the text of the user turn: the question and its suffix, without image line and chat template.
        score: worth of one answer; total on strings.
        aggregate: worth of all answers; does not depend on their order.
        max_new_tokens: length limit of an answer, where it is not the task's.
        judge: how a language model grades answers, where the score needs that.
        continuations: the answers that may be given. Where there are some, nothing is generated: the most likely is the
            answer, and `score` finds the log-probability of each in `sample.meta["log_probabilities"]`.
        maximum: the best that the headline can be; tolerances are in percent of it.
        maxima: the best that numbers of the breakdown can be which are no percentages, by their path in the metrics or a
            pattern such as `subtasks.*.score`; infinite for those without an end.
        upright: turn pictures as their EXIF orientation says, which lmms-eval's data sets do and the originals do not.
    """

    headline: str
    prompt: Callable[[Sample], str]
    score: Callable[[Sample, str], SampleScore]
    aggregate: Callable[[Sequence[SampleScore]], Result]
    max_new_tokens: int | None = None
    judge: Judge | None = None
    continuations: Callable[[Sample], Sequence[str]] | None = None
    maximum: float = 100.0
    maxima: Mapping[str, float] = field(default_factory=dict)
    upright: bool = False

    def maximum_of(self, path: str) -> float:
        """The best that a number can be: `headline`, or the one at that dotted path in the metrics."""
        if path == "headline":
            return self.maximum
        return next((maximum for pattern, maximum in self.maxima.items() if fnmatchcase(path, pattern)), 100.0)


@dataclass(frozen=True)
class Stopping:
    """That asking may stop before all was asked, by a look at the scores so far (`--until`).

    Args:
        rule: such as `until=1`.
        seed: of the random order in which groups are asked.
        of: how many samples there are.
        stretch: how many times as wide intervals are because of the looks.
    """

    rule: str
    seed: int
    of: int
    stretch: float


@dataclass(frozen=True)
class Dataset:
    """The samples of a task from one source.

    Args:
        source: the string that names it on the command line, revision included where there is one.
        version: which edition of the data it is, for people.
        samples: all of them, in the order of the data; each is light, pictures open lazily.
        official: whether these are exactly the samples that the published numbers are about.
        has_images: False for a source that only scores stored answers.
        stopping: by what rule these are not all of the samples; None: by none.
        unaltered: the same as the source has it, where questions were altered (`moe_eval.runs.option_order`).
    """

    source: str
    version: str
    samples: Sequence[Sample]
    official: bool
    has_images: bool = True
    stopping: Stopping | None = None
    unaltered: "Dataset | None" = None

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over ids, questions, gold and picture names of the source; pixels are not read."""
        if self.unaltered:
            return self.unaltered.fingerprint
        digest = hashlib.sha256()
        encode = json.JSONEncoder(ensure_ascii=True, sort_keys=True).encode
        for sample in self.samples:
            row = [sample.id, sample.question, [image.name for image in sample.images], sample.gold]
            digest.update(encode(row).encode() + b"\n")
        return f"sha256:{digest.hexdigest()}"

    def shuffled(self, seed: int) -> "Dataset":
        """The same with the groups in random order; the samples of each keep theirs."""
        groups: dict[str, list[Sample]] = {}
        for sample in self.samples:
            groups.setdefault(sample.group, []).append(sample)
        order = list(groups.values())
        random.Random(seed).shuffle(order)
        return replace(self, samples=[sample for members in order for sample in members])

    def stopped(self, stopping: Stopping) -> "Dataset":
        """The same in the order of that rule."""
        version = f"{self.version}, in random order ({stopping.rule}, seed {stopping.seed})"
        return replace(self.shuffled(stopping.seed), stopping=stopping, version=version)

    def first(self, limit: int) -> "Dataset":
        """At most `limit` samples: whole groups in their order, and the first group whatever its size.

        Groups stay whole because some scores are defined on groups (MME pairs, MMBench rotations) and because
        every POPE picture carries all three categories.
        """
        if limit >= len(self.samples):
            return self
        groups: dict[str, list[Sample]] = {}
        for sample in self.samples:
            groups.setdefault(sample.group, []).append(sample)
        kept: set[str] = set()
        for members in groups.values():
            if kept and len(kept) + len(members) > limit:
                break
            kept.update(sample.id for sample in members)
        samples = [sample for sample in self.samples if sample.id in kept]
        version = f"{self.version}, first {len(samples):,} of {len(self.samples):,}"
        unaltered = self.unaltered and self.unaltered.first(limit)
        return replace(self, samples=samples, version=version, official=False, unaltered=unaltered)


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


DatasetLoader = Callable[[str], Dataset]
"""From what follows the source's name on the command line (`DIR` of `llava:DIR`, or "") to the data."""


@dataclass(frozen=True)
class Card:
    """What a reader must know before trusting a number of this task."""

    measures: str
    size: str
    licence: str
    citation: str
    pitfalls: tuple[str, ...] = ()


def question_id(answer: Mapping[str, Any]) -> str:
    """The sample that a line of a LLaVA answers file belongs to, where `question_id` alone says it."""
    return str(answer["question_id"])


def answer_ids(sample_id: str, samples: int | None) -> list[str]:
    """The ids of the answers to a question: its own, or `ID#1`, `ID#2`, … where `samples` of them are drawn."""
    return [sample_id] if samples is None else [f"{sample_id}#{number}" for number in range(1, samples + 1)]


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
