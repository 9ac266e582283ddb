"""How MME is asked, and what its answers are worth."""

from collections.abc import Sequence

from moe_eval.errors import UserError
from moe_eval.metrics.likelihood import probability_of_yes
from moe_eval.metrics.totals import Number, Scores, of_totals
from moe_eval.metrics.yes_no import extract_yes_no
from moe_eval.prompts import short_answer
from moe_eval.task import Result, Sample, SampleScore

__all__ = [
    "SIZES",
    "aggregate",
    "bare_question",
    "prompt_llava",
    "prompt_lmms_eval",
    "prompt_vlmevalkit",
    "score_likelihood",
    "score_llava",
    "score_lmms_eval",
    "score_vlmevalkit",
]


SUBTASKS = {
    "perception": {
        "existence": 60,
        "count": 60,
        "position": 60,
        "color": 60,
        "posters": 294,
        "celebrity": 340,
        "scene": 400,
        "landmark": 400,
        "artwork": 400,
        "OCR": 40,
    },
    "cognition": {
        "commonsense_reasoning": 140,
        "numerical_calculation": 40,
        "text_translation": 40,
        "code_reasoning": 40,
    },
}
"""Section → subtask → number of questions."""

SIZES = {name: size for section in SUBTASKS.values() for name, size in section.items()}

YES_OR_NO = "Please answer yes or no."


def prompt_llava(sample: Sample) -> str:
    """The question without its own "Please answer yes or no.", and LLaVA's short-answer suffix."""
    return short_answer(bare_question(sample.question))


def prompt_lmms_eval(sample: Sample) -> str:
    """As LLaVA's, but a second blank before the sentence that is taken out stays."""
    return short_answer(sample.question.strip().replace(f" {YES_OR_NO}", ""))


def prompt_vlmevalkit(sample: Sample) -> str:
    """The question as the data have it."""
    return sample.question


def bare_question(question: str) -> str:
    return question.replace(YES_OR_NO, "").strip()


def parse_yes_no(response: str) -> str:
    """`yes`, `no` or `other`, as MME's own tool reads an answer: whichever is within the first four characters.

    "Yes" goes before "no"; leading blanks count as characters ("  yes" is other) and words are not looked at ("snow"
    is no). The tool reads lines, so the answer's end is followed by a line end.
    Source: MME `calculation.py`; spec 7.
    """
    return _in_first_four(f"{response}\n".lower())


def parse_by_lmms_eval(response: str) -> str:
    """The same without surrounding blanks and without periods; a lone y or n is enough.

    Source: lmms-eval `mme/utils.py`, `parse_pred_ans`.
    """
    text = response.lower().strip().replace(".", "")
    return {"y": "yes", "n": "no"}.get(text) or _in_first_four(text)


def _in_first_four(text: str) -> str:
    start = text[:4]
    return "yes" if "yes" in start else "no" if "no" in start else "other"


def score_llava(sample: Sample, response: str) -> SampleScore:
    """As MME's own tool."""
    return _score(sample, parse_yes_no(response))


def score_lmms_eval(sample: Sample, response: str) -> SampleScore:
    return _score(sample, parse_by_lmms_eval(response))


def score_vlmevalkit(sample: Sample, response: str) -> SampleScore:
    """The one of yes and no that occurs as a word, anywhere in the answer."""
    answer = extract_yes_no(response)
    return _score(sample, "other" if answer == "Unknown" else answer.lower())


def score_likelihood(sample: Sample, response: str) -> SampleScore:
    """The likelier of "Yes" and "No", and the probability of yes."""
    return {**score_llava(sample, response), **probability_of_yes(sample)}


def _score(sample: Sample, prediction: str) -> SampleScore:
    return {
        "category": sample.meta["category"],
        "picture": sample.group,
        "gold": sample.gold,
        "prediction": prediction,
        "correct": int(prediction == sample.gold),
    }


MAXIMA = {"subtasks.*.score": 200.0}


def maxima_on(scores: Sequence[SampleScore]) -> dict[str, float]:
    """200 per subtask of which something is asked: 2,000 for perception and 800 for cognition on all of MME."""
    asked = {score["category"] for score in scores}
    most = {section: 200.0 * sum(name in asked for name in names) for section, names in SUBTASKS.items()}
    known = {section: maximum for section, maximum in most.items() if maximum}
    return known | ({"headline": known["perception"]} if "perception" in known else {})


@of_totals
def aggregate(scores: Scores[SampleScore]) -> Result:
    """Headline: the perception total, at most 2000; cognition, at most 800, is beside it.

    Subtasks without samples are left out; `percent_of_maximum` is relative to 200 for each of the others.

    A picture that occurs several times, as in a resampled data set, counts as often.

    Raises:
        UserError: naming a picture of which only one question is scored.
    """
    of_subtask = scores.by(lambda score: score["category"])
    subtasks = {}
    for name in (name for name in SIZES if name in of_subtask):
        accuracy, accuracy_plus = _accuracies(of_subtask[name])
        subtasks[name] = {
            "score": accuracy + accuracy_plus,
            "acc": accuracy,
            "acc_plus": accuracy_plus,
            "questions": len(of_subtask[name]),
        }
    totals = {
        section: sum((subtasks[name]["score"] for name in names if name in subtasks), start=0.0)
        for section, names in SUBTASKS.items()
    }
    maximum = {section: 200 * sum(name in subtasks for name in names) for section, names in SUBTASKS.items()}
    share = {section: 100 * totals[section] / most for section, most in maximum.items() if most}
    return Result(totals["perception"], {**totals, "percent_of_maximum": share, "subtasks": subtasks})


def _accuracies(scores: Scores[SampleScore]) -> tuple[Number, Number]:
    """acc and acc+ in percent."""
    pictures = scores.together(lambda score: score["picture"])
    odd = next((questions for questions in pictures if len(questions) % 2), None)
    if odd is not None:
        raise UserError(
            f"mme: {len(odd)} of 2 questions about {odd[0]['picture']} are scored, and acc+ needs both; "
            "answer the other one, or take only whole pairs"
        )
    both_right = pictures.total(lambda pair: len(pair) // 2 if all(score["correct"] for score in pair) else 0)
    return 100 * scores.total("correct") / scores.how_many(), 100 * both_right / (scores.how_many() / 2)
