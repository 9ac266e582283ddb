"""MME: prompts, parsers, scores and data, against what the originals gave."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moe_eval.tasks.mme import TASK
from moe_eval.tasks.mme.scoring import SIZES

from moe_eval.errors import UserError
from moe_eval.files.jsonl import read_jsonl
from moe_eval.images import NamedImage
from moe_eval.scoring.answers import read_answers
from moe_eval.scoring.score import score_answers
from moe_eval.task import Sample
from tests.vectors import read_expected, read_vectors

DATA = Path(__file__).parents[1] / "data"
RELEASED = DATA / "llava15_13b" / "mme.jsonl.gz"
VECTORS = "mme"
SUFFIX = "\nAnswer the question using a single word or phrase."
PARSED_BY = {"llava": "official_parsed", "lmms-eval": "lmms_eval_parsed", "vlmevalkit": "vlmevalkit_extracted"}


def sample(
    question: str = "Is it? Please answer yes or no.", gold: str = "yes", picture: str = "count/1.png"
) -> Sample:
    return Sample("1", question, (NamedImage(picture),), gold, picture, {"category": picture.split("/")[0]})


@pytest.mark.parametrize(
    ("protocol", "question", "prompt"),
    [
        ("llava", "Is it? Please answer yes or no.", "Is it?" + SUFFIX),
        ("llava", "Is it?  Please answer yes or no.", "Is it?" + SUFFIX),
        ("lmms-eval", "Is it? Please answer yes or no.", "Is it?" + SUFFIX),
        ("lmms-eval", "Is it?  Please answer yes or no.", "Is it? " + SUFFIX),
        ("vlmevalkit", "Is it?  Please answer yes or no.", "Is it?  Please answer yes or no."),
    ],
)
def test_prompts(protocol, question, prompt):
    assert TASK.protocol(protocol).prompt(sample(question)) == prompt


@pytest.mark.parametrize("protocol", TASK.text_protocols)
@given(response=st.text())
def test_scoring_takes_any_string(protocol, response):
    assert TASK.protocol(protocol).score(sample(), response)["prediction"] in ("yes", "no", "other")


@given(st.randoms(use_true_random=False))
def test_order_changes_no_score_and_scores_are_in_range(shuffler: random.Random):
    protocol = TASK.protocol("llava")
    asked = [sample(gold=gold, picture=f"{name}/{n}.png") for name in SIZES for n in range(3) for gold in ("yes", "no")]
    scores = [protocol.score(one, shuffler.choice(["Yes", "No", "?"])) for one in asked]
    result = protocol.aggregate(scores)
    assert protocol.aggregate(shuffler.sample(scores, len(scores))) == result
    assert 0 <= result.metrics["perception"] <= 2000
    assert 0 <= result.metrics["cognition"] <= 800


def test_half_a_pair_is_named():
    scores = [TASK.protocol("llava").score(sample(gold="yes"), "Yes")]
    with pytest.raises(UserError, match=r"1 of 2 questions about count/1\.png are scored"):
        TASK.protocol("llava").aggregate(scores)


def test_a_picture_drawn_twice_counts_twice():
    protocol = TASK.protocol("llava")
    right = [protocol.score(sample(gold=gold), gold) for gold in ("yes", "no")]
    wrong = [protocol.score(sample(gold=gold, picture="count/2.png"), "Yes") for gold in ("yes", "no")]
    subtask = protocol.aggregate(right * 2 + wrong).metrics["subtasks"]["count"]
    assert (subtask["acc"], subtask["acc_plus"]) == (pytest.approx(500 / 6), pytest.approx(200 / 3))


def test_released_answers_score_what_the_original_gives():
    expected = json.loads((DATA / "llava15_13b" / "expected.json").read_text())["mme"]
    dataset = TASK.load(f"answers:{RELEASED}")
    assert dataset.official
    scores = score_answers(TASK, "llava", dataset, read_answers(TASK, dataset, RELEASED))
    assert scores.headline.value == pytest.approx(expected["perception"], abs=1e-9)
    assert scores.metrics["cognition"] == pytest.approx(expected["cognition"], abs=1e-9)
    for name, value in expected["subtasks"].items():
        assert scores.metrics["subtasks"][name]["score"] == pytest.approx(value, abs=1e-9)


def test_a_llava_answer_belongs_to_the_question_in_its_prompt():
    answer = {"question_id": "OCR/0001.jpg", "prompt": "Is it?" + SUFFIX, "text": "Yes"}
    stored = {"category": "OCR", "image": "0001.jpg", "question": "Is it?  Please answer yes or no.", "gold": "Yes"}
    assert TASK.answer_id(answer) == TASK.answer_id(stored) == "OCR/0001.jpg: Is it?"


# --- data -------------------------------------------------------------------------------------------------------


def write_release(folder: Path, nested: bool) -> None:
    """LLaVA's question file in its own words, and MME's files for it: flat, or pictures and texts apart."""
    golds = {}
    for _, row in read_jsonl(RELEASED):
        golds.setdefault((row["category"], row["image"]), []).append(row)
    lines = [line for _, line in read_jsonl(DATA / "llava" / "llava_mme.jsonl")]
    (folder / "llava_mme.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for line in lines:
        category, name = line["image"].split("/")
        place = folder / "MME_Benchmark_release_version" / category
        texts = place / "questions_answers_YN" if nested else place
        texts.mkdir(parents=True, exist_ok=True)
        if nested:
            (place / "images").mkdir(exist_ok=True)
        rows = golds[category, name]
        (texts / f"{Path(name).stem}.txt").write_text("".join(f"{row['question']}\t{row['gold']}\n" for row in rows))


@pytest.mark.parametrize("nested", [False, True])
def test_llava_folder_gives_the_questions_that_llava_asks(tmp_path, nested):
    write_release(tmp_path, nested)
    dataset = TASK.load(f"llava:{tmp_path}")
    lines = [line for _, line in read_jsonl(tmp_path / "llava_mme.jsonl")]
    assert [TASK.protocol("llava").prompt(one) for one in dataset.samples] == [line["text"] for line in lines]
    assert [TASK.answer_id({**line, "prompt": line["text"]}) for line in lines] == [one.id for one in dataset.samples]
    released = {one.id: one.gold for one in TASK.load(f"answers:{RELEASED}").samples}
    assert all(one.gold == released[one.id] for one in dataset.samples)
    place = "images/0020.png" if nested else "0020.png"
    assert str(dataset.samples[0].images[0].path).endswith(f"release_version/code_reasoning/{place}")
    assert (dataset.official, len(dataset.samples)) == (False, 20)


def test_question_without_gold_is_named(tmp_path):
    write_release(tmp_path, nested=False)
    (tmp_path / "MME_Benchmark_release_version" / "code_reasoning" / "0014.txt").unlink()
    with pytest.raises(
        UserError, match=r"llava_mme\.jsonl line 3: .*code_reasoning has no answer to .* about 0014\.png"
    ):
        TASK.load(f"llava:{tmp_path}")


def stored(**changes: object) -> dict:
    row = {
        "category": "OCR",
        "image": "1.jpg",
        "question": "Is it A? Please answer yes or no.",
        "gold": "Yes",
        "text": "Yes",
    }
    return {**row, **changes}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([stored()], r"OCR/1\.jpg has 1 question, not a pair of two"),
        ([stored(), stored(question="B?"), stored(question="C?")], r"OCR/1\.jpg has 3 questions, not a pair"),
        ([stored(), stored()], r"holds 1 ids more than once, such as OCR/1\.jpg: Is it A\?"),
        ([stored(gold="Maybe")], r"line 1: the answer 'Maybe' is neither Yes nor No"),
        ([stored(category="ocr")], r"line 1: 'ocr' is none of MME's subtasks"),
        (
            [{"question_id": "OCR/1.jpg", "prompt": "?", "text": "Yes"}],
            r"line 1 has no category, gold, image, question",
        ),
        ([], "holds no samples"),
    ],
)
def test_broken_data_get_one_clear_line(tmp_path, rows, message):
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=message) as caught:
        TASK.load(f"answers:{path}")
    assert "\n" not in str(caught.value)


# --- vectors ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", TASK.text_protocols)
def test_vectors_are_scored_as_by_the_original(vectors_folder: Path, protocol: str):
    """Every parsed answer, every subtask and both totals, within 1e-9."""
    scores = []
    for vector in read_vectors(vectors_folder):
        asked = vector["input"]
        one = sample(asked["question"], vector["gold"].lower(), f"{asked['category']}/{asked['image']}")
        scores.append(TASK.protocol(protocol).score(one, vector["prediction"]))
        expected = vector["expected"][PARSED_BY[protocol]].lower().replace("unknown", "other")
        assert scores[-1]["prediction"] == expected, vector["id"]
    metrics = TASK.protocol(protocol).aggregate(scores).metrics
    aggregates = read_expected(vectors_folder)
    if protocol == "lmms-eval":
        totals = aggregates["lmms_eval"]
        expected = {section: totals[f"mme_{section}_score"] for section in ("perception", "cognition")}
    elif protocol == "vlmevalkit":
        expected = {"cognition" if name == "reasoning" else name: v for name, v in aggregates["vlmevalkit"].items()}
    else:
        official = aggregates["official"]
        expected = {"perception": official["perception"], "cognition": official["cognition"], **official["subtasks"]}
    ours = {**metrics, **{name: subtask["score"] for name, subtask in metrics["subtasks"].items()}}
    for name, value in expected.items():
        assert ours[name] == pytest.approx(value, abs=1e-9), name


def test_the_maximum_is_that_of_the_subtasks_that_are_asked():
    dataset = TASK.load("mini")
    scores = score_answers(TASK, "llava", dataset, {sample.id: sample.gold for sample in dataset.samples})
    protocol = TASK.protocol("llava")
    asked = {sample["category"] for sample in scores.samples}
    assert protocol.maximum_of(scores.samples) == 200 * len(asked) == scores.headline.value
    assert protocol.maximum_of(scores.samples, "perception") == scores.headline.value
    assert protocol.maximum_of([{"category": name} for name in SIZES]) == 2000
    assert protocol.maximum_of([{"category": name} for name in SIZES], "cognition") == 800
    assert protocol.maximum_of(scores.samples, "subtasks.color.score") == 200
    interval = scores.intervals["headline"]
    assert interval.low < interval.high == scores.headline.value  # as there is one at 100 %
