"""Ten people who answer a question about a scene: most of them right, as VQAv2's, VizWiz's and TextVQA's are."""

import random
from collections.abc import Sequence

from moe_eval.mini.questions import NUMBER_WORDS, YES_NO

__all__ = ["PEOPLE", "ten_people", "with_confidence"]

PEOPLE = 10

RIGHT = {10: 40, 9: 22, 8: 15, 7: 11, 6: 8, 5: 4}
"""How many write the very answer → how often, in percent. Four suffice for full accuracy."""

UNSURE = ("unknown", "not sure", "i don't know", "")


def ten_people(
    generator: random.Random, answer: str, choices: Sequence[str], unsure: Sequence[str] = UNSURE
) -> list[str]:
    """Their answers in random order.

    Who does not write `answer` names another of the choices (half of them), writes the answer in another way (a number
    in letters, an answer with "it is"), or does not know and writes one of `unsure`.
    """
    right = generator.choices(list(RIGHT), list(RIGHT.values()))[0]
    others = [choice for choice in choices if choice != answer]
    answers = [answer] * right
    while len(answers) < PEOPLE:
        dice = generator.random()
        if dice < 0.5 and others:
            answers.append(generator.choice(others))
        elif dice < 0.8 and answer not in unsure:
            answers.append(_in_other_words(answer))
        else:
            answers.append(generator.choice(unsure))
    generator.shuffle(answers)
    return answers


def with_confidence(generator: random.Random, answers: Sequence[str], right: str) -> list[dict[str, str]]:
    """The records of VizWiz and, with ids, of VQAv2: who is right is mostly sure of it."""
    sure, unsure = ("yes", "yes", "yes", "maybe"), ("yes", "maybe", "maybe", "no")
    return [
        {"answer": answer, "answer_confidence": generator.choice(sure if answer == right else unsure)}
        for answer in answers
    ]


def _in_other_words(answer: str) -> str:
    if answer in YES_NO:
        return "yes it is" if answer == "yes" else "no it is not"
    if answer.isdecimal() and int(answer) < len(NUMBER_WORDS):
        return NUMBER_WORDS[int(answer)]
    return f"it is {answer}"
