"""What MMBench's answers are worth: right in every rotation, or not."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from moe_eval.errors import UserError
from moe_eval.metrics.likelihood import confidence
from moe_eval.metrics.means import percent
from moe_eval.metrics.multiple_choice import letter_by_lmms_eval, letter_by_static_rules, letter_by_vlmevalkit
from moe_eval.metrics.totals import Number, Scores
from moe_eval.task import (
    Result,
    Sample,
    SampleScore,
)

from .prompts import options_of

__all__ = [
    "ABILITIES",
    "ROTATION",
    "aggregate",
    "read_as_lmms_eval",
    "read_as_vlmevalkit",
    "score_likelihood",
    "score_llava",
    "score_lmms_eval",
    "score_vlmevalkit",
]


ABILITIES = {
    "logic_reasoning": ("structuralized_imagetext_understanding", "future_prediction"),
    "attribute_reasoning": ("function_reasoning", "identity_reasoning", "physical_property_reasoning"),
    "relation_reasoning": ("social_relation", "nature_relation", "physical_relation"),
    "finegrained_perception (instance-level)": (
        "object_localization",
        "attribute_recognition",
        "celebrity_recognition",
        "ocr",
    ),
    "finegrained_perception (cross-instance)": ("spatial_relationship", "attribute_comparison", "action_recognition"),
    "coarse_perception": ("image_scene", "image_style", "image_emotion", "image_quality", "image_topic"),
}
"""Group (`l2-category`) → its abilities (`category`), for the order of tables; the data say what belongs where."""

KINDS = {"group": "ability_group", "ability": "ability"}
"""Name in `Sample.meta` → field of a score."""


ROTATION = 1_000_000


def score_llava(sample: Sample, response: str) -> SampleScore:
    """Only the bare letter counts. What the server makes of other answers is beside it, as `resolved`."""
    return _score(sample, response, resolved=letter_by_lmms_eval(response, sample.meta["options"]))


def score_lmms_eval(sample: Sample, response: str) -> SampleScore:
    """MMBench's own first rules, then the judge, and without one lmms-eval's static rules, which stand in for it.

    `resolved` is the letter by the first rules alone.
    """
    resolved, judged = read_as_lmms_eval(sample, response), _judged_letter(sample)
    letter = resolved or judged or letter_by_static_rules(response.strip(), sorted(sample.meta["options"]))
    return {**_score(sample, letter, resolved=resolved), **_reader(resolved, judged)}


def score_vlmevalkit(sample: Sample, response: str) -> SampleScore:
    """VLMEvalKit's rules, then the judge; without one, what they do not resolve is wrong (its `exact_matching`)."""
    resolved, judged = read_as_vlmevalkit(sample, response), _judged_letter(sample)
    return {**_score(sample, resolved or judged), **_reader(resolved, judged)}


def score_likelihood(sample: Sample, response: str) -> SampleScore:
    """The likeliest letter, and its probability among those of the options."""
    return {**_score(sample, response), **confidence(sample, response)}


def read_as_lmms_eval(sample: Sample, response: str) -> str:
    return letter_by_lmms_eval(response.strip(), sample.meta["options"])


def read_as_vlmevalkit(sample: Sample, response: str) -> str:
    return letter_by_vlmevalkit(response, options_of(sample))


def _judged_letter(sample: Sample) -> str:
    """The letter that the judge gave most often, the first of several; empty if it has not read the answer."""
    grades = sample.meta.get("grades")
    return str(Counter(grades).most_common(1)[0][0]) if grades else ""


def _reader(resolved: str, judged: str) -> dict[str, int]:
    return {"unresolved": int(not resolved and not judged), "by_judge": int(not resolved and bool(judged))}


def _score(sample: Sample, prediction: str, **letters: str) -> SampleScore:
    """`letters` are other readings of the same answer; each gets its own circular accuracy."""
    index = int(sample.id)
    score: dict[str, float | int | str] = {
        **{field: sample.meta[name] for name, field in KINDS.items() if sample.meta.get(name)},
        "question": index % ROTATION,
        "rotation": index // ROTATION,
        "rotations": sample.meta["rotations"],
        "prediction": prediction if len(prediction) == 1 else "",
        **letters,
    }
    if sample.gold is None:
        return score
    return {**score, "gold": sample.gold, "correct": int(prediction == sample.gold)}


def aggregate(scores: Scores[SampleScore], readings: Mapping[str, str]) -> Result:
    """Headline: circular accuracy in percent. Single-pass, over all rows, and both by group and ability are beside it.

    Args:
        readings: name in the breakdown → field of a score that holds another reading of the answers.

    Raises:
        UserError: naming a question of which a rotation is not scored.
    """
    known = scores.where(lambda score: "correct" in score)
    if not known:
        return Result(headline=None, metrics={})
    questions = _questions(known)
    metrics: dict[str, Any] = {
        "circular": _circular(questions, _is_correct),
        "single_pass": percent(known, "correct"),
    }
    for name, field in readings.items():
        metrics[name] = _circular(questions, partial(_is_gold, field))
    metrics["rows"], metrics["questions"] = len(known), sum(map(_times, questions))
    if "unresolved" in known[0]:
        metrics["letters_unresolved"] = known.total("unresolved")
        metrics["letters_by_judge"] = known.total("by_judge")
    for kind, order in (
        ("ability_group", list(ABILITIES)),
        ("ability", [name for names in ABILITIES.values() for name in names]),
    ):
        table = _by_kind(questions, kind, order, readings)
        if table:
            metrics[{"ability_group": "groups", "ability": "abilities"}[kind]] = table
    return Result(headline=metrics["circular"], metrics=metrics)


Question = tuple[SampleScore, ...]
"""The scores of all rotations of a question."""


def _questions(scores: Scores[SampleScore]) -> Scores[Question]:
    questions = scores.together(lambda score: score["question"])
    for question in questions:
        number, seen = int(question[0]["question"]), {int(score["rotation"]) for score in question}
        missing = sorted(set(range(int(question[0]["rotations"]))) - seen)
        if missing:
            raise UserError(
                f"mmbench: row {number + ROTATION * missing[0]} is not scored, a rotation of question {number}: circular "
                "accuracy needs all of them; answer it, or leave out the whole question"
            )
    return questions


def _times(question: Question) -> int:
    """How often the question is there: more than once in a resampled data set."""
    return len(question) // int(question[0]["rotations"])


def _circular(questions: Scores[Question], is_right: Callable[[SampleScore], bool]) -> Number:
    right = questions.total(lambda question: _times(question) if all(map(is_right, question)) else 0)
    return 100 * right / questions.total(_times)


def _is_correct(score: SampleScore) -> bool:
    return bool(score["correct"])


def _is_gold(field: str, score: SampleScore) -> bool:
    return score[field] == score["gold"]


def _by_kind(
    questions: Scores[Question], kind: str, order: Sequence[str], readings: Mapping[str, str]
) -> dict[str, dict[str, Number]]:
    of_kind = questions.where(lambda question: kind in question[0]).by(lambda question: str(question[0][kind]))
    names = sorted(of_kind, key=lambda name: (order.index(name) if name in order else len(order), name))
    return {
        name: {
            "circular": _circular(of_kind[name], _is_correct),
            "single_pass": percent(of_kind[name].expand(list), "correct"),
            **{reading: _circular(of_kind[name], partial(_is_gold, field)) for reading, field in readings.items()},
            "questions": sum(map(_times, of_kind[name])),
        }
        for name in names
    }
