"""One run of its shards: their journals together, in the order of the data, if they are all there and belong together."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from moe_eval.engine.backend import Response
from moe_eval.errors import UserError
from moe_eval.files.atomic import write_atomically
from moe_eval.registry import find_task
from moe_eval.runs.answering import Answered, by_group
from moe_eval.runs.asked import load_asked
from moe_eval.runs.journal import journal_line, read_responses
from moe_eval.runs.lock import only_process
from moe_eval.runs.plan import Plan
from moe_eval.runs.records import PromptRecord, RunRecord, read_record, write_record
from moe_eval.runs.routing import ROUTING_LINES, write_routing
from moe_eval.runs.shard import SHARDS, Shard
from moe_eval.task import Dataset

__all__ = ["MergedRun", "StoredShard", "find_shards", "merged"]


@dataclass(frozen=True)
class StoredShard:
    """A shard's run on disk."""

    folder: Path
    run: RunRecord

    @property
    def shard(self) -> Shard:
        assert self.run.shard is not None  # `find_shards` takes no others
        return Shard(self.run.shard.number, self.run.shard.count)

    def whole(self, out: Path = Path()) -> Plan:
        """The run that it is a share of."""
        run, generation = self.run, self.run.generation
        assert run.shard is not None
        assert generation is not None
        return Plan(
            run.model.name,
            find_task(run.task),
            run.protocol,
            run.shard.whole.source,
            out,
            ablation=run.ablation,
            system=generation.system,
            thinking=generation.thinking,
            router_noise_seed=run.model.router_noise_seed,
        )


@dataclass(frozen=True)
class MergedRun:
    """What was merged: where it lies, what was asked, and the answers."""

    folder: Path
    run: RunRecord
    dataset: Dataset
    answered: Answered


def find_shards(paths: Sequence[Path]) -> list[list[StoredShard]]:
    """The shards in or below folders, those of one run together.

    Raises:
        UserError: when a folder has none.
    """
    found: dict[Path, dict[Path, StoredShard]] = {}  # by the usual folder of the run, then by its own
    for path in paths:
        shards = []
        for file in sorted(path.glob("**/run.json")):
            run = read_record(RunRecord, file)
            if run.shard is not None:
                shards.append(StoredShard(file.parent, run))
        if not shards:
            raise UserError(f"{path}: no shard of a run in it; `moe-eval run … --shard I/N` makes them")
        for shard in shards:
            found.setdefault(shard.whole().folder, {})[shard.folder.resolve()] = shard
    return [list(shards.values()) for shards in found.values()]


@contextmanager
def merged(shards: Sequence[StoredShard], out: Path, allow_missing: bool = False) -> Iterator[MergedRun]:
    """Write the run that the shards make together, all but its scores; the folder stays ours meanwhile.

    Args:
        out: folder of all runs, for shards that do not lie together in the folder of their run.

    Raises:
        UserError: when a shard is missing, there twice, unfinished (unless `allow_missing`) or made with other settings, and
            when the folder holds a run that was made with other settings.
    """
    first = shards[0].run
    assert first.shard is not None
    _check_together(shards)
    dataset = _whole_data(first)
    responses = _responses(shards, dataset, allow_missing)
    prompt = find_task(first.task).protocol(first.protocol).prompt
    run = first.model_copy(
        update={
            "shard": None,
            "data": first.shard.whole,
            "prompt": PromptRecord.of([prompt(sample) for sample in dataset.samples]),
            "sessions": [session for shard in shards for session in shard.run.sessions],
        }
    )
    folder = _target(shards, out)
    folder.mkdir(parents=True, exist_ok=True)
    with only_process(folder):
        _check_target(folder, run)
        order = [sample.id for sample in by_group(dataset.samples)]  # as one process asks them
        lines = [journal_line(responses[name]) for name in order if name in responses]
        write_atomically(folder / "responses.jsonl", "".join(f"{line}\n" for line in lines))
        write_record(run, folder / "run.json")
        _merge_routing(shards, folder, run, len(lines))
        answers = {name: responses[name].text for name in order if name in responses}
        measured = {name: of for name in answers if (of := responses[name].log_probabilities) is not None}
        missing = [name for name in order if name not in responses]
        yield MergedRun(folder, run, dataset, Answered(answers, missing, measured))


def _check_together(shards: Sequence[StoredShard]) -> None:
    first = shards[0]
    for other in shards[1:]:
        changes = _as_whole(first.run).differences(_as_whole(other.run))
        if other.shard.count != first.shard.count:
            changes.append(f"shards: of {first.shard.count} → of {other.shard.count}")
        if changes:
            raise UserError(
                f"{first.folder} and {other.folder} are not of one run ({'; '.join(changes)}): name the shards of one"
            )
    times = Counter(shard.shard.number for shard in shards)
    twice = [shard for shard in shards if times[shard.shard.number] > 1]
    if twice:
        raise UserError(
            f"shard {twice[0].shard} is there twice: {twice[0].folder} and {twice[1].folder}; name one of them"
        )
    missing = [str(Shard(number, first.shard.count)) for number in range(1, first.shard.count + 1) if not times[number]]
    if missing:
        raise UserError(
            f"{first.run.model.name} {first.run.task}: shard {', '.join(missing)} is missing; "
            "run it, or name the folder where it lies"
        )


def _as_whole(run: RunRecord) -> RunRecord:
    """What a shard says of the run that it is a share of."""
    assert run.shard is not None
    return run.model_copy(update={"data": run.shard.whole, "prompt": None})


def _whole_data(run: RunRecord) -> Dataset:
    assert run.shard is not None
    return load_asked(run.task, run.shard.whole, run.ablation)


def _responses(shards: Sequence[StoredShard], dataset: Dataset, allow_missing: bool) -> Mapping[str, Response]:
    found: dict[str, Response] = {}
    for shard in shards:
        wanted = {sample.id for sample in shard.shard.of(dataset).samples}
        mine = {response.id: response for response in read_responses(shard.folder / "responses.jsonl")}
        foreign = mine.keys() - wanted
        if foreign:
            raise UserError(
                f"{shard.folder}: holds {len(foreign):,} answers that are not of shard {shard.shard}, such as {min(foreign)}"
            )
        if len(mine) < len(wanted) and not allow_missing:
            raise UserError(
                f"{shard.folder}: shard {shard.shard} has {len(mine):,} of {len(wanted):,} answers: start its command again, "
                "or merge without the others with --allow-missing"
            )
        found |= mine
    return found


def _target(shards: Sequence[StoredShard], out: Path) -> Path:
    """The run that the shards lie in; or its usual folder, if they come from several places."""
    parents = {shard.folder.resolve().parent for shard in shards}
    if len(parents) == 1 and shards[0].folder.resolve().parent.name == SHARDS:
        return shards[0].folder.parent.parent
    return shards[0].whole(out).folder


def _check_target(folder: Path, run: RunRecord) -> None:
    path = folder / "run.json"
    changes = read_record(RunRecord, path).differences(run) if path.is_file() else []
    if changes:
        raise UserError(
            f"{folder} holds another run already ({'; '.join(changes)}): move it away, or merge into another --out"
        )


def _merge_routing(shards: Sequence[StoredShard], folder: Path, run: RunRecord, answered: int) -> None:
    """The shards' routing together, if every one has recorded it."""
    files = [shard.folder / ROUTING_LINES for shard in shards]
    if all(file.is_file() for file in files):
        write_atomically(folder / ROUTING_LINES, "".join(file.read_text(encoding="utf-8") for file in files))
        write_routing(folder, run, answered)
