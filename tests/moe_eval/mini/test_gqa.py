"""GQA's records about drawn scenes."""

from collections import Counter

import pytest
from moe_eval.tasks.gqa import TASK

from moe_eval.mini.content import CELL, SceneObject
from moe_eval.mini.gqa import PICTURES, mini_gqa
from moe_eval.mini.world import Scene

ROWS = mini_gqa("")
RECORDS = {question_id: record for _, question_id, record, _ in ROWS}
LLAVA = TASK.protocol("llava")


def test_records_hold_what_the_question_files_hold():
    fields = {"imageId", "question", "answer", "fullAnswer", "isBalanced", "groups", "entailed", "equivalent", "types"}
    assert {frozenset(record) for record in RECORDS.values()} == {
        frozenset(fields | {"annotations", "semantic", "semanticStr"})
    }


def test_each_picture_has_at_least_ten_questions():
    counts = Counter(record["imageId"] for record in RECORDS.values())
    assert len(counts) == PICTURES
    assert min(counts.values()) >= 10


def test_all_structural_and_semantic_types_are_there():
    types = [record["types"] for record in RECORDS.values()]
    assert {kind["structural"] for kind in types} == {"verify", "query", "choose", "logical", "compare"}
    assert {kind["semantic"] for kind in types} == {"obj", "attr", "cat", "rel", "global"}


def test_steps_of_a_program_work_on_earlier_steps_and_all_of_them_are_used():
    for record in RECORDS.values():
        used = [number for step in record["semantic"] for number in step["dependencies"]]
        assert all(number < place for place, step in enumerate(record["semantic"]) for number in step["dependencies"])
        assert set(used) == set(range(len(record["semantic"]) - 1)), record["semanticStr"]


def test_programs_give_the_answers():
    """Every program is run on its scene."""
    wrong = [
        (record["question"], record["semanticStr"], record["answer"], run(record["semantic"], scene))
        for scene, _, record, _ in ROWS
        if run(record["semantic"], scene) != record["answer"]
    ]
    assert not wrong


def test_the_answer_is_valid_and_plausible():
    assert all(record["answer"] in choices[kind] for _, _, record, choices in ROWS for kind in ("valid", "plausible"))
    assert all(set(choices["plausible"]) <= set(choices["valid"]) for *_, choices in ROWS)


def test_what_an_answer_implies_does_not_depend_on_the_rest_of_the_picture():
    rows = mini_gqa("train:200")
    records = {question_id: record for _, question_id, record, _ in rows}
    implied: dict[tuple[str, str, str], set[str]] = {}
    for record in records.values():
        for other in (records[other_id] for other_id in record["entailed"]):
            implied.setdefault((record["question"], record["answer"], other["question"]), set()).add(other["answer"])
    assert [key for key, answers in implied.items() if len(answers) > 1] == []


def test_a_question_implies_itself_and_others_about_its_picture_only():
    for question_id, record in RECORDS.items():
        assert question_id in record["entailed"]
        assert {RECORDS[other]["imageId"] for other in record["entailed"]} == {record["imageId"]}
        assert set(record["equivalent"]) <= set(record["entailed"])


def test_a_model_that_contradicts_itself_is_right_but_inconsistent():
    samples = TASK.load("mini").samples
    blind_to_verify = [
        LLAVA.score(s, "no" if s.meta["question"]["structural"] == "verify" else s.meta["response"]) for s in samples
    ]
    metrics = LLAVA.aggregate(blind_to_verify).metrics
    assert metrics["open"] == 100.0
    assert metrics["consistency"] < 80.0


def test_a_wrong_color_is_valid_and_a_shape_for_a_color_is_not():
    sample = next(s for s in TASK.load("mini").samples if s.question.startswith("What color"))
    wrong = next(color for color in ("red", "blue") if color != sample.gold)
    assert LLAVA.score(sample, wrong)["validity"] == 1
    assert LLAVA.score(sample, "circle")["validity"] == 0


@pytest.mark.parametrize("group", ["color", "shape", "size", "position", "place", "location", "relation", "common"])
def test_open_questions_are_in_global_groups(group):
    assert any(record["groups"]["global"] == group for record in RECORDS.values())


# --- an interpreter of programs ---------------------------------------------------------------------------------

PLACES = {"indoors": "room", "day": "field", "night": "street", "beach": "beach"}
SIDES = {"to the left of": ("x", -1), "to the right of": ("x", 1), "above": ("y", -1), "below": ("y", 1)}


def run(program: list[dict], scene: Scene) -> object:
    values: list = []
    for step in program:
        values.append(operate(step["operation"], step["argument"], [values[n] for n in step["dependencies"]], scene))
    return values[-1]


def operate(operation: str, argument: str, inputs: list, scene: Scene) -> object:
    verb, _, field = operation.partition(" ")
    match verb:
        case "select":
            noun = argument.split()[0]
            return [item for item in scene.objects if noun in ("object", item.shape)] if noun != "scene" else scene
        case "filter":
            return [item for item in inputs[0] if attribute(item, field, scene) == argument]
        case "exist":
            return said(bool(inputs[0]))
        case "relate":
            return [item for item in scene.objects if holds(item, argument.split(",")[1], only(inputs[0]))]
        case "query":
            return attribute(only(inputs[0]), argument, scene) if inputs[0] is not scene else PLACES[scene.place]
        case "verify" | "choose" if field == "rel":
            name, relations, _ = argument.split(",")
            item = only([item for item in scene.objects if set(name.split()) <= {item.colour, item.shape}])
            true = [relation for relation in relations.split("|") if holds(item, relation, only(inputs[0]))]
            return said(bool(true)) if verb == "verify" else true[0].removeprefix("to the ").removesuffix(" of")
        case "verify" if inputs[0] is scene:
            return said(argument in around(scene))
        case "verify":
            return said(attribute(only(inputs[0]), field, scene) == argument)
        case "choose" if inputs[0] is scene:
            return next(option for option in argument.split("|") if option in around(scene))
        case "choose" if field == "larger":
            return max(map(only, inputs), key=lambda item: item.radius).shape
        case "choose":
            true = attribute(only(inputs[0]), field, scene)
            return true if true in argument.split("|") else None
        case "and" | "or":
            return said((all if verb == "and" else any)(value == "yes" for value in inputs))
        case "same":
            return said(len({attribute(only(items), field, scene) for items in inputs}) == 1)
        case "common":
            one, two = map(only, inputs)
            return "color" if one.colour == two.colour else "shape" if one.shape == two.shape else None
    raise ValueError(operation)


def attribute(item: SceneObject, field: str, scene: Scene) -> str:
    if field == "hposition":
        return "left" if item.x < scene.width / 2 else "right"
    return {"color": item.colour, "size": item.size, "name": item.shape}[field]


def around(scene: Scene) -> set[str]:
    outdoors = set() if scene.place == "indoors" else {"outdoors", "night" if scene.place == "night" else "day"}
    return {scene.place} | outdoors


def holds(item: SceneObject, relation: str, other: SceneObject) -> bool:
    axis, sign = SIDES[relation]
    return sign * (getattr(item, axis) - getattr(other, axis)) > CELL / 2


def only(items: list[SceneObject]) -> SceneObject:
    (item,) = items
    return item


def said(true: bool) -> str:
    return "yes" if true else "no"
