"""lmms-eval, both ways: our models in its evaluation (`model`), its tasks in our runs (`tasks`).

Needs lmms-eval (the extra `lmms`); importing this package does not import it.
"""

from typing import Any

__all__ = ["LMMS_PREFIX", "manifest"]

LMMS_PREFIX = "lmms:"
"""What the names of lmms-eval's tasks begin with: `lmms:NAME`, or `lmms:FILE.yaml`."""


def manifest() -> Any:
    """What lmms-eval asks for through its entry-point group `lmms_eval.models`: the model `moe_llava`."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest("moe_llava", simple_class_path="moe_eval.lmms.model.MoELlava")
