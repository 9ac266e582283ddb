"""ScienceQA: prompts, parsers, scores and data, against what the originals gave."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moe_eval.tasks.scienceqa import TASK
from moe_eval.tasks.scienceqa.scoring import parse_letter

from moe_eval.errors import UserError
from moe_eval.images import NamedImage
from moe_eval.scoring.answers import read_answers
from moe_eval.scoring.score import score_answers
from moe_eval.task import Sample
from tests.vectors import read_expected, read_vectors

DATA = Path(__file__).parents[1] / "data"
RELEASED = DATA / "llava15_13b" / "scienceqa.jsonl.gz"
VECTORS = "scienceqa"
SUFFIX = "\nAnswer with the option's letter from the given choices directly."


def sample(choices=("left", "right"), gold="B", image=True, **meta) -> Sample:
    images = (NamedImage("1/image.png"),) if image else ()
    return Sample("1", "Which way?", images, gold, "1", {"choices": tuple(choices), **meta})


def of_vector(vector: dict) -> Sample:
    asked = vector["input"]
    one = sample(asked["choices"], vector["gold"], asked["image"] is not None, hint=asked["hint"])
    return replace(one, id=vector["id"], question=asked["question"])


@pytest.mark.parametrize(
    ("protocol", "hint", "prompt"),
    [
        ("llava", "", "Which way?\nA. left\nB. right" + SUFFIX),
        ("llava", "A hint.", "Context: A hint.\nWhich way?\nA. left\nB. right" + SUFFIX),
        ("lmms-eval", "A hint.", "Context: A hint.\nWhich way?\nA. left\nB. right" + SUFFIX),
        ("vlmevalkit", "A hint.", "A hint.\nWhich way?\nA. left\nB. right" + SUFFIX),
        ("vlmevalkit", "", "Which way?\nA. left\nB. right" + SUFFIX),
    ],
)
def test_prompts(protocol, hint, prompt):
    assert TASK.protocol(protocol).prompt(sample(hint=hint)) == prompt


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("A", "A"),
        ("A. left", "A"),
        ("So. The answer is B.", "B"),
        ("The answer is B", "FAILED"),
        ("The answer is A. The answer is B.", "FAILED"),
        ("A.", "FAILED"),
        ("(A)", "FAILED"),
        ("a", "FAILED"),
        ("AB", "FAILED"),
        ("", "FAILED"),
    ],
)
def test_parser_reads_answers_as_llava_does(response, letter):
    assert parse_letter(response) == letter


@pytest.mark.parametrize("protocol", TASK.text_protocols)
@given(response=st.text())
def test_scoring_takes_any_string(protocol, response):
    assert TASK.protocol(protocol).score(sample(), response)["correct"] in (0, 1)


@given(st.randoms(use_true_random=False))
def test_order_of_samples_changes_no_score(shuffler: random.Random):
    protocol = TASK.protocol("llava")
    kinds = [{"hint": hint, "subject": "NAT", "grade": "G1-6"} for hint in ("", "Yes")]
    asked = [sample(image=image, **kind) for kind in kinds for image in (True, False) for _ in range(3)]
    scores = [protocol.score(one, shuffler.choice("ABC")) for one in asked]
    assert protocol.aggregate(shuffler.sample(scores, len(scores))) == protocol.aggregate(scores)


def test_breakdown_counts_contexts_as_the_paper_does():
    protocol = TASK.protocol("llava")
    asked = [sample(hint="h", subject="NAT", grade="G1-6"), sample(image=False, subject="SOC", grade="G7-12")]
    metrics = protocol.aggregate([protocol.score(one, "B") for one in asked]).metrics
    assert {name: table["samples"] for name, table in metrics["context"].items()} == {"TXT": 1, "IMG": 1, "NO": 1}
    assert list(metrics["subject"]) == ["NAT", "SOC"]


def test_released_answers_score_what_the_original_gives():
    expected = json.loads((DATA / "llava15_13b" / "expected.json").read_text())["scienceqa"]
    dataset = TASK.load(f"answers:{RELEASED}")
    assert dataset.official
    scores = score_answers(TASK, "llava", dataset, read_answers(TASK, dataset, RELEASED))
    assert scores.headline.value == pytest.approx(expected["img_percent"], abs=1e-9)
    assert scores.metrics["all"] == pytest.approx(expected["all_percent"], abs=1e-9)
    assert scores.metrics["samples"] == {"img": expected["n_img"], "all": expected["n"]}


def test_moe_llava_does_not_pad_its_pictures():
    assert TASK.unpadded_families == {"moe-llava", "llava-phi"}


# --- data -------------------------------------------------------------------------------------------------------


def write_folder(folder: Path, **changes: object) -> Path:
    """LLaVA's layout with one question with picture and hint, and one without either."""
    texts = ["<image>\nContext: Hint one.\nWhich way?\nA. left\nB. right", "What now?\nA. stop\nB. go\nC. wait"]
    problems = {
        "11": {"question": "Which way?", "choices": ["left", "right"], "answer": 1, "hint": "Hint one."},
        "12": {"question": "What now?", "choices": ["stop", "go", "wait"], "answer": 0, "hint": ""},
    }
    for problem in problems.values():
        problem |= {"image": None, "subject": "natural science", "grade": "grade7"}
    problems["11"] |= changes
    questions = [
        {"id": name, "conversations": [{"from": "human", "value": text}, {"from": "gpt", "value": letter}]}
        for name, text, letter in zip(problems, texts, "BA", strict=True)
    ]
    questions[0]["image"] = "11/image.png"
    (folder / "llava_test_CQM-A.json").write_text(json.dumps(questions))
    (folder / "problems.json").write_text(json.dumps(problems))
    return folder


