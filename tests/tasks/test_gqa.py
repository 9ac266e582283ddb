"""GQA: scores, prompts and data, against what the original gave."""

import json
import random
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moe_eval.tasks.gqa import TASK
from moe_eval.tasks.gqa.data import allowed_answers, describe_question

from moe_eval.errors import UserError
from moe_eval.files.jsonl import read_jsonl
from moe_eval.images import NamedImage
from moe_eval.metrics.exact_match import lmms_eval_form
from moe_eval.task import Sample
from tests.tables import write_tsv
from tests.vectors import read_expected, read_vectors

DATA = Path(__file__).parents[1] / "data"
VECTORS = "gqa"
LLAVA = TASK.protocol("llava")

RECORD = {
    "imageId": "n161313",
    "question": "Is it overcast?",
    "answer": "no",
    "fullAnswer": "No, it is clear.",
    "isBalanced": True,
    "groups": {"global": None, "local": "13-weather"},
    "entailed": [],
    "equivalent": ["201307251"],
    "types": {"structural": "verify", "semantic": "global", "detailed": "weatherVerify"},
    "semantic": [
        {"operation": "select", "argument": "scene", "dependencies": []},
        {"operation": "verify weather", "argument": "overcast", "dependencies": [0]},
    ],
}


def sample(gold: str, sample_id: str = "1", **changes: object) -> Sample:
    record = {**RECORD, "answer": gold, **changes}
    question = describe_question(sample_id, record)
    return Sample(sample_id, str(record["question"]), (NamedImage("a.jpg"),), gold, "a.jpg", {"question": question})


def correct(protocol: str, response: str, gold: str) -> int:
    return TASK.protocol(protocol).score(sample(gold), response)["correct"]


@pytest.mark.parametrize(
    ("response", "gold", "llava", "lmms_eval", "vlmevalkit"),
    [
        ("Yes", "yes", 1, 1, 1),
        ("yes.", "yes", 1, 1, 0),
        (" yes", "yes", 0, 1, 1),
        ("Yes. ", "yes", 0, 1, 0),
        ("tshirt", "t-shirt", 0, 1, 0),
        ("yes, it is", "yes", 0, 0, 0),
        ("İstanbul", "i̇stanbul", 1, 0, 1),
    ],
)
def test_protocols_compare_in_their_own_ways(response, gold, llava, lmms_eval, vlmevalkit):
    assert [correct(name, response, gold) for name in ("llava", "lmms-eval", "vlmevalkit")] == [
        llava,
        lmms_eval,
        vlmevalkit,
    ]


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_lmms_eval_form_is_what_numpy_makes_of_it(text):
    lowered = np.char.lower(np.asarray([text]))
    table = str.maketrans("", "", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
    assert lmms_eval_form(text) == str(np.char.translate(lowered, table=table)[0])


@given(st.text(), st.text())
def test_any_answer_is_right_or_wrong(response, gold):
    assert {correct(name, response, gold) for name in TASK.protocols} <= {0, 1}


@given(st.randoms(use_true_random=False))
def test_order_of_samples_changes_no_score(shuffler: random.Random):
    scores = []
    for number in range(40):
        groups = {"global": shuffler.choice(["dog", "cat", None]), "local": None}
        entailed = [str(shuffler.randrange(40)) for _ in range(3)]
        one = sample(shuffler.choice(["yes", "no", "red"]), str(number), groups=groups, entailed=entailed)
        scores.append(LLAVA.score(one, shuffler.choice(["Yes.", "no", "blue"])))
    for protocol in TASK.protocols.values():
        assert protocol.aggregate(shuffler.sample(scores, 40)) == protocol.aggregate(scores)


def test_consistency_looks_at_implied_questions_of_right_ones_only():
    right = LLAVA.score(sample("yes", "1", entailed=["1", "2", "3"]), "yes")
    implied = [LLAVA.score(sample("yes", "2"), "yes"), LLAVA.score(sample("yes", "3"), "no")]
    wrong = LLAVA.score(sample("yes", "4", entailed=["2"]), "no")
    assert LLAVA.aggregate([right, *implied, wrong]).metrics["consistency"] == 50.0
    assert "consistency" not in LLAVA.aggregate([right, wrong]).metrics


def test_unbalanced_questions_do_not_count():
    scores = [LLAVA.score(sample("yes", "1"), "yes"), LLAVA.score(sample("yes", "2", isBalanced=False), "no")]
    assert LLAVA.aggregate(scores).headline == 100.0


def test_question_about_what_is_common_has_its_own_choices():
    choices = {"valid": ["yes"], "plausible": ["yes"]}
    assert allowed_answers(RECORD, choices)["validity"] == {"yes"}
    common = {"types": {**RECORD["types"], "detailed": "twoCommon"}}
    assert allowed_answers(common, choices)["plausibility"] == {"color", "material", "shape"}


# --- data -------------------------------------------------------------------------------------------------------


def write_llava_folder(folder: Path, records: dict) -> Path:
    source = DATA / "llava" / "gqa" / "llava_gqa_testdev_balanced.jsonl"
    (folder / source.name).write_bytes(source.read_bytes())
    path = folder / "data" / "questions1.2" / "testdev_balanced_questions.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(records))
    return folder


def asked() -> list[dict]:
    return [line for _, line in read_jsonl(DATA / "llava" / "gqa" / "llava_gqa_testdev_balanced.jsonl")]


def test_prompts_are_the_lines_of_llavas_question_file(tmp_path):
    write_llava_folder(tmp_path, {line["question_id"]: RECORD for line in asked()})
    dataset = TASK.load(f"llava:{tmp_path}")
    assert [LLAVA.prompt(s) for s in dataset.samples] == [line["text"] for line in asked()]
    assert [s.id for s in dataset.samples] == [line["question_id"] for line in asked()]
    assert dataset.samples[0].images[0].path == tmp_path / "data" / "images" / "n161313.jpg"
    assert (dataset.official, dataset.samples[0].gold) == (False, "no")


def test_choices_are_used_where_they_lie_beside_the_questions(tmp_path):
    write_llava_folder(tmp_path, {line["question_id"]: RECORD for line in asked()})
    choices = {line["question_id"]: {"valid": ["yes", "no"], "plausible": ["yes"]} for line in asked()}
    (tmp_path / "data" / "testdev_balanced_choices.json").write_text(json.dumps(choices))
    dataset = TASK.load(f"llava:{tmp_path}")
    metrics = LLAVA.aggregate([LLAVA.score(s, "No.") for s in dataset.samples]).metrics
    assert (metrics["validity"], metrics["plausibility"]) == (100.0, 0.0)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda records: records.pop("201640614"), r"line 2: question_id 201640614 is not in .*questions\.json"),
        (lambda records: records["2062325"].pop("types"), "question 2062325 is not a GQA question: KeyError 'types'"),
        (lambda records: records["2062325"].pop("answer"), "question 2062325 lacks answer"),
        (lambda records: records["2062325"].update(semantic=3), "question 2062325 is not a GQA question"),
    ],
)
def test_wrong_question_records_are_named(tmp_path, spoil, message):
    records = {line["question_id"]: dict(RECORD) for line in asked()}
    spoil(records)
    with pytest.raises(UserError, match=message):
        TASK.load(f"llava:{write_llava_folder(tmp_path, records)}")


