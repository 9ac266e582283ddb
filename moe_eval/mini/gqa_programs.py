"""What GQA's question files say about a question, and the pieces of which its forms are made: programs and statements.

Statements are what a question's answer follows from and what follows from it; they tell which questions imply which.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from moe_eval.mini.content import SceneObject
from moe_eval.mini.questions import OPPOSITE, YES_NO, Fact, column_of
from moe_eval.mini.world import COLOURS, SHAPES, SIZES, Scene

__all__ = [
    "NOTHING",
    "Form",
    "GqaQuestion",
    "Statements",
    "Step",
    "combine",
    "exists",
    "fits",
    "lies",
    "missing",
    "named",
    "place_statements",
    "select",
]

Step = tuple[str, str, tuple[int, ...]]
"""Operation, argument, and the numbers of the steps that it works on."""

Statements = frozenset[str]

NOTHING: Statements = frozenset()


@dataclass(frozen=True)
class GqaQuestion:
    """A question with what GQA's files say about it.

    Args:
        kinds: structural, semantic and detailed type.
        subject: what is asked about, such as `star_color`: questions of one subject make up a local group.
        needs: the answer follows from these statements.
        states: these follow from the answer.
        options: answers that fit the question.
        group: the global group, within which the distribution of answers is looked at; "" for yes/no questions.
    """

    text: str
    answer: str
    full_answer: str
    kinds: tuple[str, str, str]
    program: tuple[Step, ...]
    subject: str
    needs: Statements
    states: Statements
    options: tuple[str, ...] = YES_NO
    group: str = ""

    def implies(self, other: "GqaQuestion") -> bool:
        """Whether who knows this question's answer knows the other's."""
        return other.needs <= self._known

    @cached_property
    def _known(self) -> Statements:
        return _spelt_out(self.states)


Form = Callable[[Fact, Scene, random.Random], GqaQuestion]
"""How a fact is asked for."""


# --- programs ---------------------------------------------------------------------------------------------------


def select(name: str, scene: Scene, *more: tuple[str, str]) -> tuple[Step, ...]:
    """The steps that find `star`, `red star` or `red object`, and more steps, each working on the one before."""
    *adjectives, noun = name.split()
    filters = [(f"filter {'size' if adjective in SIZES else 'color'}", adjective) for adjective in adjectives]
    chain = [("select", _numbered(noun, scene)), *filters, *more]
    return tuple(
        (operation, argument, (place - 1,) if place else ()) for place, (operation, argument) in enumerate(chain)
    )


def combine(first: tuple[Step, ...], second: tuple[Step, ...], operation: str) -> tuple[Step, ...]:
    """Two programs one behind the other, and an operation on what both of them end with."""
    start = len(first)
    moved = tuple((name, argument, tuple(n + start for n in on)) for name, argument, on in second)
    return (*first, *moved, (operation, "", (start - 1, start + len(second) - 1)))


def named(scene: Scene, name: str) -> SceneObject:
    """The object that `star`, `the red star`, `small star` or `red object` names."""
    words = set(name.split()) - {"the", "object"}
    return next(item for item in scene.objects if words <= {item.size, item.colour, item.shape})


def _numbered(noun: str, scene: Scene) -> str:
    """As GQA writes objects into programs: with their numbers, or `-` where there is none."""
    numbers = [str(number) for number, item in enumerate(scene.objects) if noun in ("object", item.shape)]
    return f"{noun} ({','.join(numbers) or '-'})"


# --- statements -------------------------------------------------------------------------------------------------


def exists(name: str) -> str:
    """That there is a `star` or a `red star`."""
    return f"there is {name}"


def missing(name: str) -> str:
    """That there is no `star` or no `red star`."""
    return f"no {name}"


def fits(scene: Scene, what: str, *items: SceneObject) -> Statements:
    """What is known of objects whose `color`, `shape`, `size` or `position` is known."""
    if what in ("color", "shape"):
        return frozenset(exists(item.label) for item in items)
    return frozenset(f"{item.label} is {item.size if what == 'size' else column_of(scene, item)}" for item in items)


def lies(one: SceneObject, relation: str, two: SceneObject) -> str:
    """How two objects lie: the same statement for "one is above two" and for "two is below one"."""
    if relation in ("right", "below"):
        one, relation, two = two, OPPOSITE[relation], one
    return f"{one.label} {relation} {two.label}"


def place_statements(scene: Scene) -> dict[str, str]:
    """What is known of a picture's place, by what it is about: the place, the location, and outdoors the time."""
    known = {
        "place": f"place {scene.place}",
        "location": "outdoors",
        "time": "night" if scene.place == "night" else "day",
    }
    if scene.place == "indoors":
        return {"place": known["place"], "location": "indoors"}
    return known


def _spelt_out(statements: Iterable[str]) -> Statements:
    """With what follows at once: a red star is a star, and where no star is, no red star is."""
    known = set(statements)
    there = {statement.split()[-1] for statement in known if statement.startswith(exists(""))}
    gone = {shape for shape in SHAPES if missing(shape) in known}
    known |= {exists(shape) for shape in there}
    known |= {missing(f"{colour} {shape}") for shape in gone for colour in COLOURS}
    return frozenset(known)
