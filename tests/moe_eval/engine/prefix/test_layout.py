"""Branches one behind the other: every token is there once, in order, and the last ones stand at the same places in every row."""

from moe_eval.engine.backend import Request
from moe_eval.engine.prefix.layout import NOTHING, laid_out
from moe_eval.engine.prefix.packing import Branch, Row


def row(*branches: list[int]) -> Row:
    return Row([9, 9], [Branch([Request("a", (), "?", 4)], ids) for ids in branches])


def test_last_tokens_come_last():
    assert laid_out(row([1, 2, 3], [4]), count=3, depth=1) == [(1, 0, 2), (2, 0, 3), (3, 0, 4), (4, 1, 2), NOTHING]


def test_of_each_branch_as_many_as_are_predicted_from_or_padding_before_them():
    assert laid_out(row([1, 2, 3], [4]), count=2, depth=2) == [(1, 0, 2), (2, 0, 3), (3, 0, 4), NOTHING, (4, 1, 2)]
