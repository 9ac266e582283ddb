"""Parts of a configuration, made in one way for every supported transformers: before 5.20 it has no `sub_configs_defaults`."""

from typing import Any

from transformers import PreTrainedConfig

__all__ = ["as_config"]


def as_config(given: Any, config_class: type[PreTrainedConfig], **defaults: Any) -> PreTrainedConfig:
    """`given` if it is a configuration, else a `config_class` of its entries, or of `defaults` where it is None."""
    if isinstance(given, PreTrainedConfig):
        return given
    return config_class(**(defaults if given is None else given))
