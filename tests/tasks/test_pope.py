"""POPE: prompt, parser, scores and data, against what the original gave."""

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moe_eval.tasks.pope import TASK
from moe_eval.tasks.pope.scoring import parse_yes_no

from moe_eval.errors import UnreadableImageError, UserError
from moe_eval.files.jsonl import read_jsonl
from moe_eval.metrics.yes_no import extract_yes_no
from moe_eval.mini.world import make_scenes
from moe_eval.scoring.answers import read_answers
from moe_eval.scoring.score import score_answers
from tests.tables import write_tsv
from tests.vectors import read_expected, read_vectors

DATA = Path(__file__).parents[1] / "data"
VECTORS = "pope"
LLAVA = TASK.protocol("llava")
MINI = TASK.load("mini")
TRAINING = TASK.load("mini:train:60")


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("Yes", "yes"),
        ("No", "no"),
        ("no, there is not", "no"),
        ("There is not. Yes", "no"),
        ("Yes. No", "yes"),
        ("", "yes"),
        ("NO", "yes"),
        ("No!", "yes"),
        ("None", "yes"),
        ("isn't", "yes"),
        ("I think\nNo", "yes"),
    ],
)
def test_parser_reads_answers_as_llava_does(response, answer):
    assert parse_yes_no(response) == answer


@given(st.text())
def test_parser_takes_any_string(response):
    assert parse_yes_no(response) in ("yes", "no")


@pytest.mark.parametrize(
    ("response", "lmms_eval", "vlmevalkit"),
    [
        (" YES\n", "yes", "yes"),
        ("Yes.", "yes.", "yes"),
        ("No, it is not", "no, it is not", "no"),
        ("yes or no", "yes or no", "unknown"),
        ("It is not", "it is not", "unknown"),
        ("", "", "unknown"),
    ],
)
def test_other_protocols_read_answers_in_their_own_ways(response, lmms_eval, vlmevalkit):
    sample = MINI.samples[0]
    predictions = [TASK.protocol(name).score(sample, response)["prediction"] for name in ("lmms-eval", "vlmevalkit")]
    assert predictions == [lmms_eval, vlmevalkit]


@given(st.text())
def test_any_answer_is_right_or_wrong(response):
    assert {protocol.score(MINI.samples[0], response)["correct"] for protocol in TASK.protocols.values()} <= {0, 1}


def test_answers_that_are_neither_word_leave_the_pooled_scores_at_zero():
    for name in ("lmms-eval", "vlmevalkit"):
        protocol = TASK.protocol(name)
        result = protocol.aggregate([protocol.score(sample, "maybe") for sample in MINI.samples])
        assert (result.headline, result.metrics["pooled"]["accuracy"]) == (0.0, 0.0)


def test_prompts_of_the_other_protocols():
    sample = replace(MINI.samples[0], question=" Is it? ")
    assert TASK.protocol("lmms-eval").prompt(sample) == "Is it?\nAnswer the question using a single word or phrase."
    assert TASK.protocol("vlmevalkit").prompt(sample) == " Is it? "


def test_prompts_are_the_lines_of_llavas_question_file():
    samples = {sample.id: sample for sample in TASK.load("official").samples}
    for _, line in read_jsonl(DATA / "pope" / "llava_pope_test.jsonl"):
        sample = samples[str(line["question_id"])]
        assert LLAVA.prompt(sample) == line["text"]
        assert sample.images[0].name == line["image"]
        assert sample.meta["category"] == line["category"]


def test_released_answers_score_what_the_original_scorer_gives():
    dataset = TASK.load("official")
    answers = read_answers(TASK, dataset, DATA / "llava15_13b" / "pope.jsonl.gz")
    expected = json.loads((DATA / "llava15_13b" / "expected.json").read_text())["pope"]
    scores = score_answers(TASK, "llava", dataset, answers)
    assert scores.headline.value == pytest.approx(expected["mean_f1_percent"], abs=1e-9)
    for category, metrics in scores.metrics["categories"].items():
        assert_same_metrics(metrics, expected[category])


@given(st.randoms(use_true_random=False))
def test_order_of_samples_changes_no_score(shuffler: random.Random):
    for protocol in TASK.protocols.values():
        scores = [protocol.score(sample, shuffler.choice(["Yes", "No"])) for sample in MINI.first(54).samples]
        shuffled = shuffler.sample(scores, len(scores))
        assert protocol.aggregate(shuffled) == protocol.aggregate(scores)


