"""Laws of gating, DeepSpeed's gating told by a loop, experts implementations that agree, and the balancing loss."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.phi3.modeling_phi3 import Phi3Config, Phi3MLP

from moellava.moe import SparseMoeBlock, TopKRouter, load_balancing_loss, top_k_gating
from tests.tiny_models import randomize, tiny_config, tiny_inputs, tiny_model

SEEDS = st.integers(0, 2**31)


def random_logits(seed: int, tokens: int, experts: int) -> torch.Tensor:
    return 2 * torch.randn(tokens, experts, generator=torch.Generator().manual_seed(seed))


@st.composite
def gating_cases(draw, least=1, most=3):
    """Router logits [T, E], T up to 24 and E up to 8, and a top_k."""
    top_k = draw(st.integers(least, most))
    return random_logits(draw(SEEDS), draw(st.integers(1, 24)), draw(st.integers(max(top_k, 2), 8))), top_k


capacities = st.integers(1, 12)
two_or_more = gating_cases(least=2)


# Gating: laws


@given(two_or_more)
def test_weights_of_two_or_more_choices_sum_to_one(case):
    weights, _ = top_k_gating(*case)
    torch.testing.assert_close(weights.sum(-1), torch.ones(len(weights)))


@given(gating_cases(most=1))
def test_the_weight_of_a_single_choice_is_its_probability(case):
    weights, experts = top_k_gating(*case)
    torch.testing.assert_close(weights, case[0].softmax(-1).gather(-1, experts))


@given(gating_cases())
def test_choices_are_the_most_probable_experts_best_first(case):
    logits, top_k = case
    _, experts = top_k_gating(logits, top_k)
    assert torch.equal(experts, logits.topk(top_k, dim=-1).indices)


@given(two_or_more)
def test_weights_are_in_proportion_to_the_probabilities(case):
    weights, experts = top_k_gating(*case)
    chosen = case[0].softmax(-1).gather(-1, experts)
    torch.testing.assert_close(weights, chosen / chosen.sum(-1, keepdim=True))


@given(gating_cases(), capacities)
def test_no_expert_gets_more_than_its_places(case, capacity):
    weights, experts = top_k_gating(*case, capacity=capacity)
    assert torch.bincount(experts[weights > 0], minlength=8).max() <= capacity


@given(gating_cases(), capacities)
def test_no_place_stays_free_while_a_choice_is_dropped(case, capacity):
    weights, experts = top_k_gating(*case, capacity=capacity)
    taken = torch.bincount(experts[weights > 0], minlength=8)
    wanted = torch.bincount(experts.flatten(), minlength=8)
    assert torch.equal(taken, wanted.clamp(max=capacity))


@given(gating_cases(), capacities)
def test_places_go_to_first_choices_before_second_ones_and_to_earlier_rows(case, capacity):
    weights, experts = top_k_gating(*case, capacity=capacity)
    in_order = list(zip(experts.T.flatten().tolist(), (weights > 0).T.flatten().tolist(), strict=True))
    full = set()
    for expert, kept in in_order:
        assert not (kept and expert in full)
        if not kept:
            full.add(expert)


@given(gating_cases(least=2, most=2), capacities)
def test_a_lost_choice_leaves_its_weight_to_the_other(case, capacity):
    weights, _ = top_k_gating(*case, capacity=capacity)
    survivors = (weights > 0).sum(-1)
    torch.testing.assert_close(weights.sum(-1), (survivors > 0).float())
    torch.testing.assert_close(weights[survivors == 1].amax(-1), torch.ones(int((survivors == 1).sum())))


@given(gating_cases())
def test_a_capacity_of_all_tokens_drops_nothing(case):
    plain, dropped = top_k_gating(*case), top_k_gating(*case, capacity=len(case[0]))
    assert torch.equal(plain[0], dropped[0])
    assert torch.equal(plain[1], dropped[1])


@given(two_or_more, SEEDS)
def test_noise_picks_every_expert_but_the_first_and_weighs_none(case, seed):
    logits, top_k = case
    noise = random_logits(seed, *logits.shape)
    weights, experts = top_k_gating(logits, top_k, second_choice_noise=noise)
    assert torch.equal(experts[:, 0], logits.argmax(-1))
    others = (logits + noise).scatter(-1, experts[:, :1], -torch.inf)
    assert torch.equal(experts[:, 1:], others.topk(top_k - 1, dim=-1).indices)
    chosen = logits.softmax(-1).gather(-1, experts)
    torch.testing.assert_close(weights, chosen / chosen.sum(-1, keepdim=True))


@given(gating_cases(most=1), capacities, SEEDS)
def test_single_choices_of_highest_priority_keep_their_place(case, capacity, seed):
    logits, _ = case
    priority = torch.rand(logits.shape, generator=torch.Generator().manual_seed(seed)) + 0.01
    weights, experts = top_k_gating(logits, 1, capacity=capacity, drop_priority=priority)
    for expert in range(logits.shape[-1]):
        chose = experts[:, 0] == expert
        kept = chose & (weights[:, 0] > 0)
        best = (priority[:, expert] * chose).topk(min(capacity, int(chose.sum()))).indices
        assert sorted(best.tolist()) == kept.nonzero()[:, 0].tolist()


# Gating: the original, told by loops


def top2gating_by_loops(logits: np.ndarray, capacity: int, noise: np.ndarray | None = None) -> tuple[np.ndarray, float]:
    """Combine weights [T, E] and l_aux of DeepSpeed's `top2gating`, one token at a time (spec/checkpoints.md, 6)."""
    tokens, experts = logits.shape
    gates = np.exp(logits - logits.max(axis=1, keepdims=True))
    gates /= gates.sum(axis=1, keepdims=True)
    first = [max(range(experts), key=lambda e: gates[t, e]) for t in range(tokens)]
    wanted = logits if noise is None else logits + noise
    second = [max((e for e in range(experts) if e != first[t]), key=lambda e: wanted[t, e]) for t in range(tokens)]

    places_left = [capacity] * experts
    combine = np.zeros_like(gates)
    for choice in (first, second):
        for token in range(tokens):
            expert = choice[token]
            if places_left[expert] > 0:
                places_left[expert] -= 1
                combine[token, expert] = gates[token, expert]
    for token in range(tokens):
        if combine[token].any():
            combine[token] /= combine[token].sum()

    share = np.bincount(first, minlength=experts) / tokens
    return combine, float(experts * (gates.mean(axis=0) * share).sum())


