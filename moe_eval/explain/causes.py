"""The causes that make a number another one, each judged by the evidence of a run. Pure."""

from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from moe_eval.engine.ablation import OTHER_ORDER, find_pruning
from moe_eval.explain.effects import KnownEffect
from moe_eval.explain.evidence import Evidence
from moe_eval.runs.records import SAME_ANSWERS
from moe_eval.table.measured import HEADLINE, PAPERS_PROTOCOL, interval_of
from moe_eval.task import worth

__all__ = ["Cause", "Shift", "find_causes"]

Shift = tuple[float, float]
"""From lowest to highest: by how much a cause moves the measured number away from what the papers' way would give."""


@dataclass(frozen=True)
class Cause:
    """One thing that could make the number another one.

    Args:
        name: a few words.
        at_work: whether the run differs here from how the published number was made, as far as that is known.
        here: what the run did.
        shift: its size, computed from the run; None where it cannot be.
        known: what others found of it, in other runs.
    """

    name: str
    at_work: Literal["yes", "no", "unknown"]
    here: str
    shift: Shift | None = None
    known: tuple[KnownEffect, ...] = ()

    @property
    def exact(self) -> float | None:
        """Its size where that is one number."""
        return self.shift[0] if self.shift and self.shift[0] == self.shift[1] else None


def find_causes(evidence: Evidence) -> list[Cause]:
    """All causes, in the order in which a number comes about: questions, model, answers, score, publication."""
    finders = (_data, _missing, _prompt, _pictures, _weights, _routing, _decoding, _software, _scorer, _judge)
    found = [finder(evidence) for finder in (*finders, _sampling, _published)]
    return [cause for cause in found if cause]


def _data(evidence: Evidence) -> Cause:
    data = evidence.run.data
    what = f"{data.samples:,} questions ({data.source}: {data.version})"
    if data.official:
        return Cause("questions", "no", f"{what}: those of the papers")
    if evidence.generated:
        return Cause("questions", "yes", f"{what}: generated, so nobody has published anything about them")
    return Cause("questions", "yes", f"{what}: not those of the papers", known=evidence.known("data"))


def _missing(evidence: Evidence) -> Cause:
    missing, asked = len(evidence.scores.missing), evidence.run.data.samples
    if not missing:
        return Cause("missing answers", "no", "none")
    return Cause("missing answers", "yes", f"{missing:,} of {asked:,} questions are left out", _bounds(evidence))


def _bounds(evidence: Evidence) -> Shift | None:
    """Were all missing answers right, or all wrong: where the number is a mean of what answers are worth."""
    worths = [value for sample in evidence.scores.samples if (value := worth(sample)) is not None]
    value, missing = evidence.value, len(evidence.scores.missing)
    if value is None or not worths or abs(100 * fmean(worths) - value) > 1e-6:
        return None
    all_wrong = value * len(worths) / (len(worths) + missing)
    return value - all_wrong - 100 * missing / (len(worths) + missing), value - all_wrong


def _prompt(evidence: Evidence) -> Cause:
    asked_as, prompt = evidence.asked_as, evidence.run.prompt
    known = evidence.known("prompt")
    generation = evidence.run.generation
    if generation and generation.asked_otherwise:
        return Cause("prompt", "yes", f"beside the question: {', '.join(generation.asked_otherwise)}", known=known)
    if evidence.run.ablation == OTHER_ORDER:
        return Cause("prompt", "yes", f"options in another order: {OTHER_ORDER}", known=known)
    if asked_as is None:
        what = "the answers do not say what was asked" if prompt is None else "the questions are not here to compare"
        return Cause("prompt", "unknown", what, known=known)
    if PAPERS_PROTOCOL in asked_as:
        return Cause("prompt", "no", "every prompt is exactly the papers'")
    assert prompt is not None
    ways = f"as {' and '.join(asked_as)} ask" if asked_as else "in none of the ways that we know"
    return Cause("prompt", "yes", f"asked {ways}, for example {_quoted(prompt.example)}", known=known)


