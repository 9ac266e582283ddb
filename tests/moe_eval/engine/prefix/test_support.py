"""What keeps a model from the prefix engine is said in words."""

import pytest
from transformers import GenerationConfig, LlavaConfig, PaliGemmaConfig

from moe_eval.engine.choose import choose_backend
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.models import ModelSource
from moe_eval.engine.prefix.backend import PrefixBackend
from moe_eval.engine.prefix.support import why_not
from moe_eval.errors import UserError
from moellava import MoEConfig, MoELlavaConfig

PLAIN = GenerationConfig()


def test_a_tested_architecture_with_nothing_special_is_answered():
    assert why_not(LlavaConfig(), PLAIN) is None
    assert why_not(MoELlavaConfig(moe=MoEConfig(layers=[0])), PLAIN) is None


@pytest.mark.parametrize(
    ("config", "generation", "noise", "reason"),
    [
        (PaliGemmaConfig(), PLAIN, False, "paligemma is not among the architectures"),
        (MoELlavaConfig(moe=MoEConfig(layers=[0], drop_tokens=True)), PLAIN, False, "the experts drop tokens"),
        (MoELlavaConfig(moe=MoEConfig(layers=[0])), PLAIN, True, "noise of the routers"),
        (LlavaConfig(), GenerationConfig(repetition_penalty=1.1), False, "sets repetition_penalty"),
        (LlavaConfig(), GenerationConfig(suppress_tokens=[3]), False, "sets suppress_tokens"),
    ],
)
def test_reasons(config, generation, noise, reason):
    assert reason in why_not(config, generation, noise)


def test_auto_takes_what_can_run_and_says_why_not():
    backend, reason = choose_backend(ModelSource("moe-llava-nano", device="cpu"))
    assert isinstance(backend, PrefixBackend)
    assert reason is None
    noisy = ModelSource("moe-llava-nano", device="cpu", router_noise_seed=1)
    backend, reason = choose_backend(noisy)
    assert isinstance(backend, GenerateBackend)
    assert "noise" in reason
    with pytest.raises(UserError, match="--engine prefix: moe-llava-nano: the noise"):
        choose_backend(noisy, "prefix")
    with pytest.raises(UserError, match="unknown engine 'vllm'"):
        choose_backend(noisy, "vllm")
    assert isinstance(choose_backend(ModelSource("moe-llava-nano", device="cpu"), "generate")[0], GenerateBackend)
