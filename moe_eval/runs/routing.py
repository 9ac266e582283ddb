"""How a run's tokens were routed: `routing.jsonl`, a line per answered question, and `routing.json`, their sum.

A line is appended before the answer that it belongs to, so that every answer of a run that was killed has its line; the
line of a question that was not answered in the end is removed when the run goes on. Nothing is counted twice.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, TypeAdapter, ValidationError

from moe_eval.engine.backend import Modality, Routing
from moe_eval.errors import UserError
from moe_eval.files.atomic import write_atomically
from moe_eval.runs.journal import AppendOnlyFile
from moe_eval.runs.records import DataRecord, Record, RunRecord, read_record

__all__ = [
    "ROUTING_FILES",
    "PathRecord",
    "RoutingJournal",
    "RoutingRecord",
    "SampleRouting",
    "read_routing",
    "read_sample_routing",
    "summarise_routing",
    "write_routing",
]

ROUTING_LINES, ROUTING_FILE = "routing.jsonl", "routing.json"
ROUTING_FILES = (ROUTING_LINES, ROUTING_FILE)
PATH_SAMPLES = 512
"""Questions whose paths are summed up in `routing.json`, evenly spread over the run: counts take all, paths need not."""

Counts = dict[Modality, list[list[list[int]]]]


@dataclass(frozen=True)
class SampleRouting:
    """One line of `routing.jsonl`."""

    id: str
    routing: Routing


class PathRecord(Record):
    """A way through the sparse layers that tokens took."""

    experts: list[int] = Field(description="the first choice in each sparse layer, from 0")
    tokens: int = Field(description="how many of the sampled tokens took it")


class RoutingRecord(Record):
    """`routing.json`."""

    schema_version: Literal[1] = 1
    task: str
    model: str
    data: DataRecord
    ablation: str | None = None
    settings: list[str] = Field(
        default=[],
        description="what else tells it from other runs of its model and task, such as a seed of routing noise",
    )
    samples: int = Field(description="answered questions whose routing is counted")
    unrecorded: int = Field(description="answered questions whose routing was not recorded")
    layers: list[int] = Field(description="indices of the sparse layers, from 0")
    counts: Counts = Field(
        description="by modality, [layers][choice][expert]: tokens whose first (second, ...) choice is an expert; "
        "prompts and answers without padding"
    )
    dropped: Counts | None = Field(description="of these, the choices that found no place; null: nothing ever drops")
    paths: dict[Modality, list[PathRecord]] = Field(
        description="ways of first choices that some tokens of some questions took, the most frequent first"
    )

    def tokens(self, modality: Modality) -> int:
        """How many tokens of a modality were routed."""
        return sum(self.counts[modality][0][0])


class RoutingJournal(AppendOnlyFile):
    """The `routing.jsonl` of a run, open for appending.

    Args:
        folder: the run's.
        answered: ids that have an answer; lines of others are removed.

    Raises:
        UserError: when a line is broken.

    Attributes:
        recorded: ids of the answers whose routing is there.
    """

    def __init__(self, folder: Path, answered: Iterable[str]):
        super().__init__(folder / ROUTING_LINES)
        answered = set(answered)
        recorded = [sample.id for sample in read_sample_routing(folder)]
        self.recorded = answered & set(recorded)
        self._keep(answered, recorded)

    def append(self, sample_id: str, routing: Routing) -> None:
        """Write the routing of one question, before its answer is written.

        Raises:
            UserError: when the disk is full; what was written before is kept whole.
        """
        self.append_line(_LINE.dump_json(SampleRouting(sample_id, routing)))
        self.recorded.add(sample_id)

    def _keep(self, answered: set[str], recorded: Sequence[str]) -> None:
        if answered.issuperset(recorded):
            return
        self.close()
        lines = [_LINE.dump_json(sample) for sample in read_sample_routing(self.path.parent) if sample.id in answered]
        write_atomically(self.path, b"".join(line + b"\n" for line in lines))
        super().__init__(self.path)


_LINE = TypeAdapter(SampleRouting)


def read_sample_routing(folder: Path) -> Iterator[SampleRouting]:
    """The routing of a run's questions, one by one, in the order in which they were answered.

    Raises:
        UserError: naming the line that is not as it should be.
    """
    path = folder / ROUTING_LINES
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    yield _LINE.validate_json(line)
                except ValidationError as error:
                    raise UserError(f"{path} line {number}: {error.errors()[0]['msg']}; was it edited?") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def write_routing(folder: Path, run: RunRecord, answered: int) -> RoutingRecord:
    """Sum the lines of `routing.jsonl` up into `routing.json`.

    Args:
        answered: how many questions of the run have an answer.

    Raises:
        UserError: when no question was answered at all, a line is broken, or the disk is full.
    """
    total = _Total()
    every = -(-answered // PATH_SAMPLES)
    for index, sample in enumerate(read_sample_routing(folder)):
        total.add(sample.routing, with_paths=index % every == 0)
    if not total.samples:
        raise UserError(f"{folder}: nothing was answered, so there is no routing to record")
    record = RoutingRecord(
        task=run.task,
        model=run.model.name,
        data=run.data,
        ablation=run.ablation,
        settings=_settings(run),
        samples=total.samples,
        unrecorded=answered - total.samples,
        layers=list(total.layers),
        counts=total.counts,
        dropped=total.dropped,
        paths={modality: _most(paths) for modality, paths in total.paths.items()},
    )
    write_atomically(folder / ROUTING_FILE, record.model_dump_json() + "\n")
    return record


def _settings(run: RunRecord) -> list[str]:
    """What keeps a run from lying among its model's others, beside the ablation, in words."""
    seed, generation = run.model.router_noise_seed, run.generation
    found = [] if seed is None else [f"noise seed {seed}"]
    if generation and generation.drawn:
        found.append(generation.drawn)
    if generation and generation.system:
        found.append(f"system {hashlib.sha256(generation.system.encode()).hexdigest()[:8]}")
    if generation and generation.thinking:
        found.append("thinking")
    return found


