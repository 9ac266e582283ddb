"""MMBench: prompts, letters, circular scores, data and upload, against what the originals gave."""

import base64
import csv
import io
import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moe_eval.tasks.mmbench import TASK
from moe_eval.tasks.mmbench.scoring import ABILITIES
from openpyxl import load_workbook
from PIL import Image

from moe_eval.errors import UserError
from moe_eval.images import NamedImage
from moe_eval.metrics.multiple_choice import option_by_lmms_eval, option_by_vlmevalkit
from moe_eval.scoring.answers import read_answers
from moe_eval.scoring.score import score_answers
from moe_eval.task import Dataset, Sample
from tests.vectors import read_expected, read_vectors

DATA = Path(__file__).parents[1] / "data"
RELEASED = DATA / "llava15_13b" / "mmbench_dev_20230712.jsonl.gz"
VECTORS = "mmbench"
SUFFIX = "Answer with the option's letter from the given choices directly."
ABBREVIATIONS = {
    "AR": "attribute_reasoning",
    "CP": "coarse_perception",
    "FP-C": "finegrained_perception (cross-instance)",
    "FP-S": "finegrained_perception (instance-level)",
    "LR": "logic_reasoning",
    "RR": "relation_reasoning",
}
LONGEST = {"A": "left", "B": "nan", "C": "the man", "D": "no"}


def sample(index: int = 7, gold: str | None = "A", rotations: int = 1, options=None, **meta) -> Sample:
    options = {"A": "left", "B": "right"} if options is None else options
    meta = {"options": options, "rotations": rotations, "split": "dev", **meta}
    name = str(index % 1_000_000)
    return Sample(str(index), "Which way?", (NamedImage(name),), gold, name, meta)


@pytest.mark.parametrize(
    ("protocol", "meta", "prompt"),
    [
        ("llava", {}, f"Which way?\nA. left\nB. right\n{SUFFIX}"),
        ("llava", {"hint": "Hm."}, f"Hm.\nWhich way?\nA. left\nB. right\n{SUFFIX}"),
        ("llava", {"hint": "nan", "options": LONGEST}, f"Which way?\nA. left\n{SUFFIX}"),
        ("llava", {"options": {"A": "x", "B": "None", "C": "y"}}, f"Which way?\nA. x\n{SUFFIX}"),
        ("llava", {"language": "cn"}, "Which way?\nA. left\nB. right\n请直接回答选项字母。"),
        ("lmms-eval", {}, f"Which way? There are several options:\nA. left\nB. right\n\n{SUFFIX}"),
        ("lmms-eval", {"hint": "Hm."}, f"Hm. Which way? There are several options:\nA. left\nB. right\n\n{SUFFIX}"),
        (
            "lmms-eval",
            {"options": LONGEST},
            f"Which way? There are several options:\nA. left\nC. the man\nD. no\n\n{SUFFIX}",
        ),
        ("vlmevalkit", {"hint": "Hm."}, f"Hm.\nWhich way?\nA. left\nB. right\n{SUFFIX}"),
    ],
)
def test_prompts(protocol, meta, prompt):
    assert TASK.protocol(protocol).prompt(sample(**meta)) == prompt


@pytest.mark.parametrize("protocol", TASK.text_protocols)
@given(response=st.text())
def test_scoring_takes_any_string(protocol, response):
    assert TASK.protocol(protocol).score(sample(), response)["correct"] in (0, 1)


@pytest.mark.parametrize("protocol", TASK.text_protocols)
@given(shuffler=st.randoms(use_true_random=False))
def test_order_changes_no_score_and_scores_are_in_range(protocol, shuffler: random.Random):
    scored = TASK.protocol(protocol)
    asked = [
        sample(q + r * 1_000_000, "AB"[r], 2, ability="ocr", group="coarse_perception")
        for q in range(5)
        for r in (0, 1)
    ]
    scores = [scored.score(one, shuffler.choice("AB")) for one in asked]
    result = scored.aggregate(scores)
    assert scored.aggregate(shuffler.sample(scores, len(scores))) == result
    assert 0 <= result.metrics["circular"] <= result.metrics["single_pass"] <= 100


