"""Answers files with every mistake that people make."""

import json
from pathlib import Path

import pytest
from moe_eval.tasks.pope import TASK

from moe_eval.commands.score import score_file
from moe_eval.errors import UserError

IDS = [int(sample.id) for sample in TASK.load("official").samples]


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def llava_answers(**changed: object) -> list[dict]:
    return [{"question_id": number, "text": "Yes", **changed} for number in IDS]


def score(path: Path, allow_missing: bool = False) -> str:
    return score_file("pope", path, None, "llava", allow_missing, as_json=False)


def test_order_of_lines_does_not_matter(tmp_path):
    lines = [{"question_id": number, "text": "No" if number % 3 else "Yes"} for number in IDS]
    assert score(write(tmp_path / "a.jsonl", *lines)) == score(write(tmp_path / "b.jsonl", *reversed(lines)))


def test_our_own_journal_is_read_too(tmp_path):
    lines = [{"id": str(n), "response": "Yes", "tokens": 2, "finish_reason": "stop"} for n in IDS]
    path = write(tmp_path / "ours.jsonl", *lines)
    assert score(path) == score(write(tmp_path / "llava.jsonl", *llava_answers()))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda lines: [*lines[:811], "{'a'", *lines[811:]], r"answers\.jsonl line 812: not valid JSON"),
        (lambda lines: [*lines, ["a list"]], r"line 8911: a JSON object is expected, not list"),
        (lambda lines: [*lines, lines[4]], r"line 8911: id 5 was answered in line 5 already"),
        (
            lambda lines: [{"question_id": 30001, "text": "Yes"}, *lines[1:]],
            r"line 1: id 30001 is not in the data \(8,910 ids, official:old\)",
        ),
        (
            lambda lines: lines[:-2],
            r"answers 8,908 of 8,910 questions.*2 are missing, the first is id 20002999",
        ),
        (lambda lines: [{"text": "Yes"}, *lines[1:]], r"line 1: neither an answer of ours .* nor of LLaVA's"),
        (lambda lines: [{"question_id": 1, "text": None}, *lines[1:]], r"line 1: the answer is a NoneType"),
    ],
)
def test_wrong_answers_files_get_one_clear_line(tmp_path, spoil, message):
    with pytest.raises(UserError, match=message) as caught:
        score(write(tmp_path / "answers.jsonl", *spoil(llava_answers())))
    assert "\n" not in str(caught.value)


def test_missing_answers_can_be_left_out(tmp_path):
    text = score(write(tmp_path / "answers.jsonl", *llava_answers()[:6000]), allow_missing=True)
    assert "6,000 of 8,910 questions" in text
    assert "2,910 questions without an answer are left out" in text


def test_no_answers_at_all_is_an_error(tmp_path):
    with pytest.raises(UserError, match="not one of the 8910 questions"):
        score(write(tmp_path / "answers.jsonl"), allow_missing=True)


def test_truncated_gzip_is_named(tmp_path):
    whole = Path(__file__).parents[2] / "data" / "llava15_13b" / "pope.jsonl.gz"
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(whole.read_bytes()[:9000])
    with pytest.raises(UserError, match=r"cut\.jsonl\.gz: cut off after line \d+"):
        score(path)


def test_plain_text_called_gz_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot be read: Not a gzipped file"):
        score(write(tmp_path / "answers.jsonl.gz", *llava_answers()))
