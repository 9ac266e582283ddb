"""An explanation for people (two tables and a sentence) and for programs (JSON)."""

import json
from collections.abc import Sequence
from typing import Any

from moe_eval.explain.causes import Cause, Shift, find_causes
from moe_eval.explain.evidence import Evidence
from moe_eval.scoring.headlines import headline_name
from moe_eval.table.claims import DEFINITION
from moe_eval.table.formats import render
from moe_eval.table.grid import Block, Cell, Grid, Heading
from moe_eval.table.measured import HEADLINE
from moe_eval.table.reproduction import reproduction_table_of

__all__ = ["causes_grid", "claims_grid", "findings_grid", "headline_of", "remainder", "to_json", "to_markdown"]

READ = (
    "Effect: measured less what the papers' way would give, computed from this run. Elsewhere: what others found in "
    "runs of theirs; it says what order of size to expect."
)


def headline_of(evidence: Evidence) -> str:
    """What is explained, in one line."""
    run, value = evidence.run, evidence.value
    number = "pending" if value is None else f"{value:.2f}"
    return f"{run.model.name}, {run.task}: {headline_name(evidence.scores)} {number}, protocol {run.protocol}"


def claims_grid(evidence: Evidence) -> Grid | None:
    """The published numbers that the run can be held against."""
    if not evidence.judged:
        return None
    rows = [(evidence.run.model.name, claim, verdict) for claim, verdict in evidence.judged]
    return reproduction_table_of(rows, (DEFINITION,))


def causes_grid(causes: Sequence[Cause]) -> Grid:
    headings = (
        Heading("Cause", name="cause"),
        Heading("Differs", name="differs"),
        Heading("Effect", name="effect", numeric=True),
        Heading("Elsewhere", name="elsewhere", numeric=True),
        Heading("Here", name="here"),
    )
    return Grid("Causes", headings, (Block(tuple(map(_row, causes))),), (READ,))


def findings_grid(causes: Sequence[Cause]) -> Grid | None:
    """What others found of the causes, with sources."""
    rows = tuple(
        (
            Cell(cause.name),
            Cell(shift_text(found.range), interval=found.range),
            Cell(found.model),
            Cell(found.what),
            Cell(f"{found.source}, {found.url}"),
        )
        for cause in causes
        for found in cause.known
    )
    headings = (
        Heading("Cause", name="cause"),
        Heading("Effect", name="effect", numeric=True),
        Heading("Model", name="model"),
        Heading("What", name="what"),
        Heading("Source", name="source"),
    )
    return Grid("What others found", headings, (Block(rows),)) if rows else None


def remainder(evidence: Evidence, causes: Sequence[Cause]) -> dict[str, Any]:
    """What is left of the difference after what could be computed.

    `explained` and `unexplained` are None where the number cannot be held against a published one; `text` says why.
    """
    headline = [(claim, verdict) for claim, verdict in evidence.judged if claim.column.measured[1] == HEADLINE]
    nothing = {"difference": None, "explained": None, "unexplained": None}
    if evidence.generated:
        return {**nothing, "text": "Nothing is published about these questions, so there is nothing to explain."}
    if not headline:
        text = (
            f"Nothing is published about {evidence.against} on {evidence.run.task}."
            if evidence.against
            else f"Nothing is published about {evidence.run.model.name}; name a model with --against."
        )
        return {**nothing, "text": text}
    claim, verdict = headline[0]
    difference, rounding = verdict.difference(claim), claim.number.rounding + 1e-9
    if difference is None:
        return {**nothing, "text": f"The number is pending: {verdict.reason}."}
    exact = [cause for cause in causes if cause.exact is not None and cause.at_work == "yes"]
    explained = sum(cause.exact or 0.0 for cause in exact)
    rest = difference - explained
    text = f"Published {claim.number.value}, difference {difference:+.2f}"
    if exact:
        text += f", of which {', '.join(cause.name for cause in exact)} {explained:+.2f}; left {rest:+.2f}"
    if abs(rest) <= rounding:
        text += ": within the published rounding, nothing is left to explain."
    else:
        what = f"{rest:+.2f}" if exact else "It"
        text += (
            f". {what} is unexplained{_suspects(rest, rounding, [cause for cause in causes if cause.at_work != 'no'])}."
        )
    return {"difference": difference, "explained": explained, "unexplained": rest, "text": text}


