"""What `moe-eval doctor` makes of facts about a machine. Pure: the other modules of this wing collect the facts."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

__all__ = [
    "ACCESS",
    "BATCH",
    "DATA",
    "MACHINE",
    "NEEDED",
    "OPTIONAL",
    "Finding",
    "ModelSize",
    "State",
    "as_json",
    "as_text",
    "disk_finding",
    "exit_code",
    "fitting_finding",
    "gib",
    "largest_that_fits",
    "package_findings",
    "parse_constraints",
    "version_finding",
]

State = Literal["ok", "missing", "note"]

BATCH = (16, 1024)
"""Sequences of a batch (the default of `moe-eval run`) and tokens of each: 576 or 729 of the picture, and the text."""

NEEDED, MACHINE, ACCESS, DATA, OPTIONAL = "moe-eval run", "machine", "hub and judge", "data", "optional"
"""The headings of the list."""

GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """One line of the list.

    Args:
        area: the heading that it stands under.
        name: what was looked for.
        state: `missing` is not there, `note` is there but something is to be known about it.
        found: what is there, for people.
        todo: what to do to change that; empty where nothing is to be done.
        needed: whether `moe-eval run` cannot do without it.
    """

    area: str
    name: str
    state: State
    found: str
    todo: str = ""
    needed: bool = False


def exit_code(findings: Iterable[Finding]) -> int:
    """1 if something that `moe-eval run` needs is missing, otherwise 0."""
    return int(any(finding.needed and finding.state == "missing" for finding in findings))


def as_text(findings: Sequence[Finding]) -> str:
    """An aligned list under headings, what to do below its line, and a last line that says whether `moe-eval run` can."""
    width = max(len(finding.name) for finding in findings)
    lines: list[str] = []
    area = None
    for finding in findings:
        if finding.area != area:
            area = finding.area
            lines += [*([""] if lines else []), area]
        lines.append(f"  {finding.state:7}  {finding.name:{width}}  {finding.found}")
        if finding.todo:
            lines.append(f"{'':{width + 13}}→ {finding.todo}")
    lacking = [finding.name for finding in findings if finding.needed and finding.state == "missing"]
    verdict = f"moe-eval run cannot: {', '.join(lacking)} missing" if lacking else "moe-eval run has what it needs"
    return "\n".join([*lines, "", verdict])


def as_json(findings: Sequence[Finding]) -> str:
    """`ok`, whether `moe-eval run` has what it needs, and the findings."""
    return json.dumps(
        {"ok": exit_code(findings) == 0, "findings": [asdict(finding) for finding in findings]},
        indent=2,
        ensure_ascii=False,
    )


def gib(size: float) -> str:
    """
    >>> gib(1.5 * 2**30), gib(123 * 2**30)
    ('1.5 GiB', '123 GiB')
    """
    return f"{size / GIB:.1f} GiB" if size < 100 * GIB else f"{size / GIB:,.0f} GiB"


def parse_constraints(text: str) -> dict[str, str]:
    """Versions by name, from the `name==version` lines of a constraints file; other lines do not count.

    >>> parse_constraints("# tested with\\nNumPy==2.4.6\\n")
    {'numpy': '2.4.6'}
    """
    pairs = (line.split("#")[0].strip().partition("==") for line in text.splitlines())
    return {name.strip().lower(): version.strip() for name, equals, version in pairs if equals}


def version_finding(area: str, name: str, found: str | None, tested: str | None, install: str) -> Finding:
    """One package against the version that the project is tested with (None: unknown). A build's `+cpu` is no difference.

    `install` says how to get what is missing.
    """
    if found is None:
        return Finding(area, name, "missing", "not installed", install, needed=True)
    if tested is None or found.split("+")[0] == tested.split("+")[0]:
        return Finding(area, name, "ok", found, needed=True)
    return Finding(area, name, "note", f"{found}; tested with {tested}", install, needed=True)


def package_findings(
    area: str, installed: Mapping[str, str | None], tested: Mapping[str, str], own_line: Sequence[str], install: str
) -> list[Finding]:
    """Installed versions (None: not installed) against tested ones: those of `own_line` each, the others together."""
    single = [version_finding(area, name, installed.get(name), tested.get(name.lower()), install) for name in own_line]
    others = [
        version_finding(area, name, version, tested.get(name.lower()), install)
        for name, version in installed.items()
        if name not in own_line
    ]
    absent = [finding.name for finding in others if finding.state == "missing"]
    differing = [f"{finding.name} {finding.found}" for finding in others if finding.state == "note"]
    state: State = "missing" if absent else "note" if differing else "ok"
    found = [
        f"{len(others) - len(absent)} of {len(others)} installed",
        *([f"not {', '.join(absent)}"] if absent else []),
        *differing,
    ]
    todo = install if state != "ok" else ""
    return [*single, Finding(area, "other packages", state, "; ".join(found), todo, needed=True)]


@dataclass(frozen=True)
class ModelSize:
    """A model: how many parameters it has, and key-value cache entries per token (keys and values of all layers)."""

    name: str
    parameters: int
    cache_per_token: int

    def footprint(self, width: int) -> int:
        """Bytes that answering takes, at `width` bytes per number: the weights and the cache of a batch (`BATCH`)."""
        sequences, tokens = BATCH
        return width * (self.parameters + sequences * tokens * self.cache_per_token)


def largest_that_fits(models: Iterable[ModelSize], memory: int, width: int) -> ModelSize | None:
    """The model with the most parameters among those whose footprint is at most `memory` bytes."""
    fitting = [model for model in models if model.footprint(width) <= memory]
    return max(fitting, key=lambda model: model.parameters, default=None)


def fitting_finding(area: str, where: str, models: Sequence[ModelSize], memory: int, dtype: str, width: int) -> Finding:
    """The largest of the models that fits where there are `memory` bytes."""
    name = f"largest model, {where}, {dtype}"
    model = largest_that_fits(models, memory, width)
    if model:
        size = f"{model.parameters / 1e9:.2f}B parameters, {gib(model.footprint(width))} of {gib(memory)}"
        return Finding(area, name, "ok", f"{model.name} ({size})")
    smallest = min(models, key=lambda model: model.footprint(width))
    found = f"only the embedded ones: {smallest.name} takes {gib(smallest.footprint(width))} of {gib(memory)}"
    todo = "a batch of one takes less: --batch-size 1" if width * smallest.parameters < memory else ""
    return Finding(area, name, "note", found, todo)


def disk_finding(
    area: str, name: str, folder: str, free: int, wanted: int, wanted_for: str, writable: bool, move: str
) -> Finding:
    """A cache's folder: free bytes against `wanted` bytes; `move` says how to have it elsewhere."""
    if not writable:
        return Finding(area, name, "missing", f"{folder} cannot be written", move)
    found = f"{gib(free)} free in {folder}"
    if free < wanted:
        return Finding(area, name, "note", f"{found}; {wanted_for} takes {gib(wanted)}", f"make room, or {move}")
    return Finding(area, name, "ok", found)