@given(
    SEEDS, st.integers(1, 40), st.sampled_from([2, 3, 4, 8]), st.sampled_from([0.1, 0.5, 1.0, 1.5, 2.0]), st.booleans()
)
def test_top_2_gating_equals_the_original(seed, tokens, experts, factor, noisy):
    logits = random_logits(seed, tokens, experts)
    noise = random_logits(seed + 1, tokens, experts) if noisy else None
    capacity = math.ceil(tokens / experts * factor * 2)
    weights, chosen = top_k_gating(logits, 2, capacity=capacity, second_choice_noise=noise)
    expected, l_aux = top2gating_by_loops(
        logits.double().numpy(), capacity, None if noise is None else noise.double().numpy()
    )
    combine = torch.zeros_like(logits).scatter(-1, chosen, weights)
    torch.testing.assert_close(combine.double(), torch.from_numpy(expected), rtol=0, atol=1e-6)
    assert load_balancing_loss([logits]).item() == pytest.approx(l_aux, rel=1e-5)


# Router


def survivors(router: TopKRouter, tokens: int) -> int:
    """How many of `tokens` equal rows, which all want the same experts, reach their first choice."""
    _, weights, _ = router(torch.ones(tokens, 32))
    return int((weights[:, 0] > 0).sum())


@pytest.mark.parametrize(("experts", "top_k", "tokens"), [(4, 2, 10), (8, 2, 129), (3, 2, 7), (4, 1, 5)])
def test_capacity_is_the_rounded_up_share_times_factor_and_top_k(experts, top_k, tokens):
    moe = {"capacity_factor": 0.5, "eval_capacity_factor": 1.25}
    config = tiny_config(num_experts=experts, top_k=top_k, drop_tokens=True, **moe)
    router = randomize(TopKRouter(config, experts, 32))
    for mode, factor in ((True, 0.5), (False, 1.25)):
        places = math.ceil(tokens * factor * top_k / experts)
        assert survivors(router.train(mode), tokens) == min(places, tokens)


