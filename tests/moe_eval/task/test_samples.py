"""Data sets, independent of any benchmark."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_eval.images import NamedImage
from moe_eval.task import Dataset, Sample


def make_dataset(groups: list[int]) -> Dataset:
    samples = [
        Sample(id=f"{group}.{member}", question="?", images=(NamedImage("a"),), gold="yes", group=str(group))
        for group, size in enumerate(groups)
        for member in range(size)
    ]
    return Dataset(source="made", version="made", samples=samples, official=True)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.integers(1, 50))
def test_first_keeps_whole_groups_and_the_limit_but_for_the_first_group(groups, limit):
    dataset = make_dataset(groups)
    kept = dataset.first(limit)
    assert 1 <= len(kept.samples) <= max(limit, groups[0])
    if limit >= len(dataset.samples):
        assert kept is dataset
    else:
        complete = [str(group) for group, size in enumerate(groups) for _ in range(size)]
        assert [s.group for s in kept.samples] == complete[: len(kept.samples)]
        assert len(kept.samples) in [sum(groups[:n]) for n in range(1, len(groups) + 1)]


def test_a_part_is_not_official():
    part = make_dataset([2, 2]).first(2)
    assert (part.official, part.version) == (False, "made, first 2 of 4")


@pytest.mark.parametrize("change", [{"id": "x"}, {"question": "!"}, {"gold": "no"}, {"images": (NamedImage("b"),)}])
def test_fingerprint_covers_what_decides_a_score(change):
    dataset = make_dataset([2])
    changed = replace(dataset, samples=[replace(dataset.samples[0], **change), dataset.samples[1]])
    assert changed.fingerprint != dataset.fingerprint
