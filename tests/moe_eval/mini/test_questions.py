"""What is asked about a scene is true of it, and certain."""

import random
from collections import Counter

import pytest

from moe_eval.mini.content import CELL, SceneObject
from moe_eval.mini.questions import FACTS, PLACE_PHRASES, Fact, absent_labels, ask, facts, plural, with_article
from moe_eval.mini.world import Scene, make_scenes

SCENES = make_scenes(150, seed=7, split="test")
ALL = [(scene, fact) for scene in SCENES for some in facts(scene, "test").values() for fact in some]


def meant(scene: Scene, name: str) -> list[SceneObject]:
    """The objects that "star", "the red stars", "small star" or "red objects" mean, by other code than made the name."""
    words = name.removeprefix("the ").split()

    def fits(word: str, item: SceneObject) -> bool:
        singular = {plural(thing): thing for thing in (item.shape, "object")}.get(word, word)
        return singular in ("object", item.colour, item.shape, item.size)

    return [item for item in scene.objects if all(fits(word, item) for word in words)]


def only(scene: Scene, name: str) -> SceneObject:
    (item,) = meant(scene, name)
    return item


def lies(one: SceneObject, relation: str, two: SceneObject) -> bool:
    """In pixels of the drawn picture, and by more than objects of one column or row may be apart."""
    by = {"left": two.x - one.x, "right": one.x - two.x, "above": two.y - one.y, "below": one.y - two.y}
    return by[relation] > CELL / 2


def answer(scene: Scene, fact: Fact) -> str:
    """Looked up in the scene again."""
    slots = fact.slots
    match fact.kind:
        case "exists" | "exists_shape" | "exists_colour":
            return yes_no(bool(meant(scene, slots["name"])))
        case "colour":
            return only(scene, slots["the"]).colour
        case "is_colour":
            return yes_no(only(scene, slots["the"]).colour == slots["colour"])
        case "shape":
            return only(scene, slots["the"]).shape
        case "size":
            return only(scene, slots["the"]).size
        case "count":
            return str(len(meant(scene, slots["many"])))
        case "column":
            x = only(scene, slots["the"]).x
            return "left" if x < CELL else "right" if x > scene.width - CELL else "middle"
        case "row":
            y = only(scene, slots["the"]).y
            return "top" if y < CELL else "bottom" if y > scene.height - CELL else "middle"
        case "relation":
            return yes_no(lies(only(scene, slots["the"]), slots["relation"], only(scene, slots["other"])))
        case "neighbour":
            other = only(scene, slots["other"])
            (found,) = [item for item in scene.objects if lies(item, slots["relation"], other)]
            return found.shape
        case "larger":
            return max((only(scene, slots[name]) for name in ("one", "two")), key=lambda item: item.radius).shape
        case "same":
            field = {"color": "colour", "size": "size"}[slots["what"]]
            return yes_no(getattr(only(scene, slots["one"]), field) == getattr(only(scene, slots["two"]), field))
        case "word":
            return scene.word
        case "has_sign":
            return yes_no(scene.sign is not None)
        case "place":
            return scene.place
        case "is_place":
            return yes_no(PLACE_PHRASES[scene.place] == slots["place"])
        case "time":
            return "night" if scene.place == "night" else "day"
        case "indoors":
            return "indoors" if scene.place == "indoors" else "outdoors"
    raise ValueError(fact.kind)


def yes_no(true: bool) -> str:
    return "yes" if true else "no"


def test_every_fact_is_true_of_its_scene():
    wrong = [(scene.name, fact) for scene, fact in ALL if answer(scene, fact) != fact.answer]
    assert not wrong


def test_every_answer_is_one_of_the_choices_and_no_choice_is_twice_there():
    assert all(fact.answer in fact.choices and len(set(fact.choices)) == len(fact.choices) for _, fact in ALL)


def test_every_kind_has_facts():
    assert {fact.kind for _, fact in ALL} == set(FACTS)


@pytest.mark.parametrize("kind", [kind for kind in FACTS if kind.startswith(("exists", "is_", "relation"))])
def test_yes_and_no_are_about_as_frequent(kind):
    counts = Counter(fact.answer for _, fact in ALL if fact.kind == kind)
    assert 0.4 < counts["yes"] / counts.total() < 0.6


def test_half_of_what_is_not_there_has_a_colour_and_a_shape_that_are():
    apart = [
        all(meant(scene, word) for word in fact.slots["name"].split())
        for scene, fact in ALL
        if fact.kind == "exists" and fact.answer == "no" and len(scene.objects) > 2
    ]
    assert 0.45 < sum(apart) / len(apart) < 0.75


def test_absent_labels_are_absent_and_different():
    for scene in SCENES[:20]:
        labels = absent_labels(scene, random.Random(1), 6)
        assert len(set(labels)) == 6
        assert not set(labels) & set(scene.labels)


def test_one_is_no_safe_guess_of_a_count():
    counts = Counter(fact.answer for _, fact in ALL if fact.kind == "count")
    assert max(counts.values()) < 0.5 * counts.total()


def test_names_are_written_as_in_english():
    assert [with_article(name) for name in ("orange star", "red star")] == ["an orange star", "a red star"]
    assert [plural(name) for name in ("red cross", "ring")] == ["red crosses", "rings"]


WORDINGS = {"colour": ("What color is {the}?", "What is the color of {the}?"), "exists": ("Is there {a}?",)}


def test_the_same_seed_asks_the_same_and_another_asks_something_else():
    asked = [[ask(scene, seed, WORDINGS, list(WORDINGS), 6) for scene in SCENES] for seed in ("a", "a", "b")]
    assert asked[0] == asked[1] != asked[2]


def test_no_question_is_asked_twice_and_none_beyond_the_count():
    for scene in SCENES:
        texts = [text for text, _ in ask(scene, "test", WORDINGS, ["exists", "exists", "colour"], 6)]
        assert len(set(texts)) == len(texts) <= 6


def test_a_scene_that_has_less_to_ask_gives_less():
    small = next(scene for scene in SCENES if len(scene.objects) == 1)
    assert len(ask(small, "test", WORDINGS, list(WORDINGS), 50)) == 3