def _pictures(evidence: Evidence) -> Cause:
    generation = evidence.run.generation
    if generation is None:
        return Cause("pictures", "unknown", "imported answers do not say how pictures were prepared")
    if generation.ablation and generation.ablation.startswith("image="):
        return Cause("pictures", "yes", f"taken away: {generation.ablation}")
    padded = "padded to squares" if generation.pad_images else "not padded"
    return Cause("pictures", "no", f"{padded}, as the original of this model family does")


def _weights(evidence: Evidence) -> Cause:
    model, origin, generation = evidence.run.model, evidence.run.origin, evidence.run.generation
    if generation and find_pruning(generation.ablation):
        return Cause("weights", "yes", f"taken away: {generation.ablation}")
    if model.random_weights:
        return Cause("weights", "yes", "random, never trained: the number means nothing")
    if evidence.retrained:
        return Cause(
            "training",
            "yes",
            f"{model.name} is not the checkpoint behind {evidence.against}: its training is part of the difference",
            known=evidence.known("training"),
        )
    if origin:
        return Cause("weights", "unknown", f"answers of {origin.model or model.name}, as their files say")
    if evidence.against:
        return Cause("weights", "no", f"the checkpoint that is published as {evidence.against}")
    return Cause("weights", "unknown", f"{model.name}: no published model", known=evidence.known("training"))


def _routing(evidence: Evidence) -> Cause:
    counts, seed = evidence.run.model.parameters, evidence.run.model.router_noise_seed
    if counts is None:
        return Cause("routing noise", "unknown", "whether the model has experts is not known")
    if counts.activated == counts.total:
        return Cause("routing noise", "no", "a dense model: there is none")
    published = "the original draws every second expert with noise and without a seed, in evaluation, too"
    if evidence.run.origin:
        return Cause("routing noise", "unknown", f"answers imported; {published}", known=evidence.known("routing"))
    here = "none here" if seed is None else f"drawn with seed {seed}"
    shift, values = None, list(evidence.noise.values())
    if len(values) > 1:
        spread = f"{fmean(values):.2f} ± {stdev(values):.2f} over {len(values)} seeds"
        here += f"; measured with it, in the runs beside: {spread}, from {min(values):.2f} to {max(values):.2f}"
        if evidence.value is not None:
            shift = evidence.value - max(values), evidence.value - min(values)
    elif evidence.run.origin is None:
        here += "; moe-eval run … --router-noise --seeds 5 measures what it does"
    return Cause("routing noise", "yes", f"{here}; {published}", shift, evidence.known("routing"))


def _decoding(evidence: Evidence) -> Cause:
    generation, cut, asked = evidence.run.generation, evidence.cut, evidence.run.data.samples
    if generation is None:
        return Cause("decoding", "unknown", "imported answers do not say how they were decoded")
    own = evidence.task.protocols.get(evidence.run.protocol)
    if own and own.continuations:
        return Cause(
            "decoding", "yes", "nothing is generated: the likeliest of the given answers counts; the papers: greedy"
        )
    if generation.drawn:
        return Cause("decoding", "yes", f"{generation.drawn}; the papers: one greedy answer")
    theirs = evidence.task.protocols.get(PAPERS_PROTOCOL)
    limit = (theirs and theirs.max_new_tokens) or evidence.task.max_new_tokens
    ours = generation.max_new_tokens
    of_cut = "" if cut is None else f"; {cut:,} of {asked:,} answers were cut there"
    what = f"greedy, as the papers; at most {ours} new tokens"
    if ours == limit:
        return Cause("decoding", "no", f"{what}, as the papers{of_cut}")
    known = (0.0, 0.0) if cut == 0 and ours < limit else None
    return Cause("decoding", "no" if known else "yes", f"{what}, where the papers allow {limit}{of_cut}", known)


