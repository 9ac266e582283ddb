"""Batches hold one kind of item of similar length, the same for the same seed, and every rank gets its share."""

from hypothesis import given
from hypothesis import strategies as st

from moellava.training.grouping import ModalityLengthSampler

LENGTHS = st.lists(st.integers(-50, 50).filter(bool), max_size=80)


def cut(order: list[int], size: int) -> list[list[int]]:
    return [order[start : start + size] for start in range(0, len(order), size)]


@given(LENGTHS, st.integers(1, 4), st.integers(1, 4), st.integers(0, 3))
def test_every_item_comes_once(lengths, batch_size, batches, epoch):
    order = list(ModalityLengthSampler(lengths, batch_size, batches, epoch=epoch))
    assert sorted(order) == list(range(len(lengths)))


@given(LENGTHS, st.integers(1, 4), st.integers(1, 4))
def test_only_the_last_steps_can_mix_pictures_and_text(lengths, batch_size, batches):
    size = batch_size * batches
    pictures = sum(length > 0 for length in lengths)
    texts = len(lengths) - pictures
    # the last megabatch of each kind, whole or not, is merged into one at the end
    pure = max(0, -(-pictures // size) - 1) + max(0, -(-texts // size) - 1) if pictures and texts else 0
    order = list(ModalityLengthSampler(lengths, batch_size, batches))
    for megabatch in cut(order, size)[:pure]:
        assert len({lengths[item] > 0 for item in megabatch}) == 1


def test_a_step_is_sorted_by_length_and_dealt_evenly_to_its_batches():
    lengths = [1, 2, 3, 4, 5, 6, 7, 8]
    first, second = cut(list(ModalityLengthSampler(lengths, 4, 2)), 4)
    assert sum(lengths[item] for item in first) == sum(lengths[item] for item in second)
    assert [lengths[item] for item in first] == sorted((lengths[item] for item in first), reverse=True)


def test_the_order_depends_on_seed_and_epoch_alone():
    lengths = list(range(1, 101))
    sampler = ModalityLengthSampler(lengths, 4, 2, seed=1)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    second = list(sampler)
    assert second != first
    assert list(ModalityLengthSampler(lengths, 4, 2, seed=1, epoch=1)) == second
    assert list(ModalityLengthSampler(lengths, 4, 2, seed=2)) != first


def test_seeds_do_not_repeat_the_epochs_of_other_seeds():
    lengths = list(range(1, 101))
    assert list(ModalityLengthSampler(lengths, 4, seed=1, epoch=1)) != list(ModalityLengthSampler(lengths, 4, seed=2))


@given(LENGTHS, st.integers(1, 4), st.integers(1, 3))
def test_ranks_share_the_batches_in_turn(lengths, batch_size, ranks):
    whole = list(ModalityLengthSampler(lengths, batch_size, ranks))
    shares = [ModalityLengthSampler(lengths, batch_size, ranks, rank=rank, world_size=ranks) for rank in range(ranks)]
    assert [len(share) for share in shares] == [len(list(share)) for share in shares]
    batches = [iter(cut(list(share), batch_size)) for share in shares]
    assert [item for n in range(len(cut(whole, batch_size))) for item in next(batches[n % ranks])] == whole


def test_a_run_goes_on_where_it_stopped():
    lengths = [*range(1, 31), *range(-20, 0)]
    whole = list(ModalityLengthSampler(lengths, 2, 2, epoch=3))
    assert list(ModalityLengthSampler(lengths, 2, 2, epoch=3, skip=12)) == whole[12:]