def test_a_category_without_samples_is_left_out_of_the_mean():
    scores = [{"category": "random", "gold": "yes", "prediction": "yes", "correct": 1}]
    assert LLAVA.aggregate(scores).headline == 100.0


def test_answer_ids_may_be_global_or_count_within_the_category():
    assert TASK.answer_id({"question_id": 10000007, "category": "random"}) == "10000007"
    assert TASK.answer_id({"question_id": 7, "category": "random"}) == "10000007"
    assert TASK.answer_id({"question_id": 20000007}) == "20000007"
    assert TASK.answer_id({"question_id": 7}) == "7"


def test_official_questions_have_the_official_sizes():
    old, new = TASK.load("official"), TASK.load("official:new")
    assert (len(old.samples), old.official, len(new.samples), new.official) == (8910, True, 9000, False)
    with pytest.raises(UnreadableImageError, match="has no pictures"):
        old.samples[0].images[0].open()


def test_mini_is_balanced_and_true_to_its_pictures():
    samples = MINI.samples
    assert len({sample.group for sample in samples}) == 33
    assert len({sample.id for sample in samples}) == len(samples) == 33 * 3 * 6
    for sample in [*samples, *TRAINING.samples]:
        label = asked_for(sample)
        assert (label in sample.images[0].labels) == (sample.gold == "yes")
        assert ("Is there an " in sample.question) == (label[0] in "aeiou")


def asked_for(sample) -> str:
    return " ".join(sample.question.split()[3:5])


def test_mini_negatives_are_harder_where_the_category_says_so():
    """What popular absentees ask for is frequent; what adversarial ones ask for is often beside what is there."""
    scenes = make_scenes(600, 5, "test")
    frequency = Counter(label for scene in scenes for label in scene.labels)
    together = Counter((one, other) for scene in scenes for one in scene.labels for other in scene.labels)
    popularity, company = Counter(), Counter()
    for sample in MINI.samples:
        if sample.gold == "no":
            popularity[sample.meta["category"]] += frequency[asked_for(sample)]
            company[sample.meta["category"]] += sum(together[asked_for(sample), o] for o in sample.images[0].labels)
    assert popularity["popular"] > 2 * popularity["random"]
    assert company["adversarial"] > 2 * company["random"]


def test_mini_training_questions_repeat_nothing_and_half_of_the_absent_objects_are_mixtures():
    samples = TRAINING.samples
    assert len({(sample.group, sample.question) for sample in samples}) == len(samples)
    assert {sample.images[0].split for sample in samples} == {"train"}
    absent = [sample for sample in samples if sample.gold == "no"]
    assert len(absent) == len(samples) / 2
    mixtures = [
        sample
        for sample in absent
        if sample.images[0].having(colour=asked_for(sample).split()[0])
        and sample.images[0].having(shape=asked_for(sample).split()[1])
    ]
    assert 0.35 < len(mixtures) / len(absent) < 0.65


def test_mini_ideal_answers_are_all_right_and_a_constant_answer_is_not():
    for protocol in TASK.protocols.values():
        scores = [protocol.score(sample, sample.meta["response"]) for sample in MINI.samples]
        assert protocol.aggregate(scores).headline == 100
        scores = [protocol.score(sample, "Yes") for sample in MINI.samples]
        assert protocol.aggregate(scores).headline == pytest.approx(200 / 3)


# --- LLaVA's folder layout --------------------------------------------------------------------------------------


def write_llava_folder(folder: Path, version: str, questions: str | None = None) -> Path:
    """The label files of a version, and the question file of a version (or none)."""
    (folder / "coco").mkdir(parents=True)
    of_category: dict[str, list] = {"adversarial": [], "random": [], "popular": []}
    for sample in TASK.load(f"official:{version}").samples:
        of_category[sample.meta["category"]].append(sample)
    for category, samples in of_category.items():
        lines = [
            {"question_id": number, "image": s.images[0].name, "text": s.question, "label": s.gold}
            for number, s in enumerate(samples, start=1)
        ]
        write_jsonl(folder / "coco" / f"coco_pope_{category}.json", lines)
    if questions:
        lines = [
            {"question_id": int(s.id), "image": s.images[0].name, "text": LLAVA.prompt(s), "category": ""}
            for s in TASK.load(f"official:{questions}").samples
        ]
        write_jsonl(folder / "llava_pope_test.jsonl", lines)
    return folder


