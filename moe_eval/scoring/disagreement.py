"""One set of answers under every protocol of a task: what each gives, and on which answers they disagree, and how."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from tabulate import tabulate

from moe_eval.runs.records import ScoresRecord
from moe_eval.scoring.headlines import explain_headlines, headline_name
from moe_eval.scoring.option_texts import NO_OPTION_TEXTS, lacks_option_texts
from moe_eval.scoring.summary import headline_text
from moe_eval.task import Sample, worth

__all__ = ["Disagreement", "Example", "as_data", "find_disagreements", "render_comparison"]

CLOSE = 1e-9


@dataclass(frozen=True)
class Example:
    """One answer, what each protocol understood it as, and what that was worth to it."""

    id: str
    question: str
    gold: Any
    answer: str
    predictions: Mapping[str, str]
    worths: Mapping[str, float]


@dataclass(frozen=True)
class Disagreement:
    """Answers on which the protocols disagree in the same way.

    Args:
        order: from generous to strict, such as `lmms-eval > llava = vlmevalkit`.
        count: how many there are.
        examples: the first few of them.
        told: False where the data lack what a protocol reads, so that nobody knows whether the protocols disagree.
    """

    order: str
    count: int
    examples: tuple[Example, ...]
    told: bool = True


def find_disagreements(
    samples: Sequence[Sample], answers: Mapping[str, str], scores: Mapping[str, ScoresRecord], examples: int = 3
) -> list[Disagreement]:
    """Kinds of disagreement, the most frequent first.

    Args:
        samples: of the data that was scored.
        answers: answer text by sample id.
        scores: of these answers, by protocol.
        examples: how many to show of each kind.
    """
    by_id = {sample.id: sample for sample in samples}
    found: dict[tuple[str, bool], list[Example]] = {}
    counts: Counter[tuple[str, bool]] = Counter()
    for entries in zip(*(record.samples for record in scores.values()), strict=True):
        of_protocol = dict(zip(scores, entries, strict=True))
        worths = {name: value for name, entry in of_protocol.items() if (value := worth(entry)) is not None}
        if not worths or max(worths.values()) - min(worths.values()) <= CLOSE:
            continue
        sample = by_id[str(entries[0]["id"])]
        kind = _order(worths), not lacks_option_texts(sample)
        counts[kind] += 1
        if len(found.setdefault(kind, [])) < examples:
            predictions = {name: str(of_protocol[name].get("prediction", "")) for name in worths}
            found[kind].append(
                Example(sample.id, sample.question, sample.gold, answers[sample.id], predictions, worths)
            )
    kinds = [Disagreement(order, counts[order, told], tuple(shown), told) for (order, told), shown in found.items()]
    return sorted(kinds, key=lambda kind: (-kind.count, kind.order))


def _order(worths: Mapping[str, float]) -> str:
    """Names from the most to the least generous protocol, with > and = between them."""
    names = sorted(worths, key=lambda name: -round(worths[name], 9))  # equal ones keep the order of the task
    text = names[0]
    for higher, lower in pairwise(names):
        text += f" {'>' if worths[higher] - worths[lower] > CLOSE else '='} {lower}"
    return text


def render_comparison(scores: Mapping[str, ScoresRecord], kinds: Sequence[Disagreement]) -> str:
    """A line per protocol, the number of answers on which they disagree, and examples of each kind."""
    first = next(iter(scores.values()))
    answered = first.data.samples - len(first.missing)
    rows = [(name, headline_name(record), headline_text(record)) for name, record in scores.items()]
    told, untold = [kind for kind in kinds if kind.told], sum(kind.count for kind in kinds if not kind.told)
    disagreeing = sum(kind.count for kind in told)
    lines = [
        f"{first.task}: the same answers under {len(scores)} protocols",
        f"{answered:,} of {first.data.samples:,} questions, {first.data.version}",
        "",
        tabulate(rows, headers=["protocol", "headline", ""], colalign=["left", "left", "right"], disable_numparse=True),
        *explain_headlines(first.task, (record.headline.name for record in scores.values())),
        "",
    ]
    if not any(worth(entry) is not None for record in scores.values() for entry in record.samples[:1]):
        return "\n".join([*lines, "what an answer is worth is not known here, so nothing can be compared"])
    lines.append(f"they disagree on {disagreeing:,} of {answered:,} answers ({100 * disagreeing / answered:.1f} %)")
    if untold:
        lines.append(
            f"not compared: {untold:,} answers that are more than a letter, for {NO_OPTION_TEXTS}, which some protocols "
            "look for in an answer; their numbers may be too low"
        )
    for kind in told:
        lines += ["", f"{kind.order}: {kind.count:,}", *(line for shown in kind.examples for line in _example(shown))]
    return "\n".join(lines)


def _example(example: Example) -> list[str]:
    readings = [
        f"{name} {example.worths[name]:.3g}" + (f" for {_short(text)}" if text else "")
        for name, text in example.predictions.items()
    ]
    return [
        f"  {example.id}" + (f": {_short(example.question)}" if example.question else ""),
        f"    answer {_short(example.answer)}, gold {_short(_gold(example.gold))}",
        f"    {'; '.join(readings)}",
    ]


def _gold(gold: Any) -> Any:
    """Of many annotators' answers, how often each was given."""
    if not isinstance(gold, tuple | list):
        return gold
    return ", ".join(f"{gold.count(answer)} x {answer}" for answer in dict.fromkeys(gold))


def _short(value: Any, longest: int = 100) -> str:
    """Quoted, with what a terminal cannot show escaped, and cut."""
    text = repr(value if isinstance(value, str) else str(value))
    return text if len(text) <= longest else f"{text[: longest - 4]}...{text[-1]}"


def as_data(scores: Mapping[str, ScoresRecord], kinds: Sequence[Disagreement]) -> dict[str, Any]:
    """The same as plain data, for JSON."""
    told = [kind for kind in kinds if kind.told]
    return {
        "scores": {name: record.model_dump() for name, record in scores.items()},
        "disagreements": {
            "answers": sum(kind.count for kind in told),
            "not_compared": sum(kind.count for kind in kinds if not kind.told),
            "kinds": [asdict(kind) for kind in told],
        },
    }
