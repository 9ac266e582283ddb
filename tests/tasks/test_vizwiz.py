"""VizWiz: scores, prompts, data and the upload, against what the original gave."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moe_eval.tasks.vizwiz import TASK
from moe_eval.tasks.vizwiz.data import answer_id

from moe_eval.errors import UserError
from moe_eval.files.jsonl import read_jsonl
from moe_eval.images import NamedImage
from moe_eval.scoring.answers import read_answers
from moe_eval.task import Dataset, Sample
from tests.tables import write_tsv
from tests.vectors import read_expected, read_vectors

DATA = Path(__file__).parents[1] / "data"
VECTORS = "vizwiz"


def sample(answers: list[str] | None, image: str = "VizWiz_val_00000000.jpg", **meta: str) -> Sample:
    gold = None if answers is None else tuple(answers)
    return Sample(Path(image).stem, "What IS this?", (NamedImage(image),), gold, group=image, meta=meta)


def score(protocol: str, response: str, answers: list[str]) -> float:
    return TASK.protocol(protocol).score(sample(answers), response)["score"]


def test_prompts_of_the_protocols():
    suffix = (
        "\nWhen the provided information is insufficient, respond with 'Unanswerable'."
        "\nAnswer the question using a single word or phrase."
    )
    names = ("llava", "lmms-eval", "vlmevalkit")
    prompts = {name: TASK.protocol(name).prompt(sample(None)) for name in names}
    assert prompts == {
        "llava": "What IS this?" + suffix,
        "lmms-eval": "What is this?" + suffix,
        "vlmevalkit": "What IS this?",
    }


def test_prompts_are_the_lines_of_llavas_question_file():
    path = DATA / "llava" / "vizwiz" / "llava_test.jsonl"
    dataset = TASK.load(f"llava:{path.parent}")
    lines = [line for _, line in read_jsonl(path)]
    assert [TASK.protocol("llava").prompt(s) for s in dataset.samples] == [line["text"] for line in lines]
    assert [s.images[0].name for s in dataset.samples] == [line["image"] for line in lines]
    assert [s.id for s in dataset.samples] == [answer_id(line) for line in lines]
    assert {s.gold for s in dataset.samples} == {None}


def test_reference_answers_are_normalised_by_all_but_the_official_scorer():
    answers = ["The Cat"] * 10
    assert [score(name, "cat", answers) for name in ("llava", "lmms-eval", "vlmevalkit")] == [0, 1, 1]


@given(st.text(), st.lists(st.text(max_size=5), min_size=10, max_size=10))
def test_any_answer_scores_between_0_and_1(response, answers):
    for protocol in TASK.protocols.values():
        assert 0 <= protocol.score(sample(answers), response)["score"] <= 1


@given(st.randoms(use_true_random=False))
def test_order_of_samples_changes_no_score(shuffler: random.Random):
    answers = ["yes", "no"] + [str(n) for n in range(8)]
    for protocol in TASK.protocols.values():
        scores = [
            protocol.score(sample(answers, answer_type=shuffler.choice(["other", "number"])), response)
            for response in shuffler.choices(["yes", "1", "cat"], k=50)
        ]
        assert protocol.aggregate(shuffler.sample(scores, 50)) == protocol.aggregate(scores)


def test_the_8000_released_answers_are_uploaded_as_llava_did():
    lines = [line for _, line in read_jsonl(DATA / "llava15_13b" / "vizwiz_m4c_pairs.jsonl.gz")]
    samples = [sample(None, f"VizWiz_test_{line['question_id']:08d}.jpg") for line in lines]
    dataset = Dataset("made", "made", samples, official=True)
    answers = {answer_id(line): line["text"] for line in lines}
    uploaded = json.loads(TASK.submission.write(dataset, answers))
    assert [row["answer"] for row in uploaded] == [line["uploaded"] for line in lines]
    assert uploaded[7999]["image"] == "VizWiz_test_00007999.jpg"


def test_upload_wants_every_question_answered():
    with pytest.raises(UserError, match="1 questions have no answer, such as VizWiz_val_00000000"):
        TASK.submission.write(Dataset("made", "made", [sample(None)], official=True), {})


def test_answers_of_llava_are_joined_by_picture_number(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text('{"question_id": 3, "text": "cat"}\n')
    samples = [sample(None, "VizWiz_test_00000003.jpg")]
    assert read_answers(TASK, Dataset("made", "made", samples, official=True), path) == {"VizWiz_test_00000003": "cat"}


# --- data -------------------------------------------------------------------------------------------------------


def test_annotation_file_has_gold_and_answer_types(tmp_path):
    write_annotations(tmp_path)
    dataset = TASK.load(f"llava:{tmp_path / 'val.json'}")
    (only,) = dataset.samples
    assert (only.id, only.gold, only.meta) == ("VizWiz_val_00000000", ("cat",) * 10, {"answer_type": "other"})
    assert only.images[0].path == tmp_path / "val" / "VizWiz_val_00000000.jpg"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answers": [{"answer": "cat"}] * 9}, r"val\.json record 1: answers holds 9 answers"),
        ({"image": None}, "record 1: image is None, not a string"),
    ],
)
def test_wrong_annotations_are_named(tmp_path, change, message):
    write_annotations(tmp_path, **change)
    with pytest.raises(UserError, match=message):
        TASK.load(f"llava:{tmp_path / 'val.json'}")


def write_annotations(folder: Path, **change: object) -> None:
    record = {
        "image": "VizWiz_val_00000000.jpg",
        "question": "What is this?",
        "answers": [{"answer": "cat", "answer_confidence": "yes"}] * 10,
        "answer_type": "other",
        "answerable": 1,
    }
    (folder / "val.json").write_text(json.dumps([{**record, **change}]))


def test_tsv_gives_questions_answers_and_shared_pictures(tmp_path):
    path = write_tsv(tmp_path / "VizWiz.tsv", {"question": ["A?", "B?"], "answers": [str(["cat"] * 10)] * 2})
    dataset = TASK.load(f"tsv:{path}")
    assert [s.gold for s in dataset.samples] == [("cat",) * 10] * 2
    assert len({s.group for s in dataset.samples}) == 1
    assert dataset.samples[1].images[0].open().size == (16, 12)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ("['a', 'b']", r"VizWiz\.tsv line 2: answers holds 2 answers"),
        ("[__import__('os')]", "line 2: answers is no list"),
    ],
)
def test_wrong_tsv_answers_are_named(tmp_path, answers, message):
    path = write_tsv(tmp_path / "VizWiz.tsv", {"question": ["A?"], "answers": [answers]})
    with pytest.raises(UserError, match=message):
        TASK.load(f"tsv:{path}")


def test_tsv_reference_to_nowhere_is_named(tmp_path):
    path = write_tsv(tmp_path / "VizWiz.tsv", {"question": ["A?"], "answers": [str(["cat"] * 10)]}, pictures=["7"])
    with pytest.raises(UserError, match=r"VizWiz\.tsv line 2: column image refers to row '7'"):
        TASK.load(f"tsv:{path}")


# --- vectors ----------------------------------------------------------------------------------------------------


def test_vectors_are_scored_as_by_the_originals(vectors_folder: Path):
    """Every score, uploaded text and aggregate of LLaVA's upload, of lmms-eval and of VLMEvalKit."""
    expected = read_expected(vectors_folder)
    scores: dict[str, list] = {name: [] for name in TASK.protocols}
    for vector in read_vectors(vectors_folder):
        original, where = vector["expected"], vector["id"]
        ours = {name: p.score(sample(vector["gold"]), vector["prediction"]) for name, p in TASK.protocols.items()}
        assert ours["llava"]["prediction"] == original["llava_submission"], where
        assert ours["lmms-eval"]["prediction"] == original["lmms_eval_submission"], where
        assert ours["vlmevalkit"]["prediction"] == original["vlmevalkit_pred"], where
        assert ours["lmms-eval"]["score"] == pytest.approx(original["lmms_eval"], abs=1e-9), where
        assert ours["vlmevalkit"]["score"] == pytest.approx(original["vlmevalkit"], abs=1e-9), where
        for name, score_ in ours.items():
            scores[name].append(score_)
    for name, key in (("lmms-eval", "lmms_eval"), ("vlmevalkit", "vlmevalkit")):
        result = TASK.protocol(name).aggregate(scores[name])
        assert result.headline / 100 == pytest.approx(expected[key], abs=1e-9)
