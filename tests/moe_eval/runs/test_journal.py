"""A journal's lines are answers, or are named."""

import json

import pytest

from moe_eval.errors import UserError
from moe_eval.runs.journal import read_responses

GOOD = {"id": "1", "response": "yes", "tokens": 1, "finish_reason": "stop"}


@pytest.mark.parametrize("change", [{"response": None}, {"response": 7}, {"id": None}, {"id": ["1"]}])
def test_an_answer_that_is_no_text_is_named(tmp_path, change):
    path = tmp_path / "responses.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in (GOOD, {**GOOD, "id": "2", **change})))
    with pytest.raises(UserError, match=r"responses\.jsonl line 2: not an answer of ours: its (id|response) is"):
        read_responses(path)


def test_a_line_that_is_nested_too_deeply_is_named(tmp_path):
    path = tmp_path / "responses.jsonl"
    path.write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"line 1: nested too deeply"):
        read_responses(path)