def read_routing(folder: Path) -> RoutingRecord | None:
    """What is recorded of a run's routing; None where nothing is.

    Raises:
        UserError: when the file is not as it should be.
    """
    path = folder / ROUTING_FILE
    return read_record(RoutingRecord, path) if path.is_file() else None


def summarise_routing(folder: Path) -> str:
    """One line for a terminal on what `routing.json` holds, and on what is not in it."""
    record = read_routing(folder)
    if record is None:
        return "routing: not recorded"
    tokens = " and ".join(f"{record.tokens(modality):,} {modality}" for modality in record.counts)
    line = f"routing: {tokens} tokens through {len(record.layers)} sparse layers ({ROUTING_FILE})"
    missing = f"; {record.unrecorded:,} answers were made without --routing and are not in it"
    return line + missing * bool(record.unrecorded)


class _Total:
    """The sum of what was added; one sample at a time, because there may be a hundred thousand."""

    def __init__(self) -> None:
        self.samples = 0
        self.layers: tuple[int, ...] = ()
        self.counts: Counts = {}
        self.dropped: Counts | None = None
        self.paths: dict[Modality, Counter[tuple[int, ...]]] = {"image": Counter(), "text": Counter()}

    def add(self, routing: Routing, with_paths: bool) -> None:
        self.samples += 1
        self.layers = routing.layers
        self.counts = _sum(self.counts, routing.counts)
        if routing.dropped is not None:
            self.dropped = _sum(self.dropped or {}, routing.dropped)
        for path in routing.paths if with_paths else ():
            self.paths[path.modality][path.experts] += 1


def _sum(one: Counts, other: Counts) -> Counts:
    if not one:
        return other
    return {
        modality: [
            [[a + b for a, b in zip(*choices, strict=True)] for choices in zip(*layers, strict=True)]
            for layers in zip(one[modality], other[modality], strict=True)
        ]
        for modality in one
    }


def _most(paths: Counter[tuple[int, ...]]) -> list[PathRecord]:
    ranked = sorted(paths.items(), key=lambda item: (-item[1], item[0]))
    return [PathRecord(experts=list(experts), tokens=tokens) for experts, tokens in ranked]
