"""What vLLM calls when it starts, in every one of its processes (entry point `vllm.general_plugins`): our model is one of its.

It runs on vLLM's backend for transformers' models: attention, paged keys and values and prefix caching are vLLM's, the
sparse layers are the code of `moellava/moe.py`. vLLM's own fused experts are not used: they are SiLU-gated and without
biases, and Phi's are neither.
"""

__all__ = ["register"]

BACKEND = "vllm.model_executor.models.transformers:TransformersMultiModalForCausalLM"


def register() -> None:
    """Make the architecture known to vLLM, and the configuration to transformers' Auto classes."""
    from vllm import ModelRegistry

    import moellava

    ModelRegistry.register_model(moellava.MoELlavaForConditionalGeneration.__name__, BACKEND)
