"""TextVQA: scores, prompts and data, against what the original gave."""

import json
import random
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moe_eval.tasks.textvqa import TASK
from moe_eval.tasks.textvqa.data import answer_id, question_of_prompt

from moe_eval.errors import UserError
from moe_eval.files.jsonl import read_jsonl
from moe_eval.images import NamedImage
from moe_eval.metrics.answer_text import normalise_m4c
from moe_eval.scoring.answers import read_answers
from moe_eval.task import Sample
from tests.tables import write_tsv
from tests.vectors import read_expected, read_vectors

DATA = Path(__file__).parents[1] / "data"
QUESTIONS = DATA / "llava" / "textvqa" / "llava_textvqa_val_v051_ocr.jsonl"
VECTORS = "textvqa"


def sample(answers: list[str], **meta: str) -> Sample:
    return Sample("a:what is it?", "What IS it?", (NamedImage("a.jpg"),), tuple(answers), group="a.jpg", meta=meta)


def test_prompts_of_the_protocols():
    suffix = "\nAnswer the question using a single word or phrase."
    names = ("llava", "lmms-eval", "vlmevalkit")
    prompts = {name: TASK.protocol(name).prompt(sample([], ocr="A, b")) for name in names}
    assert prompts == {
        "llava": "What IS it?\nReference OCR token: A, b" + suffix,
        "lmms-eval": "What is it?" + suffix,
        "vlmevalkit": "What IS it?" + suffix,
    }


def test_line_of_ocr_tokens_is_there_without_tokens():
    prompt = TASK.protocol("llava").prompt(sample([], ocr=""))
    assert prompt.split("\n")[1] == "Reference OCR token: "


def test_llava_cannot_ask_data_without_ocr_tokens():
    with pytest.raises(UserError, match="no OCR tokens"):
        TASK.protocol("llava").prompt(sample([]))


@given(st.text(), st.lists(st.text(max_size=5), min_size=10, max_size=10))
def test_any_answer_scores_between_0_and_1(response, answers):
    for protocol in TASK.protocols.values():
        assert 0 <= protocol.score(sample(answers), response)["score"] <= 1


@given(st.randoms(use_true_random=False))
def test_order_of_samples_changes_no_score(shuffler: random.Random):
    answers = ["yes", "no", *map(str, range(8))]
    for protocol in TASK.protocols.values():
        scores = [protocol.score(sample(answers), r) for r in shuffler.choices(["yes", "1", "cat"], k=50)]
        assert protocol.aggregate(shuffler.sample(scores, 50)) == protocol.aggregate(scores)


@given(st.text())
def test_questions_are_found_in_any_prompt_or_refused(prompt):
    with suppress(ValueError):
        assert question_of_prompt(prompt) == question_of_prompt(prompt).lower()


# --- data -------------------------------------------------------------------------------------------------------


def write_llava_folder(folder: Path, drop: int = 0, **change: object) -> Path:
    """The sample of LLaVA's question file, and annotations for all but the first `drop` of its questions."""
    (folder / QUESTIONS.name).write_bytes(QUESTIONS.read_bytes())
    lines = [line for _, line in read_jsonl(QUESTIONS)]
    records = [
        {
            "image_id": line["question_id"],
            "question": line["text"].split("\n")[0].upper(),
            "question_id": number,
            "answers": ["cat"] * 10,
            **change,
        }
        for number, line in enumerate(lines)
    ]
    (folder / "TextVQA_0.5.1_val.json").write_text(json.dumps({"dataset_type": "val", "data": records[drop:]}))
    return folder


def test_prompts_are_the_lines_of_llavas_question_file(tmp_path):
    dataset = TASK.load(f"llava:{write_llava_folder(tmp_path)}")
    lines = [line for _, line in read_jsonl(QUESTIONS)]
    assert [TASK.protocol("llava").prompt(s) for s in dataset.samples] == [line["text"] for line in lines]
    assert dataset.samples[0].images[0].path == tmp_path / "train_images" / lines[0]["image"]
    assert {s.gold for s in dataset.samples} == {("cat",) * 10}