def write_jsonl(path: Path, lines: list[dict]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


@pytest.mark.parametrize(("version", "commit"), [("old", "e3e39262"), ("new", "3df3ba1")])
def test_llava_folder_is_recognised_by_its_content(tmp_path, version, commit):
    dataset = TASK.load(f"llava:{write_llava_folder(tmp_path, version, version)}")
    assert dataset.fingerprint == TASK.load(f"official:{version}").fingerprint
    assert commit in dataset.version
    assert dataset.official == (version == "old")
    assert dataset.samples[0].images[0].path.parent == tmp_path / "val2014"


def test_changed_labels_are_an_unknown_version(tmp_path):
    path = write_llava_folder(tmp_path, "old") / "coco" / "coco_pope_random.json"
    path.write_text(path.read_text().replace('"yes"', '"no"', 1))
    dataset = TASK.load(f"llava:{tmp_path}")
    assert ("unknown version" in dataset.version, dataset.official) == (True, False)


def test_labels_of_another_version_than_the_questions_are_an_error(tmp_path):
    with pytest.raises(UserError, match=r"8910 questions.*9000.*two versions"):
        TASK.load(f"llava:{write_llava_folder(tmp_path, 'new', questions='old')}")


def test_missing_label_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"coco_pope_adversarial\.json is missing"):
        TASK.load(f"llava:{tmp_path}")


def test_label_line_without_gold_is_named(tmp_path):
    path = write_llava_folder(tmp_path, "old") / "coco" / "coco_pope_popular.json"
    path.write_text('{"question_id": 1, "image": "a.jpg", "text": "Is there a dog in the image?"}\n')
    with pytest.raises(UserError, match=r"coco_pope_popular\.json line 1 lacks label"):
        TASK.load(f"llava:{tmp_path}")


def test_question_twice_in_a_label_file_is_an_error(tmp_path):
    path = write_llava_folder(tmp_path, "old") / "coco" / "coco_pope_random.json"
    first = path.read_text().splitlines(keepends=True)[0]
    path.write_text(path.read_text() + first)
    with pytest.raises(UserError, match="holds 1 ids more than once, such as 10000001"):
        TASK.load(f"llava:{tmp_path}")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("minni", "did you mean mini"),
        ("official:newer", "did you mean new"),
        ("llava", "needs a folder"),
        ("mini:3", "mini takes nothing, or train:COUNT"),
    ],
)
def test_wrong_source_gets_one_clear_line(source, message):
    with pytest.raises(UserError, match=message):
        TASK.load(source)


# --- VLMEvalKit's file ------------------------------------------------------------------------------------------


def test_tsv_question_counts_in_each_of_its_categories(tmp_path):
    categories = ["adversarial,popular,random", "random"]
    columns = {"question": ["Is there a dog in the image?"] * 2, "answer": ["Yes", "No"], "category": categories}
    dataset = TASK.load(f"tsv:{write_tsv(tmp_path / 'POPE.tsv', columns)}")
    for protocol in TASK.protocols.values():
        scores = [protocol.score(sample, "Yes") for sample in dataset.samples]
        tables = protocol.aggregate(scores).metrics["categories"]
        assert {name: table["accuracy"] for name, table in tables.items()} == {
            "adversarial": 100.0,
            "random": 50.0,
            "popular": 100.0,
        }
    result = TASK.protocol("vlmevalkit").aggregate(scores)
    assert result.metrics["pooled"]["samples"] == 4
    assert dataset.samples[1].images[0].open().size == (16, 12)


@pytest.mark.parametrize(
    ("answer", "category", "message"),
    [("Maybe", "random", "line 2: answer 'Maybe' is neither"), ("No", "rare", "line 2: category 'rare' is not one")],
)
def test_wrong_tsv_rows_are_named(tmp_path, answer, category, message):
    path = write_tsv(tmp_path / "POPE.tsv", {"question": ["?"], "answer": [answer], "category": [category]})
    with pytest.raises(UserError, match=message):
        TASK.load(f"tsv:{path}")


# --- vectors ----------------------------------------------------------------------------------------------------


def test_vectors_are_scored_as_by_llava(vectors_folder: Path):
    """Every parsed answer and every aggregate of the original scorer, within 1e-9."""
    expected = read_expected(vectors_folder)
    scores: dict[str, list] = {}
    for vector, sample in vector_questions(vectors_folder):
        score = LLAVA.score(sample, vector["prediction"])
        assert score["prediction"] == vector["expected"]["llava"], vector["id"]
        scores.setdefault(f"set{vector['id'].split(':')[0]}", []).append(score)
    assert scores.keys() == expected.keys()
    for name, of_set in scores.items():
        result = LLAVA.aggregate(of_set)
        assert result.headline / 100 == pytest.approx(expected[name]["mean_f1"], abs=1e-9)
        for category, metrics in result.metrics["categories"].items():
            assert_same_metrics(metrics, expected[name][category])