def test_a_question_drawn_twice_counts_twice():
    llava = TASK.protocol("llava")
    right = [llava.score(sample(7 + r * 1_000_000, "AB"[r], 2), "AB"[r]) for r in (0, 1)]
    wrong = [llava.score(sample(8 + r * 1_000_000, "AB"[r], 2), "A") for r in (0, 1)]
    assert llava.aggregate(right * 2 + wrong).headline == pytest.approx(200 / 3)


def test_a_rotation_without_score_is_named():
    llava = TASK.protocol("llava")
    with pytest.raises(UserError, match="row 1000007 is not scored, a rotation of question 7"):
        llava.aggregate([llava.score(sample(7, "A", rotations=2), "A")])


def test_hidden_answers_give_no_number():
    llava = TASK.protocol("llava")
    assert llava.aggregate([llava.score(sample(gold=None), "A")]).headline is None


def test_released_answers_score_what_the_original_gives():
    expected = json.loads((DATA / "llava15_13b" / "expected.json").read_text())["mmbench_dev_20230712"]
    dataset = TASK.load(f"answers:{RELEASED}")
    assert dataset.official
    scores = score_answers(TASK, "llava", dataset, read_answers(TASK, dataset, RELEASED))
    assert scores.headline.value == pytest.approx(expected["circular_percent"], abs=1e-9)
    assert scores.metrics["single_pass"] == pytest.approx(expected["single_pass_percent"], abs=1e-9)
    assert (scores.metrics["rows"], scores.metrics["questions"]) == (expected["rows"], expected["groups"])


# --- data -------------------------------------------------------------------------------------------------------


def encoded_picture() -> str:
    stream = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


HEADER = "index question hint A B C D answer category image source l2-category comment split".split()


def tsv_row(index: int | str, options: str, answer: str, **changes: str) -> dict[str, str]:
    row = dict.fromkeys(HEADER, "")
    row |= {"index": str(index), "question": "Which?", "answer": answer, "image": encoded_picture(), "split": "dev"}
    row |= {"category": "ocr", "l2-category": "coarse_perception", **dict(zip("ABCD", options, strict=False))}
    return row | changes


def write_tsv(path: Path, rows: list[dict[str, str]], header: list[str] = HEADER) -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, header, delimiter="\t", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


ROTATED = [tsv_row(3, "xyz", "A"), tsv_row(1_000_003, "zxy", "B", image="3"), tsv_row(2_000_003, "yzx", "C", image="3")]


def test_tsv_gives_rows_with_lazy_pictures(tmp_path):
    dataset = TASK.load(f"tsv:{write_tsv(tmp_path / 'a.tsv', ROTATED)}")
    assert [(one.id, one.gold, one.group, one.meta["rotations"]) for one in dataset.samples] == [
        ("3", "A", "3", 3),
        ("1000003", "B", "3", 3),
        ("2000003", "C", "3", 3),
    ]
    assert {one.images[0].open().size for one in dataset.samples} == {(8, 6)}
    assert dataset.samples[1].meta["options"] == {"A": "z", "B": "x", "C": "y"}
    assert TASK.protocol("llava").prompt(dataset.samples[0]) == f"Which?\nA. x\nB. y\nC. z\n{SUFFIX}"
    assert "unknown version" in dataset.version


def test_llava_folder_is_its_tsv(tmp_path):
    write_tsv(tmp_path / "mmbench_dev_20230712.tsv", ROTATED)
    assert len(TASK.load(f"llava:{tmp_path}").samples) == 3
    write_tsv(tmp_path / "mmbench_dev_cn_20231003.tsv", ROTATED)
    with pytest.raises(UserError, match="must hold one mmbench_dev_20230712"):
        TASK.load(f"llava:{tmp_path}")


def test_chinese_file_is_asked_in_chinese(tmp_path):
    write_tsv(tmp_path / "mmbench_dev_cn_20231003.tsv", ROTATED)
    first = TASK.load(f"llava:{tmp_path}").samples[0]
    assert TASK.protocol("llava").prompt(first).endswith("请直接回答选项字母。")
    assert TASK.protocol("lmms-eval").prompt(first).endswith("\n\n请直接使用所提供的选项字母作为答案回答。")


