"""GQA's questions about two objects: how they lie, whether both are there, what they share.

Source of forms, operations and types: GQA's question files; Hudson and Manning, GQA, section 3.
"""

import random

from moe_eval.mini.gqa_programs import NOTHING, Form, GqaQuestion, combine, exists, fits, lies, missing, named, select
from moe_eval.mini.questions import BEHIND, OPPOSITE, YES_NO, Fact, Facts, FactTable, plural, related, with_article
from moe_eval.mini.world import SHAPES, Scene

__all__ = ["FACTS", "FORMS"]

# --- facts that only GQA asks for -------------------------------------------------------------------------------


def two_shapes(scene: Scene, generator: random.Random) -> Facts:
    """Are there {one} and/or {two}? Of each of the two words, one that is true and one that is not."""
    present = list(dict.fromkeys(item.shape for item in scene.objects))
    absent = generator.sample([shape for shape in SHAPES if shape not in present], 3)
    pairs = {("or", "yes"): (present[0], absent[0]), ("or", "no"): (absent[0], absent[1])}
    pairs["and", "no"] = (present[-1], absent[2])
    if len(present) > 1:
        pairs["and", "yes"] = (present[0], present[1])
    for (how, answer), pair in pairs.items():
        one, two = generator.sample(pair, 2)
        yield Fact("two_shapes", answer, YES_NO, {"one": one, "two": two, "how": how})


def common(scene: Scene, generator: random.Random) -> Facts:
    """What is common to {one} and {two}? Their color or their shape."""
    for number, item in enumerate(scene.objects):
        for other in scene.objects[number + 1 :]:
            if (item.colour == other.colour) != (item.shape == other.shape):
                answer = "color" if item.colour == other.colour else "shape"
                yield Fact("common", answer, ("color", "shape"), {"one": item.label, "two": other.label})


FACTS: FactTable = {"two_shapes": two_shapes, "common": common}


# --- forms: relations -------------------------------------------------------------------------------------------


