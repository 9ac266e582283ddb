"""What can be asked about a scene, with certain answers. Shared by the `mini` sources of all tasks.

A `Fact` says what is asked and what the answer is; each task words it in its benchmark's way:
`fact.ask("What color is {the}?")`. Words that end up in questions and answers are as benchmarks spell them ("color").
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from moe_eval.mini.content import SceneObject
from moe_eval.mini.world import COLOURS, PLACES, SHAPES, SIZES, WORDS, Scene

__all__ = [
    "BEHIND",
    "COLUMNS",
    "COUNTS",
    "FACTS",
    "NUMBER_WORDS",
    "OPPOSITE",
    "PLACE_PHRASES",
    "ROWS",
    "YES_NO",
    "Fact",
    "FactTable",
    "Facts",
    "absent_labels",
    "ask",
    "column_name",
    "column_of",
    "facts",
    "plural",
    "reference",
    "related",
    "relations",
    "row_name",
    "row_of",
    "with_article",
]

YES_NO = ("yes", "no")
COUNTS = ("0", "1", "2", "3", "4")
NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six")
COLUMNS = ("left", "middle", "right")
ROWS = ("top", "middle", "bottom")
BEHIND = {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"}
"""Relation → how it is said between two things."""
OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}
PLACE_PHRASES = {"indoors": "indoors", "day": "in the daytime", "night": "at night", "beach": "at the beach"}
CERTAINLY_NOT = {
    "indoors": ("beach",),
    "day": ("indoors", "night", "beach"),
    "night": ("indoors", "day", "beach"),
    "beach": ("indoors", "night"),
}
"""Place → those that it cannot be, either: indoors it may be day or night, and at the beach it is day."""


@dataclass(frozen=True)
class Fact:
    """Something to ask.

    Args:
        kind: a key of `FACTS`, or the task's own.
        answer: in lower case, one word or number.
        choices: all answers that questions of this kind may have, the right one among them.
        slots: what a wording may name: see the function of that kind.
    """

    kind: str
    answer: str
    choices: tuple[str, ...]
    slots: Mapping[str, str]

    def ask(self, wording: str) -> str:
        """The question: `fact.ask("What color is {the}?")`."""
        return wording.format(**self.slots)


# --- words ------------------------------------------------------------------------------------------------------


def with_article(name: str) -> str:
    """`orange star` → `an orange star`."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def plural(name: str) -> str:
    """`red cross` → `red crosses`."""
    return f"{name}es" if name.endswith("s") else f"{name}s"


def reference(scene: Scene, item: SceneObject) -> str:
    """What an object is called without a doubt: by its shape alone (`star`) if there is one of it, else `red star`."""
    return item.shape if len(scene.having(shape=item.shape)) == 1 else item.label


# --- space ------------------------------------------------------------------------------------------------------


def column_of(scene: Scene, item: SceneObject) -> str:
    """`left`, `middle` (of three columns) or `right`."""
    return column_name(item.column, scene.columns)


def row_of(scene: Scene, item: SceneObject) -> str:
    """`top`, `middle` (of three rows) or `bottom`."""
    return row_name(item.row, scene.rows)


def column_name(column: int, columns: int) -> str:
    """`left`, `middle` (of three columns) or `right`: column `column` of so many, from 0."""
    return COLUMNS[0] if column == 0 else COLUMNS[2] if column == columns - 1 else COLUMNS[1]


def row_name(row: int, rows: int) -> str:
    """`top`, `middle` (of three rows) or `bottom`: row `row` of so many, from 0."""
    return ROWS[0] if row == 0 else ROWS[2] if row == rows - 1 else ROWS[1]


def relations(item: SceneObject, other: SceneObject) -> tuple[str, ...]:
    """How `item` lies to `other`: `left` or `right`, `above` or `below`; neither where they share a column or a row."""
    horizontal = "left" if item.column < other.column else "right" if item.column > other.column else ""
    vertical = "above" if item.row < other.row else "below" if item.row > other.row else ""
    return tuple(relation for relation in (horizontal, vertical) if relation)


