"""Noise that follows from seed, question and token."""

import pytest
import torch

from moellava.noise import MOST, QuestionNoise, enable_question_noise
from tests.tiny_models import tiny_model

MASK = (1 << 64) - 1


def splitmix64(seed: int, steps: int) -> int:
    """Vigna's C code, in Python's integers: the output after so many steps."""
    state = (seed + steps * 0x9E3779B97F4A7C15) & MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return state ^ (state >> 31)


def drawn(questions, positions, layer=1, experts=4, seed=0) -> torch.Tensor:
    noise = QuestionNoise(seed)
    noise.ask(questions)
    positions = torch.tensor(positions)
    noise.note_positions(None, (), {"inputs_embeds": positions[..., None], "position_ids": positions})
    return noise.uniform(layer, torch.zeros(positions.numel(), experts)).view(*positions.shape, experts)


def test_it_is_splitmix64():
    noise = QuestionNoise(0)
    noise.ask(["q"])
    (key,) = noise._keys
    values = drawn(["q"], [[7]], layer=3)[0, 0]
    expected = [(2 * (splitmix64(key & MASK, (7 * MOST + 3) * MOST + e) >> 41) + 1) / (1 << 24) for e in range(4)]
    assert values.tolist() == expected


def test_neighbours_and_passes_do_not_matter():
    both = drawn(["a", "b"], [[0, 1, 2], [0, 1, 2]])
    assert torch.equal(both[1:, 1:], drawn(["b"], [[1, 2]]))
    assert len(both.unique()) == both.numel()


@pytest.mark.parametrize("other", [{"seed": 1}, {"layer": 2}])
def test_seeds_and_layers_differ(other):
    assert not torch.equal(drawn(["a"], [[0, 1]]), drawn(["a"], [[0, 1]], **other))


def test_it_is_uniform():
    values = drawn([str(number) for number in range(20)], [list(range(500))] * 20)
    assert 0 < values.min() < values.max() < 1
    counts = torch.histc(values, bins=10, min=0, max=1)
    assert (counts - 4_000).abs().max() < 300  # five standard deviations


def test_rows_without_a_question_are_an_error():
    with pytest.raises(ValueError, match="1 questions were named, for a pass of 2 rows"):
        drawn(["a"], [[0], [0]])


def test_it_needs_a_sparse_model():
    with pytest.raises(ValueError, match="no sparse layer"):
        enable_question_noise(tiny_model(layers=()), seed=0)
