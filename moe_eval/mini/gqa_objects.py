"""GQA's questions about one object: whether it is there, what it is, what color, how big, on which side.

Source of forms, operations and types: GQA's question files; Hudson and Manning, GQA, section 3.
"""

import random

from moe_eval.mini.gqa_programs import NOTHING, Form, GqaQuestion, exists, fits, missing, named, select
from moe_eval.mini.questions import COLUMNS, YES_NO, Fact, Facts, FactTable, column_of, reference, with_article
from moe_eval.mini.world import COLOURS, SHAPES, SIZES, Scene

__all__ = ["FACTS", "FORMS"]

SIDES = COLUMNS[::2]


# --- facts that only GQA asks for -------------------------------------------------------------------------------


def side(scene: Scene, generator: random.Random) -> Facts:
    """On which side is {the}? Of objects that are not in the middle."""
    for item in scene.objects:
        where, name = column_of(scene, item), reference(scene, item)
        if where in SIDES:
            yield Fact("side", where, SIDES, {"name": name})


def attributes(scene: Scene, generator: random.Random) -> Facts:
    """Is {the} {size} and {colour}? Of shapes that are there once."""
    for item in scene.objects:
        if len(scene.having(shape=item.shape)) == 1:
            right = (item.size, item.colour)
            colour = generator.choice([colour for colour in COLOURS if colour != item.colour])
            size = SIZES[1 - SIZES.index(item.size)]
            asked = generator.choice([right, right, (item.size, colour), (size, item.colour)])
            slots = {"name": item.shape, "size": asked[0], "colour": asked[1]}
            yield Fact("attributes", "yes" if asked == right else "no", YES_NO, slots)


FACTS: FactTable = {"side": side, "attributes": attributes}


# --- forms ------------------------------------------------------------------------------------------------------


def exist(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    name, a, many = (fact.slots[slot] for slot in ("name", "a", "many"))
    there = fact.answer == "yes"
    known = frozenset({exists(name) if there else missing(name)})
    return GqaQuestion(
        text=generator.choice((f"Is there {a}?", f"Are there any {many} in the picture?")),
        answer=fact.answer,
        full_answer=f"Yes, there is {a}." if there else f"No, there are no {many}.",
        kinds=("verify", "obj", "existAttr" if " " in name else "exist"),
        program=select(name, scene, ("exist", "?")),
        subject=f"{name}_exist",
        needs=known,
        states=known,
    )


def verify_colour(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    name, asked = fact.slots["name"], fact.slots["colour"]
    item = named(scene, name)
    known = fits(scene, "color", item)
    return GqaQuestion(
        text=f"Is the {name} {asked}?",
        answer=fact.answer,
        full_answer=f"{fact.answer.capitalize()}, the {name} is {item.colour}.",
        kinds=("verify", "attr", "verifyAttr"),
        program=select(name, scene, ("verify color", asked)),
        subject=f"{name}_color",
        needs=known,
        states=known if fact.answer == "yes" else frozenset({missing(f"{asked} {item.shape}")}),
    )


def verify_attributes(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    name, size, colour = (fact.slots[slot] for slot in ("name", "size", "colour"))
    item = named(scene, name)
    known = fits(scene, "color", item) | fits(scene, "size", item)
    program = select(name, scene, ("verify size", size))
    last = len(program)
    return GqaQuestion(
        text=f"Is the {name} {size} and {colour}?",
        answer=fact.answer,
        full_answer=f"{fact.answer.capitalize()}, the {name} is {item.size} and {item.colour}.",
        kinds=("logical", "attr", "verifyAttrAnd"),
        program=(*program, ("verify color", colour, (last - 2,)), ("and", "", (last - 1, last))),
        subject=f"{name}_attributes",
        needs=known,
        states=known if fact.answer == "yes" else NOTHING,
    )


def query_colour(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    name = fact.slots["name"]
    wordings = ((f"What color is the {name}?", "directWhich"), (f"What is the color of the {name}?", "directOf"))
    text, detailed = generator.choice(wordings)
    return _attribute(fact, scene, "color", text, ("query", "attr", detailed), ("query", "color"), COLOURS)


def choose_colour(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    one, two = options = _two(fact, generator)
    text = f"Is the {fact.slots['name']} {one} or {two}?"
    step = ("choose color", f"{one}|{two}")
    return _attribute(fact, scene, "color", text, ("choose", "attr", "chooseAttr"), step, options)


def query_name(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    text = f"What is the {fact.slots['name']}?"
    return _attribute(fact, scene, "shape", text, ("query", "cat", "categoryAttr"), ("query", "name"), SHAPES)


def choose_name(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    one, two = options = _two(fact, generator)
    text = f"Is the {fact.slots['name']} {with_article(one)} or {with_article(two)}?"
    step = ("choose name", f"{one}|{two}")
    return _attribute(fact, scene, "shape", text, ("choose", "cat", "categoryThisChoose"), step, options)


def query_size(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    text = f"How big is the {fact.slots['name']}?"
    return _attribute(fact, scene, "size", text, ("query", "attr", "how"), ("query", "size"), SIZES)


def query_side(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    text = f"On which side of the picture is the {fact.slots['name']}?"
    step = ("query", "hposition")
    return _attribute(fact, scene, "position", text, ("query", "attr", "positionQuery"), step, SIDES)


def verify_side(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    name, asked = fact.slots["name"], generator.choice(SIDES)
    answer = "yes" if asked == fact.answer else "no"
    known = fits(scene, "position", named(scene, name))
    return GqaQuestion(
        text=f"Is the {name} on the {asked} side of the picture?",
        answer=answer,
        full_answer=f"{answer.capitalize()}, the {name} is on the {fact.answer} side of the picture.",
        kinds=("verify", "attr", "positionVerify"),
        program=select(name, scene, ("verify hposition", asked)),
        subject=f"{name}_position",
        needs=known,
        states=known if answer == "yes" else NOTHING,
    )


def _attribute(
    fact: Fact,
    scene: Scene,
    what: str,
    text: str,
    kinds: tuple[str, str, str],
    step: tuple[str, str],
    options: tuple[str, ...],
) -> GqaQuestion:
    """About the `color`, `shape`, `size` or `position` of one object."""
    name = fact.slots["name"]
    item = named(scene, name)
    known = fits(scene, what, item)
    if name.split()[0] in SIZES:  # one has to know which of two stars is the large one
        known |= fits(scene, "size", item)
    full = {"shape": with_article(fact.answer), "position": f"on the {fact.answer} side of the picture"}
    return GqaQuestion(
        text=text,
        answer=fact.answer,
        full_answer=f"The {name} is {full.get(what, fact.answer)}.",
        kinds=kinds,
        program=select(name, scene, step),
        subject=f"{name}_{what}",
        needs=known,
        states=known,
        options=options,
        group=what,
    )


def _two(fact: Fact, generator: random.Random) -> tuple[str, str]:
    """The answer and another choice, in random order."""
    other = generator.choice([choice for choice in fact.choices if choice != fact.answer])
    one, two = generator.sample([fact.answer, other], 2)
    return one, two


FORMS: dict[str, tuple[Form, ...]] = {
    "exists": (exist,),
    "exists_shape": (exist,),
    "is_colour": (verify_colour,),
    "colour": (query_colour, query_colour, choose_colour),
    "shape": (query_name, query_name, choose_name),
    "size": (query_size,),
    "attributes": (verify_attributes,),
    "side": (query_side, verify_side),
}
"""Kind of fact → the forms in which GQA asks for it, those twice that are wanted twice as often."""