def related(scene: Scene, relation: str, other: SceneObject) -> list[SceneObject]:
    """All objects that lie so to `other`, in whatever distance."""
    return [item for item in scene.objects if relation in relations(item, other)]


def absent_labels(scene: Scene, generator: random.Random, count: int) -> list[str]:
    """`count` coloured shapes that are not there, by turns of a colour and a shape that are there apart, and any.

    The former cannot be told from what is there by looking at colours and shapes alone.
    """
    everything = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]
    absent = [label for label in everything if label not in scene.labels]
    colours, shapes = {item.colour for item in scene.objects}, {item.shape for item in scene.objects}
    apart = [label for label in absent if label.split()[0] in colours and label.split()[1] in shapes]
    generator.shuffle(absent)
    generator.shuffle(apart)
    chosen: list[str] = []
    while len(chosen) < count:
        pool = apart if len(chosen) % 2 == 0 and apart else absent
        label = pool.pop()
        if label not in chosen:
            chosen.append(label)
    return chosen


# --- facts ------------------------------------------------------------------------------------------------------

Facts = Iterator[Fact]


def exists(scene: Scene, generator: random.Random) -> Facts:
    """Is there {a}? Coloured shapes (`name` is "red star") that are there, and as many that are not."""
    absent = absent_labels(scene, generator, len(scene.objects))
    yield from (_yes_no("exists", label in scene.labels, **_named(label)) for label in (*scene.labels, *absent))


def exists_shape(scene: Scene, generator: random.Random) -> Facts:
    """Is there {a}? Shapes (`name` is "star") that are there, and as many that are not."""
    present = [shape for shape in SHAPES if scene.having(shape=shape)]
    absent = generator.sample([shape for shape in SHAPES if shape not in present], len(present))
    yield from (_yes_no("exists_shape", shape in present, **_named(shape)) for shape in (*present, *absent))


def exists_colour(scene: Scene, generator: random.Random) -> Facts:
    """Is anything {colour}? Colours that are there, and as many that are not; `a` is "a red object"."""
    present = [colour for colour in COLOURS if scene.having(colour=colour)]
    absent = generator.sample([colour for colour in COLOURS if colour not in present], len(present))
    for colour in (*present, *absent):
        yield _yes_no("exists_colour", colour in present, colour=colour, **_named(f"{colour} object"))


def colour(scene: Scene, generator: random.Random) -> Facts:
    """What color is {the}? For every shape that is there once, and of every "large star" that is not the only star."""
    for item in scene.objects:
        if len(scene.having(shape=item.shape)) == 1:
            yield Fact("colour", item.colour, COLOURS, {"the": f"the {item.shape}", "name": item.shape})
        elif len(scene.having(shape=item.shape, size=item.size)) == 1:
            name = f"{item.size} {item.shape}"
            yield Fact("colour", item.colour, COLOURS, {"the": f"the {name}", "name": name})


def is_colour(scene: Scene, generator: random.Random) -> Facts:
    """Is {the} {colour}? For shapes that are there once; a wrong colour is that of another object by turns."""
    for item in scene.objects:
        if len(scene.having(shape=item.shape)) == 1:
            others = [other.colour for other in scene.objects if other.colour != item.colour]
            pool = others if others and generator.random() < 0.5 else [c for c in COLOURS if c != item.colour]
            asked = item.colour if generator.random() < 0.5 else generator.choice(pool)
            yield _yes_no("is_colour", asked == item.colour, the=f"the {item.shape}", name=item.shape, colour=asked)


def shape(scene: Scene, generator: random.Random) -> Facts:
    """What shape is {the}? For every colour that is there once ("the red object")."""
    for item in scene.objects:
        if len(scene.having(colour=item.colour)) == 1:
            name = f"{item.colour} object"
            yield Fact("shape", item.shape, SHAPES, {"the": f"the {name}", "name": name, "colour": item.colour})


