"""Experts that are switched off are never chosen, the others share what was theirs, and afterwards all is as before."""

import pytest
import torch

from moellava.experts_off import experts_off
from moellava.routing import RoutingRecorder
from tests.tiny_models import tiny_inputs, tiny_model
from tests.tiny_sparse import tiny_sparse_model

PROMPT = "<image> Is there a cat?"


@pytest.fixture(scope="module")
def model():
    return tiny_model(num_experts=4, top_k=2).eval()


def logits(model):
    with torch.no_grad():
        return model(**tiny_inputs("clip", PROMPT)).logits


def test_what_is_off_is_never_chosen(model):
    with torch.no_grad(), experts_off(model, [(0, 1), (0, 3), (2, 0)]), RoutingRecorder(model) as recorder:
        model(**tiny_inputs("clip", PROMPT))
    chosen = recorder.totals().sum((1, 2))  # [L, E]
    assert (chosen[0] > 0).tolist() == [True, False, True, False]
    assert chosen[1, 0] == 0
    assert chosen[1, 1:].all()


def test_it_is_as_if_their_logits_were_minus_infinity(model):
    inputs = tiny_inputs("clip", PROMPT)
    with torch.no_grad(), experts_off(model, [(0, 2)]):
        off = model(**inputs, output_router_logits=True)
    plain = model(**inputs, output_router_logits=True)
    assert off.router_logits[0][:, 2].isneginf().all()
    kept = [0, 1, 3]
    torch.testing.assert_close(off.router_logits[0][:, kept], plain.router_logits[0][:, kept])


def test_answers_change_and_come_back(model):
    before = logits(model)
    with experts_off(model, [(0, 0), (2, 1)]):
        assert not torch.equal(logits(model), before)
    assert torch.equal(logits(model), before)
    with pytest.raises(RuntimeError), experts_off(model, [(0, 0)]):
        raise RuntimeError("inside")
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize(
    ("off", "said"),
    [
        ([(0, 4)], "no expert 4 in layer 0"),
        ([(1, 0)], "no expert 0 in layer 1"),
        ([(0, -1)], "no expert -1"),
        ([(2, 0), (2, 1), (2, 2)], "fewer experts than the 2"),
    ],
)
def test_what_cannot_be_switched_off_is_refused(model, off, said):
    with pytest.raises(ValueError, match=said), experts_off(model, off):
        pass
    assert torch.isfinite(logits(model)).all()


def test_routers_of_other_models_are_left_alone():
    foreign = tiny_sparse_model("qwen3_vl_moe")
    with pytest.raises(ValueError, match="not ours"), experts_off(foreign, [(0, 0)]):
        pass
