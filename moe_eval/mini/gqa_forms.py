"""GQA's forms of questions: how a fact about a scene becomes a question with its program and its types.

Every form also says from which statements its answer follows and which statements follow from it, so that questions
that imply each other are known. Source of forms, operations and types: GQA, `question/` templates; GQA, section 3.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from moe_eval.mini.questions import (
    BEHIND,
    COLUMNS,
    FACTS,
    OPPOSITE,
    YES_NO,
    Fact,
    Facts,
    FactTable,
    column_of,
    plural,
    reference,
    related,
    with_article,
)
from moe_eval.mini.world import COLOURS, SHAPES, SIZES, Scene, SceneObject

__all__ = ["FORMS", "TABLE", "GqaQuestion"]

Step = tuple[str, str, tuple[int, ...]]
"""Operation, argument, and the steps that it works on."""

Statements = frozenset[str]


@dataclass(frozen=True)
class GqaQuestion:
    """A question with what GQA's files say about it.

    Args:
        kinds: structural, semantic and detailed type.
        options: answers that fit the question.
        subject: what is asked about, such as `star_color`: questions of one subject make up a local group.
        group: the global group, within which answers' distribution is looked at; "" for yes/no questions.
        needs: the answer follows from these statements.
        states: these follow from the answer.
    """

    text: str
    answer: str
    full_answer: str
    kinds: tuple[str, str, str]
    program: tuple[Step, ...]
    options: tuple[str, ...]
    subject: str
    group: str
    needs: Statements
    states: Statements

    def implies(self, other: "GqaQuestion") -> bool:
        """Whether who knows this question's answer knows the other's."""
        return other.needs <= self.states


Form = Callable[[Fact, Scene, random.Random], GqaQuestion]


# --- facts that only GQA asks for -------------------------------------------------------------------------------


def side(scene: Scene, generator: random.Random) -> Facts:
    """On which side is {the}? Of objects that are not in the middle."""
    for item in scene.objects:
        where, name = column_of(scene, item), reference(scene, item)
        if where != "middle":
            yield Fact("side", where, COLUMNS[::2], {"the": f"the {name}", "name": name})


def two_shapes(scene: Scene, generator: random.Random) -> Facts:
    """Are there {one} and/or {two}? Pairs of which both, one or none is there; the answer is about "and" or "or"."""
    present = list(dict.fromkeys(item.shape for item in scene.objects))
    absent = [shape for shape in SHAPES if shape not in present]
    pairs = [("or", *generator.sample(absent, 2)), ("or", present[0], absent[0]), ("and", present[0], absent[0])]
    pairs += [("and", *present[:2])] if len(present) > 1 else []
    for how, *shapes in pairs:
        there = [shape in present for shape in shapes]
        one, two = generator.sample(shapes, 2)
        true = all(there) if how == "and" else any(there)
        yield Fact("two_shapes", YES_NO[not true], YES_NO, {"one": one, "two": two, "how": how})


def attributes(scene: Scene, generator: random.Random) -> Facts:
    """Is {the} {size} and {colour}? Of shapes that are there once."""
    for item in scene.objects:
        if len(scene.having(shape=item.shape)) == 1:
            right = (item.size, item.colour)
            colour = generator.choice([colour for colour in COLOURS if colour != item.colour])
            size = SIZES[1 - SIZES.index(item.size)]
            asked = generator.choice([right, right, (item.size, colour), (size, item.colour)])
            slots = {"the": f"the {item.shape}", "name": item.shape, "size": asked[0], "colour": asked[1]}
            yield Fact("attributes", YES_NO[asked != right], YES_NO, slots)


def common(scene: Scene, generator: random.Random) -> Facts:
    """What is common to {one} and {two}? Their color or their shape."""
    for number, item in enumerate(scene.objects):
        for other in scene.objects[number + 1 :]:
            if (item.colour == other.colour) != (item.shape == other.shape):
                answer = "color" if item.colour == other.colour else "shape"
                yield Fact("common", answer, ("color", "shape"), {"one": item.label, "two": other.label})


TABLE: FactTable = {**FACTS, **{function.__name__: function for function in (side, two_shapes, attributes, common)}}


# --- forms: objects and attributes ------------------------------------------------------------------------------


def exist(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    name, there = fact.slots["name"], fact.answer == "yes"
    text = generator.choice((f"Is there {fact.slots['a']}?", f"Are there any {fact.slots['many']} in the picture?"))
    full = f"Yes, there is {fact.slots['a']}." if there else f"No, there are no {fact.slots['many']}."
    needs = frozenset({f"there is {name}" if there else f"no {name}"})
    program = (*_select(name, scene), ("exist", "?", ()))
    detailed = "existAttr" if " " in name else "exist"
    return _verify(fact, text, full, ("verify", "obj", detailed), program, f"{name}_exist", needs, needs)


def verify_colour(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    name, asked, item = fact.slots["name"], fact.slots["colour"], _item(scene, fact.slots["name"])
    needs = frozenset({f"there is {item.label}"})
    states = needs if fact.answer == "yes" else frozenset({f"no {asked} {item.shape}"})
    program = (*_select(name, scene), ("verify color", asked, ()))
    full = f"Yes, the {name} is {asked}." if fact.answer == "yes" else f"No, the {name} is {item.colour}."
    kinds = ("verify", "attr", "verifyAttr")
    return _verify(fact, f"Is the {name} {asked}?", full, kinds, program, f"{name}_color", needs, states)


def query_colour(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    name = fact.slots["name"]
    text, detailed = generator.choice(
        ((f"What color is the {name}?", "directWhich"), (f"What is the color of the {name}?", "directOf"))
    )
    program = (*_select(name, scene), ("query", "color", ()))
    return _about(
        fact, scene, text, f"The {name} is {fact.answer}.", ("query", "attr", detailed), program, "color", COLOURS
    )


def choose_colour(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    name, options = fact.slots["name"], _two(fact, generator)
    program = (*_select(name, scene), ("choose color", "|".join(options), ()))
    text, full = f"Is the {name} {options[0]} or {options[1]}?", f"The {name} is {fact.answer}."
    return _about(fact, scene, text, full, ("choose", "attr", "chooseAttr"), program, "color", options)


def query_name(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    name = fact.slots["name"]
    program = (*_select(name, scene), ("query", "name", ()))
    text, full = f"What is the {name}?", f"The {name} is {with_article(fact.answer)}."
    return _about(fact, scene, text, full, ("query", "cat", "categoryAttr"), program, "shape", SHAPES)


def choose_name(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    name, options = fact.slots["name"], _two(fact, generator)
    program = (*_select(name, scene), ("choose name", "|".join(options), ()))
    text = f"Is the {name} {with_article(options[0])} or {with_article(options[1])}?"
    full = f"The {name} is {with_article(fact.answer)}."
    return _about(fact, scene, text, full, ("choose", "cat", "categoryThisChoose"), program, "shape", options)


def query_size(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    name = fact.slots["name"]
    program = (*_select(name, scene), ("query", "size", ()))
    text, full = f"How big is the {name}?", f"The {name} is {fact.answer}."
    return _about(fact, scene, text, full, ("query", "attr", "how"), program, "size", SIZES)


def verify_attributes(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    slots = fact.slots
    item = _item(scene, slots["name"])
    needs = frozenset({f"there is {item.label}", f"{item.label} is {item.size}"})
    select = _select(slots["name"], scene)
    last = len(select) - 1
    program = (
        *select,
        ("verify size", slots["size"], (last,)),
        ("verify color", slots["colour"], (last,)),
        ("and", "", (last + 1, last + 2)),
    )
    text = f"Is {slots['the']} {slots['size']} and {slots['colour']}?"
    full = f"{fact.answer.capitalize()}, {slots['the']} is {item.size} and {item.colour}."
    states = needs if fact.answer == "yes" else frozenset()
    kinds = ("logical", "attr", "verifyAttrAnd")
    return _verify(fact, text, full, kinds, program, f"{slots['name']}_attributes", needs, states)


def query_side(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    name = fact.slots["name"]
    program = (*_select(name, scene), ("query", "hposition", ()))
    text = f"On which side of the picture is the {name}?"
    full = f"The {name} is on the {fact.answer} side of the picture."
    return _about(fact, scene, text, full, ("query", "attr", "positionQuery"), program, "position", COLUMNS[::2])


def verify_side(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    asked = generator.choice(COLUMNS[::2])
    answer = YES_NO[asked != fact.answer]
    one = query_side(fact, scene, generator)
    return GqaQuestion(
        text=f"Is the {fact.slots['name']} on the {asked} side of the picture?",
        answer=answer,
        full_answer=f"{answer.capitalize()}, {one.full_answer[0].lower()}{one.full_answer[1:]}",
        kinds=("verify", "attr", "positionVerify"),
        program=(*one.program[:-1], ("verify hposition", asked, one.program[-1][2])),
        options=YES_NO,
        subject=one.subject,
        group="",
        needs=one.needs,
        states=one.states,
    )


# --- forms: relations, logic, comparison ------------------------------------------------------------------------


def verify_relation(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    one, two = _item(scene, fact.slots["name"]), _item(scene, _bare(fact.slots["other"]))
    asked = fact.slots["relation"]
    true = asked if fact.answer == "yes" else OPPOSITE[asked]
    needs = frozenset({_lies(one, true, two)})
    states = needs if fact.answer == "yes" else frozenset({f"not {_lies(one, asked, two)}"})
    text = f"Is {fact.slots['the']} {BEHIND[asked]} {fact.slots['other']}?"
    full = f"{fact.answer.capitalize()}, {fact.slots['the']} is {BEHIND[true]} {fact.slots['other']}."
    other = _select(_bare(fact.slots["other"]), scene)
    program = (*other, ("verify rel", f"{fact.slots['name']},{BEHIND[asked]},s", (len(other) - 1,)))
    subject = f"{fact.slots['name']}-{_bare(fact.slots['other'])}_relation"
    return _verify(fact, text, full, ("verify", "rel", "relVerify"), program, subject, needs, states)


def choose_relation(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    slots = fact.slots
    one, two = _item(scene, slots["name"]), _item(scene, _bare(slots["other"]))
    true = slots["relation"] if fact.answer == "yes" else OPPOSITE[slots["relation"]]
    options = tuple(generator.sample([true, OPPOSITE[true]], 2))
    text = f"Is {slots['the']} {BEHIND[options[0]]} or {BEHIND[options[1]]} {slots['other']}?"
    if true in ("left", "right"):
        text = f"Is {slots['the']} to the {options[0]} or to the {options[1]} of {slots['other']}?"
    other = _select(_bare(slots["other"]), scene)
    return GqaQuestion(
        text=text,
        answer=true,
        full_answer=f"{slots['the'].capitalize()} is {BEHIND[true]} {slots['other']}.",
        kinds=("choose", "rel", "relChooser"),
        program=(
            *other,
            ("choose rel", f"{slots['name']},{'|'.join(BEHIND[o] for o in options)},s", (len(other) - 1,)),
        ),
        options=options,
        subject=f"{slots['name']}-{_bare(slots['other'])}_relation",
        group="relation",
        needs=frozenset({_lies(one, true, two)}),
        states=frozenset({_lies(one, true, two)}),
    )


def query_related(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    other, relation = _bare(fact.slots["other"]), fact.slots["relation"]
    two = _item(scene, other)
    found = related(scene, relation, two)[0]
    select = _select(other, scene)
    states = frozenset({_lies(found, relation, two), f"there is {found.label}"})
    return GqaQuestion(
        text=f"What is {BEHIND[relation]} {fact.slots['other']}?",
        answer=fact.answer,
        full_answer=f"{with_article(fact.answer).capitalize()} is {BEHIND[relation]} {fact.slots['other']}.",
        kinds=("query", "rel", "relS"),
        program=(*select, ("relate", f"_,{BEHIND[relation]},s", (len(select) - 1,)), ("query", "name", (len(select),))),
        options=SHAPES,
        subject=f"{other}-{relation}_name",
        group="shape",
        needs=states | {f"alone {_lies(found, relation, two)}"},
        states=frozenset({_lies(found, relation, two), f"there is {found.shape}"}),
    )


def two_exist(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    one, two, how = fact.slots["one"], fact.slots["two"], fact.slots["how"]
    known = frozenset(f"there is {s}" if scene.having(shape=s) else f"no {s}" for s in (one, two))
    present = frozenset(statement for statement in known if statement.startswith("there"))
    certain = fact.answer == ("yes" if how == "and" else "no")  # both are there, or none is
    needs = known if certain else present if how == "or" else known - present
    program = (
        *(("select", _numbered(one, scene), ()), ("exist", "?", (0,))),
        *(("select", _numbered(two, scene), ()), ("exist", "?", (2,)), (how, "", (1, 3))),
    )
    both = "both" if how == "and" else "either"
    text = f"Are there {both} {plural(one)} {how} {plural(two)} in the picture?"
    full = f"{fact.answer.capitalize()}, there are {'' if certain else 'not '}{both} {plural(one)} {how} {plural(two)}."
    if how == "or":
        full = (
            f"Yes, there is {with_article(next(s for s in (one, two) if scene.having(shape=s)))}." if present else full
        )
    kinds = ("logical", "obj", "existAnd" if how == "and" else "existOr")
    states = known if certain else frozenset()
    return _verify(fact, text, full, kinds, program, f"{one}-{two}_exist", needs, states)


def compare_two(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    one, two, what = _bare(fact.slots["one"]), _bare(fact.slots["two"]), fact.slots["what"]
    needs = frozenset(s for name in (one, two) for s in _known(scene, name, what))
    program = _both(one, two, scene, (f"same {what}", ""))
    text = f"Are the {one} and the {two} the same {what}?"
    same = "the same" if fact.answer == "yes" else "a different"
    full = f"{fact.answer.capitalize()}, they have {same} {what}."
    kinds = ("compare", "attr", "twoSame")
    return _verify(fact, text, full, kinds, program, f"{one}-{two}_{what}", needs, frozenset())


def choose_larger(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    one, two = _bare(fact.slots["one"]), _bare(fact.slots["two"])
    needs = frozenset(s for name in (one, two) for s in _known(scene, name, "size"))
    text, full = f"Which is larger, the {one} or the {two}?", f"The {fact.answer} is larger than the other one."
    return GqaQuestion(
        text=text,
        answer=fact.answer,
        full_answer=full,
        kinds=("compare", "attr", "comparativeChoose"),
        program=_both(one, two, scene, ("choose larger", "")),
        options=(one, two),
        subject=f"{one}-{two}_larger",
        group="shape",
        needs=needs,
        states=needs,
    )


def query_common(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    one, two = fact.slots["one"], fact.slots["two"]
    return GqaQuestion(
        text=f"What is common to the {one} and the {two}?",
        answer=fact.answer,
        full_answer=f"The {fact.answer} is common to them.",
        kinds=("compare", "attr", "twoCommon"),
        program=_both(one, two, scene, ("common", "")),
        options=("color", "material", "shape"),
        subject="common",
        group="common",
        needs=frozenset({f"there is {one}", f"there is {two}"}),
        states=frozenset(),
    )


# --- forms: the whole picture -----------------------------------------------------------------------------------

PLACE_NAMES = {"indoors": "room", "day": "field", "night": "street", "beach": "beach"}


def verify_place(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    asked = next(name for name, phrase in PLACE_QUESTIONS.items() if phrase[0] == fact.slots["place"])
    text, subject = PLACE_QUESTIONS[asked][1:]
    known = _place_known(scene)
    needs = frozenset(s for s in known if s.startswith(subject)) or frozenset({f"place {scene.place}"})
    program = (("select", "scene", ()), (f"verify {subject}", asked, (0,)))
    full = f"{fact.answer.capitalize()}, it is{'' if fact.answer == 'yes' else ' not'} {fact.slots['place']}."
    kinds = ("verify", "global", f"{subject}Verify")
    return _verify(fact, text, full, kinds, program, subject, needs, needs if fact.answer == "yes" else frozenset())


PLACE_QUESTIONS = {
    "indoors": ("indoors", "Is it indoors?", "location"),
    "day": ("in the daytime", "Is it daytime?", "time"),
    "night": ("at night", "Is it night?", "time"),
    "beach": ("at the beach", "Is this a beach?", "place"),
}
"""Place → as `Fact` words it, the question, and what it is about."""


def choose_location(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    needs = frozenset({f"location {fact.answer}"})
    return GqaQuestion(
        text="Is it indoors or outdoors?",
        answer=fact.answer,
        full_answer=f"It is {fact.answer}.",
        kinds=("choose", "global", "locationChoose"),
        program=(("select", "scene", ()), ("choose location", "indoors|outdoors", (0,))),
        options=fact.choices,
        subject="location",
        group="location",
        needs=needs,
        states=needs,
    )


def query_place(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    return GqaQuestion(
        text="What place is this?",
        answer=PLACE_NAMES[scene.place],
        full_answer=f"It is a {PLACE_NAMES[scene.place]}.",
        kinds=("query", "global", "place"),
        program=(("select", "scene", ()), ("query", "place", (0,))),
        options=tuple(PLACE_NAMES.values()),
        subject="place",
        group="place",
        needs=frozenset({f"place {scene.place}"}),
        states=_place_known(scene),
    )


FORMS: Mapping[str, tuple[Form, ...]] = {
    "exists": (exist,),
    "exists_shape": (exist,),
    "is_colour": (verify_colour,),
    "colour": (query_colour, query_colour, choose_colour),
    "shape": (query_name, query_name, choose_name),
    "size": (query_size,),
    "attributes": (verify_attributes,),
    "side": (query_side, verify_side),
    "relation": (verify_relation, choose_relation),
    "neighbour": (query_related,),
    "two_shapes": (two_exist,),
    "same": (compare_two,),
    "larger": (choose_larger,),
    "common": (query_common,),
    "is_place": (verify_place,),
    "indoors": (choose_location,),
    "place": (query_place,),
}
"""Kind of fact → the forms in which GQA asks for it."""


# --- parts of forms ---------------------------------------------------------------------------------------------


def _verify(
    fact: Fact,
    text: str,
    full_answer: str,
    kinds: tuple[str, str, str],
    program: tuple[Step, ...],
    subject: str,
    needs: Statements,
    states: Statements,
) -> GqaQuestion:
    return GqaQuestion(
        text, fact.answer, full_answer, kinds, _chained(program), YES_NO, subject, "", needs, _spelt_out(states)
    )


def _about(
    fact: Fact,
    scene: Scene,
    text: str,
    full_answer: str,
    kinds: tuple[str, str, str],
    program: tuple[Step, ...],
    what: str,
    options: tuple[str, ...],
) -> GqaQuestion:
    """About an attribute of one object."""
    name = fact.slots["name"]
    known = _known(scene, name, what)
    return GqaQuestion(
        text,
        fact.answer,
        full_answer,
        kinds,
        _chained(program),
        options,
        f"{name}_{what}",
        what,
        known,
        _spelt_out(known),
    )


def _two(fact: Fact, generator: random.Random) -> tuple[str, ...]:
    """The answer and another choice, in random order."""
    other = generator.choice([choice for choice in fact.choices if choice != fact.answer])
    return tuple(generator.sample([fact.answer, other], 2))


def _item(scene: Scene, name: str) -> SceneObject:
    """The object that `star`, `red star`, `small star` or `red object` names."""
    words = set(name.split()) - {"object"}
    return next(item for item in scene.objects if words <= {item.size, item.colour, item.shape})


def _bare(name: str) -> str:
    return name.removeprefix("the ")


def _numbered(name: str, scene: Scene) -> str:
    """As GQA names objects in programs: with their number, or `-` where there is none."""
    numbers = [str(number) for number, item in enumerate(scene.objects) if name in ("object", item.shape)]
    return f"{name} ({','.join(numbers) or '-'})"


def _select(name: str, scene: Scene) -> tuple[Step, ...]:
    *adjectives, noun = name.split()
    steps: list[Step] = [("select", _numbered(noun, scene), ())]
    for adjective in adjectives:
        steps.append((f"filter {'size' if adjective in SIZES else 'color'}", adjective, (len(steps) - 1,)))
    return tuple(steps)


def _both(one: str, two: str, scene: Scene, last: tuple[str, str]) -> tuple[Step, ...]:
    first, second = _select(one, scene), _select(two, scene)
    moved = tuple((op, argument, tuple(n + len(first) for n in on)) for op, argument, on in second)
    return (*first, *moved, (*last, (len(first) - 1, len(first) + len(second) - 1)))


def _chained(program: tuple[Step, ...]) -> tuple[Step, ...]:
    """A last step that names nothing to work on works on the one before."""
    operation, argument, on = program[-1]
    return (*program[:-1], (operation, argument, on or (len(program) - 2,)))


# --- statements -------------------------------------------------------------------------------------------------


def _known(scene: Scene, name: str, what: str) -> Statements:
    """What one knows who knows the object's color, shape, size or position."""
    item = _item(scene, name)
    if what in ("color", "shape"):
        return frozenset({f"there is {item.label}"})
    return frozenset({f"{item.label} is {item.size if what == 'size' else column_of(scene, item)}"})


def _place_known(scene: Scene) -> Statements:
    location = "indoors" if scene.place == "indoors" else "outdoors"
    time = {"indoors": set(), "night": {"time night"}}.get(scene.place, {"time day"})
    return frozenset({f"place {scene.place}", f"location {location}", *time})


def _lies(one: SceneObject, relation: str, two: SceneObject) -> str:
    """The same statement for "one is above two" and "two is below one"."""
    if relation in ("right", "below"):
        one, relation, two = two, OPPOSITE[relation], one
    return f"{one.label} {relation} {two.label}"


def _spelt_out(statements: Statements) -> Statements:
    """With what follows at once: a red star is a star, and where no star is, no red star is."""
    more = set(statements)
    for statement in statements:
        if statement.startswith("there is ") and " " in statement.removeprefix("there is "):
            more.add(f"there is {statement.split()[-1]}")
        if statement.startswith("no ") and statement.removeprefix("no ") in SHAPES:
            more |= {f"no {colour} {statement.removeprefix('no ')}" for colour in COLOURS}
    return frozenset(more)
