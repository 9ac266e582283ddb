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