def verify_relation(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    one, two, asked, true = _pair(fact)
    known = lies(named(scene, one), true, named(scene, two))
    return GqaQuestion(
        text=f"Is the {one} {BEHIND[asked]} the {two}?",
        answer=fact.answer,
        full_answer=f"{fact.answer.capitalize()}, the {one} is {BEHIND[true]} the {two}.",
        kinds=("verify", "rel", "relVerify"),
        program=select(two, scene, ("verify rel", f"{one},{BEHIND[asked]},s")),
        subject=f"{one}-{two}_relation",
        needs=frozenset({known}),
        states=frozenset({known}) if fact.answer == "yes" else NOTHING,
    )


def choose_relation(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    one, two, _, true = _pair(fact)
    first, second = options = (true, OPPOSITE[true]) if generator.random() < 0.5 else (OPPOSITE[true], true)
    known = frozenset({lies(named(scene, one), true, named(scene, two))})
    either = f"{first} or {second}" if true in ("above", "below") else f"to the {first} or to the {second} of"
    return GqaQuestion(
        text=f"Is the {one} {either} the {two}?",
        answer=true,
        full_answer=f"The {one} is {BEHIND[true]} the {two}.",
        kinds=("choose", "rel", "relChooser"),
        program=select(two, scene, ("choose rel", f"{one},{BEHIND[first]}|{BEHIND[second]},s")),
        subject=f"{one}-{two}_relation",
        needs=known,
        states=known,
        options=options,
        group="relation",
    )


def query_related(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    other, relation = fact.slots["other"].removeprefix("the "), fact.slots["relation"]
    found = related(scene, relation, named(scene, other))[0]
    known = lies(found, relation, named(scene, other))
    return GqaQuestion(
        text=f"What is {BEHIND[relation]} the {other}?",
        answer=fact.answer,
        full_answer=f"{with_article(fact.answer).capitalize()} is {BEHIND[relation]} the {other}.",
        kinds=("query", "rel", "relS"),
        program=select(other, scene, ("relate", f"_,{BEHIND[relation]},s"), ("query", "name")),
        subject=f"{other}-{relation}_name",
        needs=frozenset({f"only {known}"}),  # that nothing else lies there, no other question tells
        states=frozenset({f"only {known}", known, exists(found.shape)}),
        options=SHAPES,
        group="shape",
    )


def _pair(fact: Fact) -> tuple[str, str, str, str]:
    """Both objects of a fact about a relation, the relation that is asked for and the one that is true."""
    asked = fact.slots["relation"]
    return (
        fact.slots["name"],
        fact.slots["other"].removeprefix("the "),
        asked,
        asked if fact.answer == "yes" else OPPOSITE[asked],
    )


# --- forms: logic and comparison --------------------------------------------------------------------------------


def two_exist(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    one, two, how = (fact.slots[slot] for slot in ("one", "two", "how"))
    known = frozenset(exists(shape) if scene.having(shape=shape) else missing(shape) for shape in (one, two))
    settled = fact.answer == ("yes" if how == "and" else "no")  # the answer tells about both
    telling = frozenset(statement for statement in known if statement.startswith("no") == (how == "and"))
    many, neither = f"{plural(one)} {how} {plural(two)}", f"no {plural(one)} {how} {plural(two)}"
    return GqaQuestion(
        text=f"Are there {'both' if how == 'and' else 'either'} {many} in the picture?",
        answer=fact.answer,
        full_answer=f"Yes, there are {many}." if fact.answer == "yes" else f"No, there are {neither}.",
        kinds=("logical", "obj", "existAnd" if how == "and" else "existOr"),
        program=combine(select(one, scene, ("exist", "?")), select(two, scene, ("exist", "?")), how),
        subject=f"{one}-{two}_{how}",
        needs=known if settled else telling,
        states=known if settled else NOTHING,
    )


def compare_two(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    one, two, what = (fact.slots[slot].removeprefix("the ") for slot in ("one", "two", "what"))
    return GqaQuestion(
        text=f"Are the {one} and the {two} the same {what}?",
        answer=fact.answer,
        full_answer=f"{fact.answer.capitalize()}, they have {'the same' if fact.answer == 'yes' else 'a different'} {what}.",
        kinds=("compare", "attr", "twoSame"),
        program=combine(select(one, scene), select(two, scene), f"same {what}"),
        subject=f"{one}-{two}_{what}",
        needs=fits(scene, what, named(scene, one), named(scene, two)),
        states=NOTHING,
    )


def choose_larger(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    one, two = (fact.slots[slot].removeprefix("the ") for slot in ("one", "two"))
    known = fits(scene, "size", named(scene, one), named(scene, two))
    return GqaQuestion(
        text=f"Which is larger, the {one} or the {two}?",
        answer=fact.answer,
        full_answer=f"The {fact.answer} is larger.",
        kinds=("compare", "attr", "comparativeChoose"),
        program=combine(select(one, scene), select(two, scene), "choose larger"),
        subject=f"{one}-{two}_larger",
        needs=known,
        states=known,
        options=(one, two),
        group="shape",
    )


def query_common(fact: Fact, scene: Scene, generator: random.Random) -> GqaQuestion:
    one, two = fact.slots["one"], fact.slots["two"]
    return GqaQuestion(
        text=f"What is common to the {one} and the {two}?",
        answer=fact.answer,
        full_answer=f"The {fact.answer} is common to them.",
        kinds=("compare", "attr", "twoCommon"),
        program=combine(select(one, scene), select(two, scene), "common"),
        subject="common",
        needs=frozenset({exists(one), exists(two)}),
        states=frozenset({exists(one), exists(two)}),  # the question says so
        options=("color", "material", "shape"),
        group="common",
    )


FORMS: dict[str, tuple[Form, ...]] = {
    "relation": (verify_relation, choose_relation),
    "neighbour": (query_related,),
    "two_shapes": (two_exist,),
    "same": (compare_two,),
    "larger": (choose_larger,),
    "common": (query_common,),
}
"""Kind of fact → the forms in which GQA asks for it."""