def test_an_option_that_stays_in_place_is_not_rotated(tmp_path):
    fixed = [tsv_row(3, "xyzn", "A"), tsv_row(1_000_003, "zxyn", "B"), tsv_row(2_000_003, "yzxn", "C")]
    assert len(TASK.load(f"tsv:{write_tsv(tmp_path / 'a.tsv', fixed)}").samples) == 3


def test_questions_asked_once_have_no_rotations(tmp_path):
    dataset = TASK.load(f"tsv:{write_tsv(tmp_path / 'a.tsv', [tsv_row(1, 'xy', 'A'), tsv_row(2, 'xy', 'B')])}")
    assert "not rotated" in dataset.version


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([ROTATED[0], ROTATED[2]], r"question 3 has 2 of 3 rotations; row 1000003 is missing"),
        (ROTATED[:2], r"question 3 has 2 of 3 rotations; row 2000003 is missing"),
        ([*ROTATED, tsv_row(4, "xy", "A")], r"question 4 has 1 of 2 rotations; row 1000004 is missing"),
        ([tsv_row(3, "xyz", "E")], r"line 2: the answer 'E' is none of A, B, C, D"),
        ([tsv_row("3a", "xyz", "A")], r"line 2: index '3a' is not a number"),
        ([ROTATED[0], ROTATED[0]], r"line 3: index 3 is in line 2 already"),
        ([tsv_row(3, "xyz", "A", image="99")], r"line 2: column image refers to row '99'"),
    ],
)
def test_broken_data_get_one_clear_line(tmp_path, rows, message):
    with pytest.raises(UserError, match=message) as caught:
        TASK.load(f"tsv:{write_tsv(tmp_path / 'a.tsv', rows)}")
    assert "\n" not in str(caught.value)


def test_answer_ids_are_llavas_or_the_tables():
    assert TASK.answer_id({"question_id": 241, "text": "A"}) == TASK.answer_id({"index": 241}) == "241"


# --- upload -----------------------------------------------------------------------------------------------------


def read_xlsx(content: bytes) -> list[list[object]]:
    sheet = load_workbook(io.BytesIO(content)).active
    return [["" if cell is None else cell for cell in row] for row in sheet.iter_rows(values_only=True)]


def test_upload_of_a_hidden_split_has_no_answer_column():
    dataset = Dataset("made", "", [sample(gold=None), sample(1_000_007, gold=None)], official=False)
    header, *rows = read_xlsx(TASK.submission.write(dataset, {"7": "=1+1", "1000007": "a\x00b\ud800"}))
    assert header == ["index", "question", "A", "B", "C", "D", "prediction", "split"]
    assert rows == [
        [7, "Which way?", "left", "right", "", "", "=1+1", "dev"],
        [1_000_007, "Which way?", "left", "right", "", "", "ab", "dev"],
    ]


# --- vectors ----------------------------------------------------------------------------------------------------


def load_vectors(folder: Path) -> list[tuple[Sample, dict]]:
    vectors = list(read_vectors(folder))
    rotations = [vector["id"] % 1_000_000 for vector in vectors]
    pairs = []
    for vector in vectors:
        asked = vector["input"]
        options = {letter: asked[letter] for letter in "ABCD" if asked[letter] is not None}
        meta = {"ability": asked["category"], "group": asked["l2-category"], "options": options}
        number = rotations.count(vector["id"] % 1_000_000)
        pairs.append((sample(vector["id"], vector["gold"], number, **meta), vector))
    return pairs


def circular_by_question(scores: list[dict], is_right) -> dict[int, int]:
    result: dict[int, int] = {}
    for score in scores:
        result[score["question"]] = result.get(score["question"], 1) & int(is_right(score))
    return result


def assert_same_groups(pairs, circular: dict[int, int], rule: str) -> None:
    for _, vector in pairs:
        if "group" in vector["expected"]:
            assert circular[vector["id"]] == vector["expected"]["group"][rule], (vector["id"], rule)


