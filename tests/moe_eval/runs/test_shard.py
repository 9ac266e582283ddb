"""Dealing a data set out by picture, and what launchers say of themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moe_eval.tasks.pope import TASK

from moe_eval.errors import UserError
from moe_eval.runs.shard import Shard, parse_shard

DATA = TASK.load("mini").first(180)


@given(st.integers(1, 10))
def test_shards_are_all_of_the_data_and_whole_pictures(count):
    shards = [Shard(number, count).of(DATA) for number in range(1, count + 1)]
    assert sorted(sample.id for shard in shards for sample in shard.samples) == sorted(one.id for one in DATA.samples)
    groups = [{sample.group for sample in shard.samples} for shard in shards]
    assert len(set.union(*groups)) == sum(map(len, groups)) == 10
    assert max(map(len, groups)) - min(map(len, groups)) <= 1
    assert not any(shard.official for shard in shards)


def test_fewer_pictures_than_shards_are_refused():
    with pytest.raises(UserError, match="--shard 11/11: mini has only 10 groups of questions here; take fewer shards"):
        Shard(11, 11).of(DATA)


@pytest.mark.parametrize(
    ("text", "environment", "shard"),
    [
        ("2/3", {}, Shard(2, 3)),
        ("torchrun", {"RANK": "0", "WORLD_SIZE": "4"}, Shard(1, 4)),
        (
            "slurm",
            {
                "SLURM_ARRAY_TASK_ID": "7",
                "SLURM_ARRAY_TASK_MIN": "3",
                "SLURM_ARRAY_TASK_STEP": "2",
                "SLURM_ARRAY_TASK_COUNT": "5",
            },
            Shard(3, 5),
        ),
    ],
)
def test_a_shard_is_told_or_in_the_environment(text, environment, shard):
    assert parse_shard(text, environment) == shard


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0/3", "--shard 0/3: I/N is wanted"),
        ("4/3", "--shard 4/3: I/N is wanted"),
        ("half", "--shard half: I/N is wanted"),
        ("slurm", "SLURM_ARRAY_TASK_ID is not in the environment; was this started by slurm"),
        ("torchrun", "RANK is not in the environment; was this started by torchrun"),
    ],
)
def test_what_is_no_shard_is_one_line(text, message):
    with pytest.raises(UserError, match=message):
        parse_shard(text, {})