def test_answers_of_llava_are_joined_by_picture_and_question(tmp_path):
    dataset = TASK.load(f"llava:{write_llava_folder(tmp_path)}")
    lines = [
        {"question_id": s.id.split(":")[0], "prompt": TASK.protocol("llava").prompt(s), "text": s.question}
        for s in reversed(dataset.samples)
    ]
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_answers(TASK, dataset, path) == {s.id: s.question for s in dataset.samples}


def test_stored_prompt_without_a_question_is_named(tmp_path):
    dataset = TASK.load(f"llava:{write_llava_folder(tmp_path)}")
    path = tmp_path / "answers.jsonl"
    path.write_text('{"question_id": "003a8ae2ef43b901", "prompt": "What?", "text": "cat"}\n')
    with pytest.raises(UserError, match=r"answers\.jsonl line 1.*no TextVQA question in the prompt 'What\?'"):
        read_answers(TASK, dataset, path)


def test_question_without_annotation_is_named(tmp_path):
    with pytest.raises(UserError, match=r"line 1: .*TextVQA_0\.5\.1_val\.json has no question 'What is the brand of"):
        TASK.load(f"llava:{write_llava_folder(tmp_path, drop=1)}")


def test_annotation_without_ten_answers_is_named(tmp_path):
    with pytest.raises(UserError, match=r"TextVQA_0\.5\.1_val\.json record 1: answers holds 3 answers"):
        TASK.load(f"llava:{write_llava_folder(tmp_path, answers=['a', 'b', 'c'])}")


def test_tsv_is_asked_as_vlmevalkit_asks(tmp_path):
    path = write_tsv(tmp_path / "TextVQA_VAL.tsv", {"question": ["A b C?"], "answer": [str(["cat"] * 10)]})
    (only,) = TASK.load(f"tsv:{path}").samples
    assert TASK.protocol("vlmevalkit").prompt(only).startswith("A b C?\n")
    assert only.gold == ("cat",) * 10


# --- vectors ----------------------------------------------------------------------------------------------------


def test_vectors_are_scored_as_by_the_originals(vectors_folder: Path):
    """Every score, normalised text and aggregate of LLaVA's evaluator, of lmms-eval and of VLMEvalKit."""
    expected = read_expected(vectors_folder)
    scores: dict[str, list] = {name: [] for name in TASK.protocols}
    for vector in read_vectors(vectors_folder):
        original, where = vector["expected"], vector["id"]
        ours = {name: p.score(sample(vector["gold"]), vector["prediction"]) for name, p in TASK.protocols.items()}
        assert ours["llava"]["prediction"] == original["llava_m4c_pred"], where
        assert [normalise_m4c(answer) for answer in vector["gold"]] == original["llava_m4c_gold"], where
        assert ours["vlmevalkit"]["prediction"] == original["vlmevalkit_pred"], where
        for name, key in (("llava", "llava_m4c"), ("lmms-eval", "lmms_eval"), ("vlmevalkit", "vlmevalkit")):
            assert ours[name]["score"] == pytest.approx(original[key], abs=1e-9), where
            scores[name].append(ours[name])
    for name, key in (("llava", "llava_m4c"), ("lmms-eval", "lmms_eval"), ("vlmevalkit", "vlmevalkit")):
        result = TASK.protocol(name).aggregate(scores[name])
        assert result.headline / 100 == pytest.approx(expected[key], abs=1e-9)
    printed = TASK.protocol("llava").aggregate(scores["llava"]).headline
    assert printed == pytest.approx(float(expected["llava_printed_percent"]), abs=0.005 + 1e-9)


def test_vectors_join_stored_prompts_to_questions(vectors_folder: Path):
    for vector in read_vectors(vectors_folder, "prompts"):
        if isinstance(vector["question"], dict):
            with pytest.raises(ValueError, match="no TextVQA question"):
                question_of_prompt(vector["prompt"])
        else:
            assert question_of_prompt(vector["prompt"]) == vector["question"]
            assert answer_id({"question_id": "x", "prompt": vector["prompt"]}) == f"x:{vector['question']}"