def _suspects(rest: float, rounding: float, causes: Sequence[Cause]) -> str:
    """Who could have made the rest."""
    ranges = [cause for cause in causes if cause.shift and cause.exact is None]
    enough = [cause.name for cause in ranges if _holds(cause.shift, rest, rounding)]
    text = ""
    if enough:
        text = f"; {' or '.join(enough)} alone can make as much"
    unsized = [cause for cause in causes if cause.shift is None]
    if unsized:
        found = [
            f"{cause.name} ({shift_text(among(cause))} elsewhere)" if cause.known else cause.name for cause in unsized
        ]
        text += f"{'; and' if enough else ','} of unknown size here: {', '.join(found)}"
    return text


def _holds(shift: Shift | None, value: float, slack: float) -> bool:
    return shift is not None and shift[0] - slack <= value <= shift[1] + slack


def to_markdown(evidence: Evidence) -> str:
    """All of it as Markdown."""
    causes, claims = find_causes(evidence), claims_grid(evidence)
    parts = [f"# Why is it not the paper's?\n\n{headline_of(evidence)}\n", remainder(evidence, causes)["text"] + "\n"]
    parts.append(f"## Causes\n\n{render(causes_grid(causes), 'md')}")
    findings = findings_grid(causes)
    if findings:
        parts.append(f"## What others found\n\n{render(findings, 'md')}")
    if claims and not evidence.generated:
        parts.append(f"## Published numbers of {evidence.against}\n\n{render(claims, 'md')}")
    return "\n".join(parts)


def to_json(evidence: Evidence) -> str:
    """The same as data."""
    causes = find_causes(evidence)
    return json.dumps(
        {
            "model": evidence.run.model.name,
            "task": evidence.run.task,
            "protocol": evidence.run.protocol,
            "value": evidence.value,
            "against": evidence.against,
            "claims": [
                {
                    "number": claim.name,
                    "published": claim.number.value,
                    "sources": claim.sources,
                    "measured": verdict.value,
                    "interval": verdict.interval,
                    "difference": verdict.difference(claim),
                    "reproduced": verdict.outcome,
                    "reason": verdict.reason,
                }
                for claim, verdict in evidence.judged
            ],
            "causes": [
                {
                    "cause": cause.name,
                    "differs": cause.at_work,
                    "here": cause.here,
                    "effect": cause.shift,
                    "found_by_others": [
                        {**effect.model_dump(include={"what", "model", "source", "url"}), "effect": effect.range}
                        for effect in cause.known
                    ],
                }
                for cause in causes
            ],
            "remainder": remainder(evidence, causes),
        },
        indent=1,
        ensure_ascii=False,
    )


def _row(cause: Cause) -> tuple[Cell, ...]:
    if cause.shift:
        effect = shift_text(cause.shift)
    else:
        effect = {"no": "none", "yes": "not computed", "unknown": "not known"}[cause.at_work]
    return (
        Cell(cause.name),
        Cell(cause.at_work),
        Cell(effect, interval=cause.shift),
        Cell(shift_text(among(cause)) if cause.known else "", interval=among(cause) if cause.known else None),
        Cell(cause.here),
    )


def among(cause: Cause) -> Shift:
    """From the lowest to the highest effect that others found."""
    return min(found.range[0] for found in cause.known), max(found.range[1] for found in cause.known)


def shift_text(shift: Shift) -> str:
    """`+0.01`, `±20`, `-1.20 to +0.50`."""
    low, high = shift
    if low == high:
        return f"{low:+.2f}"
    if low == -high:
        return f"±{high:.2f}".removesuffix("0").removesuffix(".0")
    return f"{low:+.2f} to {high:+.2f}"
