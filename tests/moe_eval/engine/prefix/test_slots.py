"""Who sees what in a cache of prefixes and branches."""

import torch

from moe_eval.engine.prefix.slots import PADDING, Slots


def test_a_branch_sees_the_prefix_and_itself():
    slots = Slots(torch.tensor([[False, True], [True, True]]))
    mask = slots.write(torch.tensor([[0, 0, 1], [PADDING, 0, 1]]), torch.float32)
    assert mask.shape == (2, 1, 3, 5)
    seen = (mask[:, 0] == 0).int().tolist()
    assert seen[0] == [[0, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 1, 0, 0, 1]]
    assert seen[1] == [[1, 1, 0, 0, 0], [1, 1, 0, 1, 0], [1, 1, 0, 0, 1]]
    step = slots.write(torch.tensor([[1], [0]]), torch.float32)
    assert (step[:, 0] == 0).int().tolist() == [[[0, 1, 0, 0, 1, 1]], [[1, 1, 0, 1, 0, 1]]]
    slots.keep(torch.tensor([1]))
    assert slots.owner.tolist() == [[-1, -1, PADDING, 0, 1, 0]]
    assert (mask[mask != 0] == torch.finfo(torch.float32).min).all()


def test_what_goes_on_from_a_branch_sees_that_and_no_sibling():
    slots = Slots(torch.tensor([[True]]))
    slots.write(torch.tensor([[0, 1]]), torch.float32)
    step = slots.write(torch.tensor([[2, 3]]), torch.float32, torch.tensor([[1, 1]]))
    assert (step[:, 0] == 0).int().tolist() == [[[1, 0, 1, 1, 0], [1, 0, 1, 0, 1]]]
    alone = slots.write(torch.tensor([[0]]), torch.float32, torch.tensor([[PADDING]]))
    assert (alone[:, 0] == 0).int().tolist() == [[[1, 1, 0, 0, 0, 1]]]