def test_capacity_does_not_fall_below_the_least():
    config = tiny_config(drop_tokens=True, eval_capacity_factor=0.1, min_capacity=7)
    assert survivors(randomize(TopKRouter(config, 4, 32)).eval(), 20) == 7


def test_nothing_is_dropped_unless_asked_for():
    config = tiny_config(eval_capacity_factor=0.1)
    assert survivors(randomize(TopKRouter(config, 4, 32)).eval(), 20) == 20


@pytest.mark.parametrize("autocast", [False, True])
def test_the_router_of_a_bfloat16_model_works_in_float32(autocast):
    model = tiny_model().to(torch.bfloat16)
    router = model.model.sparse_blocks()[0].router
    hidden = torch.randn(6, 32, generator=torch.Generator().manual_seed(0)).bfloat16()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        logits, weights, _ = router(hidden)
    assert logits.dtype == weights.dtype == torch.float32
    torch.testing.assert_close(logits, hidden.float() @ router.weight.float().T)


# Experts


def layer(backbone: str, num_experts: int = 4, top_k: int = 2, text=None) -> SparseMoeBlock:
    """The first sparse layer of a model: "llama" has gated experts without bias, "phi" plain ones with bias."""
    return tiny_model(backbone, num_experts=num_experts, top_k=top_k, text=text).model.sparse_blocks()[0]


EXPERTS = pytest.mark.parametrize(
    ("backbone", "text"),
    [("llama", None), ("phi", None), ("llama", {"mlp_bias": True})],
    ids=["gated", "plain", "both"],
)


def feed_forward(block: SparseMoeBlock, expert: int, hidden: torch.Tensor) -> torch.Tensor:
    """One expert's output, from its slice of the stacked weights."""
    weights = {name: parameter[expert] for name, parameter in block.experts.named_parameters()}
    if "gate_up_proj" in weights:
        gate, up = (hidden @ weights["gate_up_proj"].T + weights.get("gate_up_proj_bias", 0)).chunk(2, dim=-1)
        activated = torch.nn.functional.silu(gate) * up
    else:
        up = hidden @ weights["up_proj"].T + weights.get("up_proj_bias", 0)
        activated = torch.nn.functional.gelu(up, approximate="tanh")
    return activated @ weights["down_proj"].T + weights.get("down_proj_bias", 0)


@EXPERTS
@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_a_sparse_layer_is_the_weighted_sum_of_its_experts(backbone, text, top_k):
    block = layer(backbone, top_k=top_k, text=text)
    hidden = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(1))
    _, weights, experts = block.router(hidden.view(10, 32))
    expected = torch.zeros(10, 32)
    for token in range(10):
        for weight, expert in zip(weights[token], experts[token], strict=True):
            expected[token] += weight * feed_forward(block, int(expert), hidden.view(10, 32)[token])
    torch.testing.assert_close(block(hidden), expected.view(2, 5, 32), rtol=0, atol=1e-5)


@EXPERTS
@pytest.mark.parametrize("implementation", ["batched_mm", "grouped_mm"])
def test_experts_implementations_agree(backbone, text, implementation):
    inputs = tiny_inputs("clip", "What is <image>?", "Nothing.", padding=True)
    model = tiny_model(backbone, text=text)
    model.set_experts_implementation("eager")
    expected = model(**inputs).logits
    model.set_experts_implementation(implementation)
    torch.testing.assert_close(model(**inputs).logits, expected, rtol=0, atol=1e-5)