def _software(evidence: Evidence) -> Cause:
    run = evidence.run
    if run.origin:
        return Cause(
            "software", "unknown", "imported answers: made by another program", known=evidence.known("software")
        )
    # A session that found everything answered does not know what had answered.
    sessions = [one for one in run.sessions if one.answered] or run.sessions
    versions, told = (sessions[-1].versions, sessions[-1].told) if sessions else ({}, {})
    named = ", ".join(f"{name} {versions[name]}" for name in ("torch", "transformers") if name in versions)
    software = next((told[name] for name in ("vllm", "system_fingerprint", "server") if told.get(name)), "")
    engine = f"{run.model.backend} {software}".strip()
    what = f"{engine} in {run.model.dtype}" + (f", {named}" if named else "")
    if run.model.backend not in SAME_ANSWERS:
        what += "; `moe-eval certify` tells how its answers differ from transformers'"
    return Cause(
        "software",
        "yes",
        f"{what}; the originals: float16, one question at a time. Close calls between two words can fall otherwise",
        known=evidence.known("software"),
    )


def _scorer(evidence: Evidence) -> Cause:
    own = evidence.scores.protocol
    values = {
        name: record.headline.value
        for name, record in evidence.rescored.scores.items()
        if record.headline.value is not None
    }
    others = ", ".join(f"{name} {value:.2f}" for name, value in values.items() if name != own)
    told = f"; the same answers under other scorers: {others}" if others else ""
    if evidence.rescored.why_not:
        told = f"; other scorers cannot be tried: {evidence.rescored.why_not}"
    if own == PAPERS_PROTOCOL:
        return Cause("scorer", "no", f"the papers'{told}")
    shift = None
    if own in values and PAPERS_PROTOCOL in values:
        shift = values[own] - values[PAPERS_PROTOCOL]
    return Cause("scorer", "yes", f"{own}'s{told}", None if shift is None else (shift, shift))


def _judge(evidence: Evidence) -> Cause | None:
    protocol = evidence.task.protocols.get(PAPERS_PROTOCOL)
    theirs = protocol.judge.model if protocol and protocol.judge else None
    ours = evidence.scores.judge
    if ours is None and theirs is None:
        return None
    known = (*evidence.known("judge"), *evidence.known("judge runs"))
    if ours is None:
        what = (
            "no answer is graded yet" if evidence.value is None else "grades came with the answers: whose, is not said"
        )
        return Cause("judge", "unknown", f"{what}; the papers': {theirs}", known=known)
    if ours.split(",")[0] == theirs:
        return Cause(
            "judge", "yes", f"{ours}: the papers', but no two runs of it agree", known=evidence.known("judge runs")
        )
    return Cause("judge", "yes", f"{ours}; the papers': {theirs or 'none'}", known=known)


def _sampling(evidence: Evidence) -> Cause:
    interval, value = interval_of(evidence.scores, HEADLINE), evidence.value
    if interval is None or value is None:
        return Cause("chance of the questions", "unknown", "no interval for this number")
    shift = (value - interval[1], value - interval[0])
    what = f"95 % interval {interval[0]:.2f} to {interval[1]:.2f}"
    if evidence.run.data.official:
        return Cause("chance of the questions", "no", f"the same questions as in the papers; with others, {what}")
    return Cause("chance of the questions", "yes", f"{what}, with other questions of this kind", shift)


def _published(evidence: Evidence) -> Cause | None:
    """Of the headline number: how it is rounded, whether sources agree, whether it is doubted."""
    claims = [claim for claim, _ in evidence.judged if claim.column.measured[1] == HEADLINE]
    if not claims:
        return None
    first, *others = [claim.number for claim in claims]
    rounding = f"printed to ±{first.rounding:g}"
    doubts = f"; doubted: {first.note}" if first.doubted else ""
    if not others:
        return Cause(
            "published number", "no", f"{rounding}{doubts or '; sources agree'}", (-first.rounding, first.rounding)
        )
    said = "; ".join(f"{claim.number.value} ({claim.sources})" for claim in claims)
    shifts = [0.0, *(other.value - first.value for other in others)]
    return Cause(
        "published number",
        "yes",
        f"{rounding}; sources differ: {said}{doubts}",
        (min(shifts) - first.rounding, max(shifts) + first.rounding),
    )


def _quoted(text: str, longest: int = 160) -> str:
    return repr(text if len(text) <= longest else f"{text[: longest - 3]}...")
