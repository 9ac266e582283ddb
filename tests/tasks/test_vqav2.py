"""VQAv2: scores, prompts, data and the upload, against what the original gave."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moe_eval.tasks.vqav2 import TASK

from moe_eval.errors import UserError
from moe_eval.images import NamedImage
from moe_eval.metrics.answer_text import normalise_vqa
from moe_eval.scoring.score import score_answers
from moe_eval.sources.annotators import ten_answers
from moe_eval.task import Dataset, Sample
from tests.vectors import read_expected, read_vectors

VECTORS = "vqav2"


def sample(answers: list[str] | None = None, sample_id: str = "1", **meta: str) -> Sample:
    gold = None if answers is None else tuple(answers)
    return Sample(sample_id, "What is it?", (NamedImage("a.jpg"),), gold, group="a.jpg", meta=meta)


def score(protocol: str, response: str, answers: list[str]) -> float:
    return TASK.protocol(protocol).score(sample(answers), response)["score"]


@pytest.mark.parametrize(("matches", "expected"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (10, 1)])
def test_score_grows_with_the_annotators_who_agree(matches, expected):
    answers = ["cat"] * matches + [f"other {n}" for n in range(10 - matches)]
    assert score("llava", "cat", answers) == pytest.approx(expected, abs=1e-12)


def test_unanimous_answers_are_compared_as_they_are():
    unanimous = ["T-shirt"] * 10
    assert [score(name, "T-shirt", unanimous) for name in ("official", "llava", "lmms-eval")] == [1, 0, 1]


def test_possessives_are_lost_in_what_llava_uploads():
    answers = ["Macy's"] * 9 + ["shop"]
    assert [score(name, "Macy's", answers) for name in ("official", "llava", "lmms-eval")] == [1, 0, 1]


def test_prompt_is_llavas():
    for name in ("llava", "lmms-eval", "official"):
        assert TASK.protocol(name).prompt(sample()) == "What is it?\nAnswer the question using a single word or phrase."


def test_lmms_eval_allows_shorter_answers():
    assert (TASK.max_new_tokens, TASK.protocol("lmms-eval").max_new_tokens) == (128, 16)


def test_hidden_answers_leave_the_headline_open():
    dataset = Dataset("made", "made", [sample()], official=True)
    scores = score_answers(TASK, "llava", dataset, {"1": "Macy's"})
    assert scores.headline.value is None
    assert scores.samples == [{"id": "1", "group": "a.jpg", "prediction": "macy 's"}]


def test_half_a_surrogate_pair_can_be_stored():
    dataset = Dataset("made", "made", [sample(["a"] * 10)], official=True)
    scores = score_answers(TASK, "llava", dataset, {"1": "b\ud800"})
    assert json.loads(scores.model_dump_json())["samples"][0]["prediction"] == "b\\ud800"


@given(st.text(), st.lists(st.text(max_size=5), min_size=10, max_size=10).filter(any))
def test_any_answer_scores_between_0_and_1(response, answers):
    for protocol in TASK.protocols.values():
        assert 0 <= protocol.score(sample(answers), response)["score"] <= 1


@pytest.mark.parametrize("response", ["", "a" * 100_000, ". " * 50_000, "\0\x1b\ud800", "1,0" * 30_000])
def test_odd_answers_score_nothing(response):
    for protocol in TASK.protocols.values():
        assert protocol.score(sample(["yes"] * 9 + ["no"]), response)["score"] == 0


@given(st.randoms(use_true_random=False))
def test_order_of_samples_changes_no_score(shuffler: random.Random):
    protocol = TASK.protocol("llava")
    answers = ["yes"] * 3 + [str(n) for n in range(7)]
    scores = [
        protocol.score(sample(answers, question_type=shuffler.choice("ab"), answer_type="other"), response)
        for response in shuffler.choices(["yes", "1", "no"], k=50)
    ]
    shuffled = shuffler.sample(scores, len(scores))
    assert protocol.aggregate(shuffled) == protocol.aggregate(scores)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (["yes"] * 9, "row 3: answers holds 9 answers; ten annotators"),
        ([*["yes"] * 9, 1], "row 3: answers holds 1, which is no string"),
        ([{"answer": "yes"}] * 9 + [{}], "holds None, which is no string"),
        ("yes", "row 3: answers is a str"),
    ],
)
def test_gold_without_ten_answers_is_named(answers, message):
    with pytest.raises(UserError, match=message):
        ten_answers(answers, "file row 3: answers")


def test_absent_or_empty_gold_is_hidden():
    assert ten_answers(None, "") is ten_answers([], "") is ten_answers([""] * 10, "") is None


# --- LLaVA's folder layout --------------------------------------------------------------------------------------

ASKED = {
    "image": "COCO_test2015_000000262144.jpg",
    "text": "Is it on?\nAnswer the question using a single word or phrase.",
}


def write_questions(folder: Path, *changes: dict, name: str = "llava_vqav2_mscoco_test-dev2015.jsonl") -> Path:
    lines = [{"question_id": number, **ASKED, "category": "default", **change} for number, change in enumerate(changes)]
    path = folder / name
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_llava_folder_asks_what_the_file_says(tmp_path):
    (tmp_path / "test2015").mkdir()
    write_questions(tmp_path, {}, {})
    dataset = TASK.load(f"llava:{tmp_path}")
    assert [s.id for s in dataset.samples] == ["0", "1"]
    assert TASK.protocol("llava").prompt(dataset.samples[0]) == ASKED["text"]
    assert dataset.samples[0].images[0] is dataset.samples[1].images[0]
    assert dataset.samples[0].images[0].path == tmp_path / "test2015" / ASKED["image"]
    assert (dataset.official, dataset.has_images, dataset.samples[0].gold) == (False, True, None)
    assert "hidden" in dataset.version


def test_llava_folder_without_pictures_only_scores(tmp_path):
    write_questions(tmp_path, {})
    assert not TASK.load(f"llava:{tmp_path}").has_images


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": "Is it on?"}, r"test-dev2015\.jsonl line 2: text does not end with 'Answer the question"),
        ({"text": None}, "line 2: text is None, not a string"),
        ({"image": 3}, "line 2: image is 3, not a string"),
        ({"question_id": 0}, "holds 1 ids more than once, such as 0"),
    ],
)
def test_wrong_question_lines_are_named(tmp_path, change, message):
    write_questions(tmp_path, {}, change)
    with pytest.raises(UserError, match=message):
        TASK.load(f"llava:{tmp_path}")


def test_missing_question_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"test-dev2015\.jsonl is missing"):
        TASK.load(f"llava:{tmp_path}")
    with pytest.raises(UserError, match="llava needs a folder"):
        TASK.load("llava")


# --- submission -------------------------------------------------------------------------------------------------


def test_upload_covers_all_questions_in_their_order(tmp_path):
    path = write_questions(tmp_path, {}, {}, {}, name="llava_vqav2_mscoco_test2015.jsonl")
    dataset = TASK.load(f"llava:{path}")
    assert json.loads(TASK.submission.write(dataset, {"2": "The Dog", "0": "man's hat"})) == [
        {"question_id": 0, "answer": "man 's hat"},
        {"question_id": 1, "answer": ""},
        {"question_id": 2, "answer": "dog"},
    ]


def test_answers_to_other_questions_are_not_uploaded(tmp_path):
    dataset = TASK.load(f"llava:{write_questions(tmp_path, {})}")
    with pytest.raises(UserError, match="1 answered questions, such as 7, are not in"):
        TASK.submission.write(dataset, {"7": "yes"})


# --- vectors ----------------------------------------------------------------------------------------------------


def test_vectors_are_scored_as_by_the_originals(vectors_folder: Path):
    """Every score, uploaded text and aggregate of the official scorer, of LLaVA's upload and of lmms-eval."""
    expected = read_expected(vectors_folder)
    scores: dict[str, list] = {name: [] for name in TASK.protocols}
    for vector in read_vectors(vectors_folder):
        original, where = vector["expected"], vector["id"]
        gold = ten_answers(vector["gold"], str(where))
        asked = sample(list(gold), str(where), **vector["input"])
        ours = {name: protocol.score(asked, vector["prediction"]) for name, protocol in TASK.protocols.items()}
        assert normalise_vqa(vector["prediction"]) == original["official_normalised_prediction"], where
        for name, key in (("official", "official_on_raw"), ("llava", "official_on_llava_submission")):
            assert ours[name]["score"] == pytest.approx(original[key], abs=1e-9), where
            assert round(100 * ours[name]["score"], 2) == pytest.approx(original[f"{key}_pct2"], abs=1e-9), where
        assert ours["llava"]["prediction"] == original["llava_submission"], where
        assert ours["lmms-eval"]["prediction"] == original["lmms_eval_submission"], where
        assert ours["lmms-eval"]["score"] == pytest.approx(original["lmms_eval"], abs=1e-9), where
        for name, score_ in ours.items():
            scores[name].append(score_)
    results = {name: TASK.protocol(name).aggregate(of_protocol) for name, of_protocol in scores.items()}
    assert results["lmms-eval"].headline / 100 == pytest.approx(expected["lmms_eval_mean"], abs=1e-9)
    for name, key in (("official", "official_on_raw"), ("llava", "official_on_llava_submission")):
        result, original = results[name], expected[key]
        assert result.headline == pytest.approx(original["overall"], abs=0.005 + 1e-9)
        for table, theirs in (("question_types", "perQuestionType"), ("answer_types", "perAnswerType")):
            ours = {kind: row["accuracy"] for kind, row in result.metrics[table].items()}
            assert ours == pytest.approx(original[theirs], abs=0.005 + 1e-9)