@EXPERTS
@pytest.mark.parametrize("implementation", ["batched_mm", "grouped_mm"])
def test_experts_implementations_agree_in_their_gradients(backbone, text, implementation):
    hidden = torch.randn(12, 32, generator=torch.Generator().manual_seed(1))
    gradients = []
    for name in ("eager", implementation):
        model = tiny_model(backbone, text=text)
        model.set_experts_implementation(name)
        block = model.model.sparse_blocks()[0]
        block(hidden).pow(2).mean().backward()
        gradients.append({name: parameter.grad for name, parameter in block.named_parameters()})
    for name, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("implementation", ["eager", "batched_mm", "grouped_mm"])
def test_an_expert_that_nobody_chose_does_no_harm(implementation):
    model = tiny_model(num_experts=8)
    model.set_experts_implementation(implementation)
    block = model.model.sparse_blocks()[0]
    hidden = torch.ones(1, 32)
    block(hidden).sum().backward()
    idle = [e for e in range(8) if e not in block.router(hidden)[2][0].tolist()]
    assert len(idle) == 6
    assert block.experts.down_proj.grad[idle].abs().max() == 0


def test_a_choice_that_was_dropped_gives_nothing():
    block = layer("phi")
    block.router.moe.drop_tokens, block.router.moe.eval_capacity_factor = True, 0.1
    hidden = torch.ones(1, 20, 32)
    assert block(hidden)[0, 0].abs().max() > 0
    assert block(hidden)[0, 1:].abs().max() == 0


def test_a_feed_forward_layer_of_unknown_form_cannot_be_made_sparse():
    mlp = Phi3MLP(Phi3Config(hidden_size=32, intermediate_size=48))
    with pytest.raises(TypeError, match="Phi3MLP has neither gate_proj, up_proj, down_proj nor fc1, fc2"):
        SparseMoeBlock(tiny_config(), 4, mlp)


# Balancing loss


def test_the_balancing_loss_is_one_per_layer_when_balanced():
    balanced = torch.eye(4).repeat(3, 1)
    assert load_balancing_loss([balanced]).item() == pytest.approx(1.0)
    assert load_balancing_loss([balanced, 5 * balanced]).item() == pytest.approx(2.0)


def test_the_balancing_loss_is_the_number_of_experts_when_one_gets_all():
    logits = torch.zeros(6, 4)
    logits[:, 2] = 100.0
    assert load_balancing_loss([logits]).item() == pytest.approx(4.0)


def test_padding_rows_are_left_out_of_the_balancing_loss_with_a_mask():
    logits = random_logits(0, 12, 4)
    mask = torch.tensor([[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0]])
    expected = load_balancing_loss([logits[mask.flatten().bool()]])
    torch.testing.assert_close(load_balancing_loss([logits], mask), expected)


def test_padding_rows_count_in_the_balancing_loss_without_a_mask():
    logits = random_logits(0, 12, 4)
    padded = torch.cat([logits, torch.zeros(4, 4)])
    assert load_balancing_loss([padded]) != load_balancing_loss([logits])


def test_the_balancing_loss_moves_the_router_towards_balance():
    logits = (random_logits(0, 50, 4) + torch.tensor([2.0, 0.0, 0.0, 0.0])).requires_grad_()
    load_balancing_loss([logits]).backward()
    assert logits.grad[:, 0].sum() > 0
    assert logits.grad[:, 1:].sum() < 0


def test_layers_may_have_different_numbers_of_experts():
    first, second = random_logits(0, 9, 3), random_logits(1, 9, 8)
    torch.testing.assert_close(
        load_balancing_loss([first, second]), load_balancing_loss([first]) + load_balancing_loss([second])
    )


def test_a_feed_forward_layer_without_named_activation_cannot_be_made_sparse():
    config = AutoConfig.for_model("bloom", hidden_size=32, n_head=2, n_layer=1, vocab_size=8)
    mlp = AutoModelForCausalLM.from_config(config).transformer.h[0].mlp
    with pytest.raises(TypeError, match="BloomMLP has neither gate_proj, up_proj, down_proj nor fc1, fc2"):
        SparseMoeBlock(tiny_config(), 4, mlp)
