"""GQA's questions about the whole picture: indoors or outdoors, day or night, and what place it is.

Source of forms, operations and types: GQA's question files; Hudson and Manning, GQA, section 3.
"""

import random

from moe_eval.mini.gqa_programs import Form, GqaQuestion, place_statements
from moe_eval.mini.questions import Fact
from moe_eval.mini.world import Scene

__all__ = ["FORMS"]

PLACE_NAMES = {"indoors": "room", "day": "field", "night": "street", "beach": "beach"}

PLACE_QUESTIONS = {
    "indoors": ("indoors", "Is it indoors?", "location"),
    "in the daytime": ("day", "Is it daytime?", "time"),
    "at night": ("night", "Is it night?", "time"),
    "at the beach": ("beach", "Is this a beach?", "place"),
}
"""How facts say a place → the place, the question, and what it is about."""


def verify_place(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    asked, text, about = PLACE_QUESTIONS[fact.slots["place"]]
    known = place_statements(scene)
    states = {known[about]}
    if about == "place":  # a beach tells all; what is no beach may be anywhere
        states = set(known.values()) if fact.answer == "yes" else set()
    return GqaQuestion(
        text=text,
        answer=fact.answer,
        full_answer=f"{fact.answer.capitalize()}, it is {'' if fact.answer == 'yes' else 'not '}{fact.slots['place']}.",
        kinds=("verify", "global", f"{about}Verify"),
        program=(("select", "scene", ()), (f"verify {about}", asked, (0,))),
        subject=f"{asked}_{about}",
        needs=frozenset({known[about]}),
        states=frozenset(states),
    )


def choose_location(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    known = frozenset({place_statements(scene)["location"]})
    return GqaQuestion(
        text="Is it indoors or outdoors?",
        answer=fact.answer,
        full_answer=f"It is {fact.answer}.",
        kinds=("choose", "global", "locationChoose"),
        program=(("select", "scene", ()), ("choose location", "indoors|outdoors", (0,))),
        subject="location",
        needs=known,
        states=known,
        options=fact.choices,
        group="location",
    )


def query_place(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    known = place_statements(scene)
    return GqaQuestion(
        text="What place is this?",
        answer=PLACE_NAMES[scene.place],
        full_answer=f"It is a {PLACE_NAMES[scene.place]}.",
        kinds=("query", "global", "place"),
        program=(("select", "scene", ()), ("query", "place", (0,))),
        subject="place",
        needs=frozenset({known["place"]}),
        states=frozenset(known.values()),
        options=tuple(PLACE_NAMES.values()),
        group="place",
    )


FORMS: dict[str, tuple[Form, ...]] = {
    "is_place": (verify_place,),
    "indoors": (choose_location,),
    "place": (query_place,),
}
"""Kind of fact → the forms in which GQA asks for it."""