def test_vectors_are_scored_as_by_lmms_eval_and_vlmevalkit(vectors_folder: Path):
    """Every comparison, extracted word and aggregate of both, within 1e-9."""
    expected = read_expected(vectors_folder)
    scores: dict[str, dict[str, list]] = {}
    for vector, sample in vector_questions(vectors_folder):
        original = vector["expected"]
        lmms_eval, vlmevalkit = (
            TASK.protocol(n).score(sample, vector["prediction"]) for n in ("lmms-eval", "vlmevalkit")
        )
        assert lmms_eval["correct"] == original["lmms_eval_score"], vector["id"]
        assert extract_yes_no(vector["prediction"]) == original["vlmevalkit_extracted"], vector["id"]
        of_set = scores.setdefault(f"set{vector['id'].split(':')[0]}", {"lmms-eval": [], "vlmevalkit": []})
        of_set["lmms-eval"].append(lmms_eval)
        of_set["vlmevalkit"].append(vlmevalkit)
    for name, of_set in scores.items():
        lmms_eval, vlmevalkit = (TASK.protocol(n).aggregate(of_set[n]) for n in ("lmms-eval", "vlmevalkit"))
        pooled = expected[name]["lmms_eval_pooled"]
        assert lmms_eval.headline / 100 == pytest.approx(pooled["f1_score"], abs=1e-9)
        assert_same_numbers(lmms_eval.metrics["pooled"], pooled, LMMS_EVAL_NAMES, scale=100)
        assert_same_numbers(
            vlmevalkit.metrics["pooled"], expected[name]["vlmevalkit"]["Overall"], VLMEVALKIT_NAMES, scale=1
        )
        for category in lmms_eval.metrics["categories"]:
            ours = lmms_eval.metrics["categories"][category]
            assert_same_numbers(ours, expected[name][category]["lmms_eval"], LMMS_EVAL_NAMES, scale=100)
            ours = vlmevalkit.metrics["categories"][category]
            assert_same_numbers(ours, expected[name]["vlmevalkit"][category], VLMEVALKIT_NAMES, scale=1)


LMMS_EVAL_NAMES = {name: name for name in ("accuracy", "precision", "recall", "yes_ratio")} | {"f1": "f1_score"}
VLMEVALKIT_NAMES = {"f1": "Overall", "accuracy": "acc", "precision": "precision", "recall": "recall"}


def vector_questions(folder: Path):
    """(vector, the question that it names)."""
    by_reference = {
        (commit, sample.meta["category"], int(sample.id) % 10_000_000): sample
        for version, commit in (("old", "v_old_e3e39262"), ("new", "v_new_3df3ba1"))
        for sample in TASK.load(f"official:{version}").samples
    }
    for vector in read_vectors(folder):
        reference = vector["ref"]
        yield vector, by_reference[reference["data"], reference["category"], reference["question_id"]]


def assert_same_numbers(ours: dict, original: dict, names: dict[str, str], scale: float) -> None:
    for name, theirs in names.items():
        assert ours[name] == pytest.approx(original[theirs] * scale, abs=1e-7), name


def test_vectors_edge_cases(vectors_folder: Path):
    """Where the original divides by zero, we give 0; where it zips lists of unequal length, so does this test."""
    for case in read_vectors(vectors_folder, "edge_cases"):
        parsed = [parse_yes_no(prediction) for prediction in case["predictions"]]
        assert parsed == case["expected"]["parsed"], case["name"]
        scores = [
            {"category": "random", "gold": gold, "prediction": prediction, "correct": int(gold == prediction)}
            for gold, prediction in zip(case["labels"], parsed, strict=False)
        ]
        metrics = LLAVA.aggregate(scores).metrics["categories"]["random"]
        if "raises" in case["expected"]["llava"]:
            assert metrics["f1"] == 0.0, case["name"]
        elif len(case["labels"]) >= len(parsed):
            assert_same_metrics(metrics, case["expected"]["llava"])


def assert_same_metrics(ours: dict, original: dict) -> None:
    for name in ("TP", "FP", "TN", "FN"):
        assert ours[name.lower()] == original[name]
    for name, theirs in (
        ("accuracy", "accuracy"),
        ("precision", "precision"),
        ("recall", "recall"),
        ("f1", "f1_score"),
        ("yes_ratio", "yes_ratio"),
    ):
        assert ours[name] / 100 == pytest.approx(original[theirs], abs=1e-9)