def test_llava_folder_gives_llavas_own_words(tmp_path):
    first, second = TASK.load(f"llava:{write_folder(tmp_path)}").samples
    assert TASK.protocol("llava").prompt(first) == "Context: Hint one.\nWhich way?\nA. left\nB. right" + SUFFIX
    assert TASK.protocol("llava").prompt(second) == "What now?\nA. stop\nB. go\nC. wait" + SUFFIX
    assert (first.gold, second.gold, second.images) == ("B", "A", ())
    assert first.images[0].path == tmp_path / "images" / "test" / "11" / "image.png"
    assert (first.meta["subject"], first.meta["grade"]) == ("NAT", "G7-12")


def test_llavas_own_words_are_what_we_would_write():
    for vector in read_vectors(DATA / "vectors" / "scienceqa"):
        if vector["prediction"] is None:
            continue  # LLaVA stores the prompt with the answer
        stored = vector["input"]["prompt"].removeprefix("<image>\n")
        assert TASK.protocol("llava").prompt(of_vector(vector)) == stored, vector["id"]
        assert TASK.protocol("lmms-eval").prompt(of_vector(vector)) == stored, vector["id"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answer": 0}, "question 1: the answer is 'B' here and 'A' in problems.json"),
        ({"answer": "B"}, "the answer 'B' is not the number of an option"),
        ({"choices": ["left"]}, "question 1: the answer 'B' is none of the 1 options"),
    ],
)
def test_broken_folder_gets_one_clear_line(tmp_path, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        TASK.load(f"llava:{write_folder(tmp_path, **changes)}")
    assert "\n" not in str(caught.value)


# --- vectors ----------------------------------------------------------------------------------------------------


def test_vectors_are_scored_as_by_llava(vectors_folder: Path):
    """LLaVA counts a missing prediction as wrong and, since it tells pictures by the stored prompt, as without one."""
    protocol, scores = TASK.protocol("llava"), []
    for vector in read_vectors(vectors_folder):
        one, expected = of_vector(vector), vector["expected"]
        missing = vector["prediction"] is None
        score = protocol.score(replace(one, images=()) if missing else one, vector["prediction"] or "")
        ours = (score["prediction"], score["choice"], score["correct"], score["has_image"])
        keys = ("llava_parsed", "llava_pred_idx", "llava_correct", "llava_is_multimodal")
        assert ours == tuple(expected[key] for key in keys), vector["id"]
        scores.append(score)
    result, expected = protocol.aggregate(scores), read_expected(vectors_folder)["llava"]
    assert result.metrics["all"] == pytest.approx(expected["acc_all_percent"], abs=1e-9)
    assert result.headline == pytest.approx(100 * expected["img_correct"] / expected["img_count"], abs=1e-9)
    assert result.metrics["samples"] == {"all": expected["count"], "img": expected["img_count"]}


def test_vectors_are_scored_as_by_lmms_eval(vectors_folder: Path):
    protocol, scores = TASK.protocol("lmms-eval"), []
    for vector in read_vectors(vectors_folder):
        if vector["prediction"] is not None:
            scores.append(protocol.score(of_vector(vector), vector["prediction"]))
            assert scores[-1]["correct"] == vector["expected"]["lmms_eval"], vector["id"]
    mean = read_expected(vectors_folder)["lmms_eval_mean_over_answered"]
    assert protocol.aggregate(scores).metrics["all"] == pytest.approx(100 * mean, abs=1e-9)


def test_vectors_are_read_as_by_vlmevalkit(vectors_folder: Path):
    for vector in read_vectors(vectors_folder):
        if vector["prediction"] is not None:
            score = TASK.protocol("vlmevalkit").score(of_vector(vector), vector["prediction"])
            expected = vector["expected"]["vlmevalkit_can_infer"] or "FAILED"
            assert score["prediction"] == expected, vector["id"]