def test_tsv_can_be_scored_without_kinds_of_questions(tmp_path):
    path = write_tsv(tmp_path / "GQA.tsv", {"question": ["A?", "B?"], "answer": ["yes", "red"]})
    dataset = TASK.load(f"tsv:{path}")
    for protocol in TASK.protocols.values():
        scores = [protocol.score(s, "Yes") for s in dataset.samples]
        assert protocol.aggregate(scores).headline == 50.0
    for name in ("llava", "lmms-eval", "vlmevalkit"):
        prompt = TASK.protocol(name).prompt(dataset.samples[0])
        assert prompt == "A?\nAnswer the question using a single word or phrase."


# --- vectors ----------------------------------------------------------------------------------------------------


def test_vectors_are_scored_as_by_the_originals(vectors_folder: Path):
    """Every comparison and aggregate of the official scorer (with and without choices), lmms-eval and VLMEvalKit."""
    expected = read_expected(vectors_folder)
    with_choices: list = []
    scores: dict[str, list] = {name: [] for name in TASK.protocols}
    for vector in read_vectors(vectors_folder):
        original, where, record = vector["expected"], vector["id"], vector["input"]
        asked = Sample(
            where, record["question"], (), vector["gold"], where, {"question": describe_question(where, record)}
        )
        ours = {name: protocol.score(asked, vector["prediction"]) for name, protocol in TASK.protocols.items()}
        assert ours["llava"]["prediction"] == original["llava_converted"], where
        for name, key in (("llava", "llava_correct"), ("lmms-eval", "lmms_eval"), ("vlmevalkit", "vlmevalkit")):
            assert ours[name]["correct"] == original[key], where
            scores[name].append(ours[name])
        chosen = {"question": asked.meta["question"], "choices": allowed_answers(record, record["choices"])}
        with_choices.append(LLAVA.score(Sample(where, "", (), vector["gold"], where, chosen), vector["prediction"]))
    plain, chosen = LLAVA.aggregate(scores["llava"]), LLAVA.aggregate(with_choices)
    assert plain.headline == pytest.approx(expected["llava_accuracy_balanced_percent"], abs=1e-9)
    assert sum(s["balanced"] for s in scores["llava"]) == expected["n_balanced"]
    for result, key in ((plain, "official_testdev_mode"), (chosen, "official_with_choices_and_consistency")):
        ours = {name.lower(): value for name, value in result.metrics.items()} | {"accuracy": result.headline}
        for name, value in expected[key].items():
            assert ours[name.lower()] == pytest.approx(value, abs=0.005 + 1e-9), name
    tables = ("structural_types", "semantic_types", "steps", "words")
    lines = [(kind, row["accuracy"], row["samples"]) for name in tables for kind, row in plain.metrics[name].items()]
    originals = [re.fullmatch(r"(.*): (.*)% \((\d+) questions\)", line) for line in expected["official_testdev_detail"]]
    for (kind, accuracy, samples), line in zip(lines, originals, strict=True):
        assert (kind, samples) == (line[1], int(line[3]))
        assert accuracy == pytest.approx(float(line[2]), abs=0.005 + 1e-9)
    for name, key in (("lmms-eval", "lmms_eval_all"), ("vlmevalkit", "vlmevalkit_all")):
        assert TASK.protocol(name).aggregate(scores[name]).headline / 100 == pytest.approx(expected[key], abs=1e-9)
