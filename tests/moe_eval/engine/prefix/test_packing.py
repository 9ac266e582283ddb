"""Rows that share a prefix, and packs of them: nothing is lost, and nothing is shared that is not common."""

from hypothesis import given
from hypothesis import strategies as st

from moe_eval.engine.backend import Request
from moe_eval.engine.prefix.budget import Budget
from moe_eval.engine.prefix.packing import BRANCH_TOKENS, Prompt, make_packs, make_rows

TOKENS = st.lists(st.integers(0, 3), min_size=1, max_size=12)


def requests(count: int) -> list[Request]:
    return [Request(str(number), (), "?", 8) for number in range(count)]


def rows_of(prompts: list[list[int]], picture_end: int = 0):
    rows = make_rows([Prompt(*pair) for pair in zip(requests(len(prompts)), prompts, strict=True)], picture_end)
    for row in rows:
        row.take({}, None)
    return rows


@given(st.lists(TOKENS, min_size=1, max_size=8), st.lists(st.integers(0, 3), max_size=6))
def test_every_prompt_is_its_prefix_and_its_branch(prompts, beginning):
    prompts = [beginning + prompt for prompt in prompts]
    rows = rows_of(prompts, len(beginning))
    found = {
        request.id: row.prefix + branch.ids for row in rows for branch in row.branches for request in branch.requests
    }
    assert found == {str(number): prompt for number, prompt in enumerate(prompts)}
    for row in rows:
        assert (len(row.branches) == 1) == (not row.branches[0].ids)
        assert len(row.branches) == 1 or all(branch.ids for branch in row.branches)
        assert len({tuple(branch.ids) for branch in row.branches}) == len(row.branches)


def test_the_picture_is_shared_and_equal_prompts_are_one_branch():
    picture = [7] * 20
    (row,) = rows_of([[1, *picture, 2, 3], [1, *picture, 2, 4, 5], [1, *picture, 2, 3]], 21)
    assert row.prefix == [1, *picture, 2]
    assert [(branch.ids, [request.id for request in branch.requests]) for branch in row.branches] == [
        ([3], ["0", "2"]),
        ([4, 5], ["1"]),
    ]


def test_where_questions_come_before_the_picture_nothing_is_shared():
    rows = rows_of([[1, 2, 7, 7, 3], [1, 4, 7, 7, 3]], 4)
    assert [row.prefix for row in rows] == [[1, 2, 7, 7, 3], [1, 4, 7, 7, 3]]


def test_a_prompt_that_begins_another_one_keeps_a_token_of_its_own():
    (row,) = rows_of([[1, 2, 3], [1, 2, 3, 4]])
    assert (row.prefix, [branch.ids for branch in row.branches]) == ([1, 2], [[3], [3, 4]])


def test_a_row_has_no_more_branch_tokens_than_it_may():
    prompts = [[0, number, *[1] * 99] for number in range(40)]
    rows = rows_of(prompts)
    assert sum(len(row.branches) for row in rows) == 40
    for row in rows:
        assert len(row.branches) * 100 <= BRANCH_TOKENS


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 4)), max_size=12), st.integers(1, 200))
def test_packs_hold_all_rows_within_the_budget(sizes, budget):
    rows = [
        row
        for number, (length, branches) in enumerate(sizes)
        for row in rows_of([[number] * length + [branch] for branch in range(branches)])
    ]
    packs = list(make_packs(rows, Budget(budget)))
    assert [id(row) for pack in packs for row in pack.rows] == [id(row) for row in rows]
    for pack in packs:
        assert len({row.kind for row in pack.rows}) == 1
        slots = len(pack.rows) * (
            max(len(row.prefix) for row in pack.rows)
            + max(len(row.branches) for row in pack.rows)
            * max(len(branch.ids) for row in pack.rows for branch in row.branches)
        )
        assert slots <= budget or len(pack.rows) == 1


def test_what_has_ended_is_not_begun_again():
    (row,) = rows_of([[1, 2], [1, 3], [1, 4]])
    row.branches[0].ended = True
    row.branches[1].generated = [9]
    halves = row.halves()
    assert [[branch.ids for branch in half.branches] for half in halves] == [[[3]], [[4]]]
    assert not any(branch.generated for half in halves for branch in half.branches)