def size(scene: Scene, generator: random.Random) -> Facts:
    """What size is {the}? `small` or `large`."""
    for item in scene.objects:
        yield Fact("size", item.size, SIZES, _the(scene, item))


def count(scene: Scene, generator: random.Random) -> Facts:
    """How many {many} are there? All objects, and shapes and colours that are there or, one of them, not.

    Most shapes and colours are there once; few of these are asked for, so that "1" is no safe guess.
    """
    names = dict.fromkeys(name for item in scene.objects for name in (item.shape, f"{item.colour} object"))
    absent = [shape for shape in SHAPES if shape not in names]
    absent += [f"{colour} object" for colour in COLOURS if f"{colour} object" not in names]
    counts = {name: sum(name in (item.shape, f"{item.colour} object") for item in scene.objects) for name in names}
    single = [name for name, number in counts.items() if number == 1]
    asked = [name for name, number in counts.items() if number > 1]
    asked += [*generator.sample(single, min(2, len(single))), generator.choice(absent)]
    yield _count(len(scene.objects), "object")
    yield from (_count(counts.get(name, 0), name) for name in asked)


def column(scene: Scene, generator: random.Random) -> Facts:
    """On which side of the picture is {the}? `left`, `right`, or `middle` of three columns."""
    for item in scene.objects:
        yield Fact("column", column_of(scene, item), _possible(COLUMNS, scene.columns), _the(scene, item))


def row(scene: Scene, generator: random.Random) -> Facts:
    """In which part of the picture is {the}? `top`, `bottom`, or `middle` of three rows."""
    for item in scene.objects:
        yield Fact("row", row_of(scene, item), _possible(ROWS, scene.rows), _the(scene, item))


def relation(scene: Scene, generator: random.Random) -> Facts:
    """Is {the} {behind} {other}? `behind` is "to the left of", "above", …; `relation` the word for it."""
    for number, item in enumerate(scene.objects):
        for other in scene.objects[number + 1 :]:
            for true in relations(item, other):
                one, two = (item, other) if generator.random() < 0.5 else (other, item)
                asked = true if generator.random() < 0.5 else OPPOSITE[true]
                slots = {"other": f"the {reference(scene, two)}", "relation": asked, "behind": BEHIND[asked]}
                yield _yes_no("relation", asked in relations(one, two), **_the(scene, one), **slots)


def neighbour(scene: Scene, generator: random.Random) -> Facts:
    """What shape is {behind} {other}? Where one object alone lies so; the answer is its shape."""
    for other in scene.objects:
        for asked, behind in BEHIND.items():
            found = related(scene, asked, other)
            if len(found) == 1:
                slots = {"other": f"the {reference(scene, other)}", "relation": asked, "behind": behind}
                yield Fact("neighbour", found[0].shape, SHAPES, slots)


def larger(scene: Scene, generator: random.Random) -> Facts:
    """Which is larger, {one} or {two}? Of two objects of different sizes with shapes that are there once."""
    single = [item for item in scene.objects if len(scene.having(shape=item.shape)) == 1]
    for number, item in enumerate(single):
        for other in single[number + 1 :]:
            if item.size != other.size:
                answer = item.shape if item.size == "large" else other.shape
                slots = {"one": f"the {item.shape}", "two": f"the {other.shape}"}
                yield Fact("larger", answer, (item.shape, other.shape), slots)


def same(scene: Scene, generator: random.Random) -> Facts:
    """Are {one} and {two} the same {what}? `what` is color, shape or size."""
    for number, item in enumerate(scene.objects):
        for other in scene.objects[number + 1 :]:
            slots = {"one": f"the {reference(scene, item)}", "two": f"the {reference(scene, other)}"}
            yield _yes_no("same", item.size == other.size, **slots, what="size")
            if (
                item.shape != other.shape
                and slots["one"] == f"the {item.shape}"
                and slots["two"] == f"the {other.shape}"
            ):
                yield _yes_no("same", item.colour == other.colour, **slots, what="color")