def test_vectors_are_scored_as_by_lmms_eval(vectors_folder: Path):
    protocol, pairs, expected = TASK.protocol("lmms-eval"), load_vectors(vectors_folder), read_expected(vectors_folder)
    scores = [protocol.score(one, vector["prediction"]) for one, vector in pairs]
    for score, (_, vector) in zip(scores, pairs, strict=True):
        assert (score["resolved"] or False) == vector["expected"]["lmms_eval_can_infer"], vector["id"]
        option = option_by_lmms_eval(vector["prediction"]) or False
        assert option == vector["expected"]["lmms_eval_option"], vector["id"]
    assert_same_groups(pairs, circular_by_question(scores, lambda s: s["correct"]), "lmms_eval_static")
    assert_same_groups(
        pairs, circular_by_question(scores, lambda s: s["resolved"] == s["gold"]), "lmms_eval_prefetch_only"
    )
    metrics = protocol.aggregate(scores).metrics
    for name, original in (("circular", "lmms_eval_static"), ("circular_prefetch_only", "lmms_eval_prefetch_only")):
        assert metrics[name] == pytest.approx(100 * expected[original]["overall"], abs=1e-9)
        for ours, theirs in (("abilities", "category"), ("groups", "l2-category")):
            assert metrics[ours].keys() == expected[original][theirs].keys()
            for kind, value in expected[original][theirs].items():
                assert metrics[ours][kind][name] == pytest.approx(100 * value, abs=1e-9), (name, kind)


def test_vectors_are_scored_as_by_vlmevalkit(vectors_folder: Path):
    protocol, pairs = TASK.protocol("vlmevalkit"), load_vectors(vectors_folder)
    scores = [protocol.score(one, vector["prediction"]) for one, vector in pairs]
    for score, (one, vector) in zip(scores, pairs, strict=True):
        option = option_by_vlmevalkit(vector["prediction"], one.meta["options"]) or False
        assert option == vector["expected"]["vlmevalkit_option"], vector["id"]
        assert (score["prediction"] or False) == vector["expected"]["vlmevalkit_can_infer"], vector["id"]
    assert_same_groups(pairs, circular_by_question(scores, lambda s: s["correct"]), "vlmevalkit_exact_matching")
    metrics = protocol.aggregate(scores).metrics
    for kind, value in read_expected(vectors_folder)["vlmevalkit_exact_matching"].items():
        if kind == "Overall":
            assert metrics["circular"] == pytest.approx(100 * value, abs=1e-9)
        elif kind in ABBREVIATIONS:
            assert metrics["groups"][ABBREVIATIONS[kind]]["circular"] == pytest.approx(100 * value, abs=1e-9)
        elif kind != "split":
            assert metrics["abilities"][kind]["circular"] == pytest.approx(100 * value, abs=1e-9)


def test_vectors_are_scored_by_the_exact_letter(vectors_folder: Path):
    protocol, pairs, expected = TASK.protocol("llava"), load_vectors(vectors_folder), read_expected(vectors_folder)
    scores = [protocol.score(one, vector["prediction"]) for one, vector in pairs]
    assert_same_groups(pairs, circular_by_question(scores, lambda s: s["correct"]), "exact_letter_circular")
    metrics = protocol.aggregate(scores).metrics
    assert metrics["circular"] == pytest.approx(100 * expected["exact_letter_circular"], abs=1e-9)
    assert metrics["single_pass"] == pytest.approx(100 * expected["exact_letter_single_pass_all_rows"], abs=1e-9)
    assert (metrics["rows"], metrics["questions"]) == (expected["n_rows"], expected["n_groups"])
    order = [name for names in ABILITIES.values() for name in names]
    assert sorted(metrics["abilities"], key=order.index) == list(metrics["abilities"])


def test_vectors_upload_is_llavas(vectors_folder: Path):
    for vector in read_vectors(vectors_folder, "submission"):
        samples, answers = [], {}
        for row in vector["rows"]:
            options = {letter: row[letter] for letter in "ABCD" if row[letter]}
            one = sample(row["index"], row["answer"], options=options, split=row["split"])
            samples.append(Sample(one.id, row["question"], one.images, one.gold, one.group, one.meta))
            answers[one.id] = row["prediction"]
        header, *rows = read_xlsx(TASK.submission.write(Dataset("made", "", samples, official=False), answers))
        assert header == vector["xlsx_columns"]
        assert rows == [list(row.values()) for row in vector["rows"]]
