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
    ("config", "generation", "reason"),
    [
        (PaliGemmaConfig(), PLAIN, "paligemma is not among the architectures"),
        (MoELlavaConfig(moe=MoEConfig(layers=[0], drop_tokens=True)), PLAIN, "the experts drop tokens"),
        (LlavaConfig(), GenerationConfig(repetition_penalty=1.1), "sets repetition_penalty"),
        (LlavaConfig(), GenerationConfig(suppress_tokens=[3]), "sets suppress_tokens"),
    ],
)
def test_reasons(config, generation, reason):
    assert reason in why_not(config, generation)


def test_auto_takes_what_can_run_and_says_why_not():
    backend, reason = choose_backend(ModelSource("moe-llava-nano", device="cpu"))
    assert isinstance(backend, PrefixBackend)
    assert reason is None
    noisy = ModelSource("moe-llava-nano", device="cpu", router_noise_seed=1)
    assert isinstance(choose_backend(noisy)[0], PrefixBackend)
    assert isinstance(choose_backend(noisy, "generate")[0], GenerateBackend)
    with pytest.raises(UserError, match="unknown engine 'vllm'"):
        choose_backend(noisy, "vllm")


def test_what_it_cannot_answer_goes_to_generate_or_is_refused(monkeypatch):
    monkeypatch.setattr("moe_eval.engine.choose.why_not", lambda *_: "it is odd")
    source = ModelSource("moe-llava-nano", device="cpu")
    backend, reason = choose_backend(source)
    assert (type(backend), reason) == (GenerateBackend, "it is odd")
    with pytest.raises(UserError, match="--engine prefix: moe-llava-nano: it is odd; use --engine generate"):
        choose_backend(source, "prefix")