def word(scene: Scene, generator: random.Random) -> Facts:
    """What does the sign say? Where there is one."""
    if scene.sign:
        yield Fact("word", scene.word, WORDS, {})


def has_sign(scene: Scene, generator: random.Random) -> Facts:
    """Is there a sign?"""
    yield _yes_no("has_sign", scene.sign is not None, **_named("sign"))


def place(scene: Scene, generator: random.Random) -> Facts:
    """Where or when was this taken? `indoors`, `day`, `night` or `beach`."""
    yield Fact("place", scene.place, PLACES, {})


def is_place(scene: Scene, generator: random.Random) -> Facts:
    """Is this {place}? `place` is "at night", "indoors", …; one that is true and one that is not."""
    for asked in (scene.place, generator.choice(CERTAINLY_NOT[scene.place])):
        yield _yes_no("is_place", asked == scene.place, place=PLACE_PHRASES[asked])


def time(scene: Scene, generator: random.Random) -> Facts:
    """What time of day is it? `day` or `night`; nothing indoors."""
    if scene.place != "indoors":
        yield Fact("time", "night" if scene.place == "night" else "day", ("day", "night"), {})


def indoors(scene: Scene, generator: random.Random) -> Facts:
    """Is it indoors or outdoors?"""
    yield Fact("indoors", "indoors" if scene.place == "indoors" else "outdoors", ("indoors", "outdoors"), {})


FactTable = Mapping[str, Callable[[Scene, random.Random], Facts]]
"""Kind of fact → all of that kind about a scene."""

FACTS: FactTable = {
    function.__name__: function
    for function in (
        *(exists, exists_shape, exists_colour, colour, is_colour, shape, size, count, column, row),
        *(relation, neighbour, larger, same, word, has_sign, place, is_place, time, indoors),
    )
}
"""What is asked in several benchmarks; a task adds its own kinds."""


def facts(
    scene: Scene, seed: str, kinds: Sequence[str] = tuple(FACTS), table: FactTable = FACTS
) -> dict[str, list[Fact]]:
    """Facts of these kinds about a scene in random order, by kind; the same for the same seed."""
    generator = random.Random(f"{seed} {scene.name}")
    found = {kind: list(table[kind](scene, generator)) for kind in kinds}
    for some in found.values():
        generator.shuffle(some)
    return found


def ask(
    scene: Scene,
    seed: str,
    wordings: Mapping[str, Sequence[str]],
    plan: Sequence[str],
    count: int,
    table: FactTable = FACTS,
) -> list[tuple[str, Fact]]:
    """Up to `count` different questions about a scene, with what each asks.

    Args:
        seed: decides which facts and which of their wordings, together with the scene's name.
        wordings: how each kind of fact may be asked for.
        plan: kinds, each as often as it is wanted in a round; rounds follow until there are no more facts.
        table: the kinds that there are.
    """
    generator = random.Random(f"{seed} wordings {scene.name}")
    found = facts(scene, seed, list(dict.fromkeys(plan)), table)
    asked: dict[str, Fact] = {}
    while any(found.values()) and len(asked) < count:
        for kind in generator.sample(plan, len(plan)):
            if found[kind] and len(asked) < count:
                fact = found[kind].pop()
                asked.setdefault(fact.ask(generator.choice(wordings[kind])), fact)
    return list(asked.items())


def _yes_no(kind: str, true: bool, **slots: str) -> Fact:
    return Fact(kind, "yes" if true else "no", YES_NO, slots)


def _named(name: str) -> dict[str, str]:
    return {"name": name, "a": with_article(name), "many": plural(name)}


def _the(scene: Scene, item: SceneObject) -> dict[str, str]:
    name = reference(scene, item)
    return {"the": f"the {name}", "name": name}


def _possible(names: tuple[str, ...], count: int) -> tuple[str, ...]:
    return names if count > 2 else (names[0], names[2])


def _count(number: int, name: str) -> Fact:
    return Fact("count", str(number), COUNTS, _named(name))
