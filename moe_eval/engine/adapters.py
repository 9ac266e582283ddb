"""Low-rank adapters (PEFT) that lie in a folder of their own, added to the weights of the model they belong to."""

from pathlib import Path
from typing import Any

from moe_eval.errors import UserError
from moe_eval.files.json_text import read_json

__all__ = ["CONFIG", "check_adapter", "with_adapter"]

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"


def check_adapter(folder: Path) -> None:
    """Complain about a folder that holds no adapter, before a model is loaded.

    Raises:
        UserError: saying what is missing, PEFT included.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise UserError(
                f"--adapter {folder}: no {name} in it; a folder that PEFT's save_pretrained wrote is wanted"
            )
    read_json(folder / CONFIG)
    try:
        import peft  # noqa: F401
    except ImportError as error:
        raise UserError("--adapter: PEFT is not installed: pip install 'moe-llava-eval[train]'") from error


def with_adapter(model: Any, folder: Path) -> Any:
    """The model with the adapter's weights merged into its own.

    Raises:
        UserError: for an adapter of another model, and one that adapts nothing.
    """
    from peft import PeftConfig, get_peft_model, set_peft_model_state_dict
    from safetensors.torch import load_file

    check_adapter(folder)
    try:
        weights = load_file(folder / WEIGHTS)
        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = True
        adapted = get_peft_model(model, config)
        report: Any = set_peft_model_state_dict(adapted, weights)
    except Exception as error:  # whatever PEFT meets in somebody's files
        raise UserError(
            f"--adapter {folder}: does not belong to this model ({_first_line(error)}); it was made for "
            f"{_base_of(folder)}"
        ) from error
    wrong = report.unexpected_keys or [name for name in report.missing_keys if ".lora_" in name]
    if wrong or not weights:
        raise UserError(
            f"--adapter {folder}: does not belong to this model: {len(wrong)} of its {len(weights)} tensors find no place, "
            f"or places no tensor, such as {min(wrong, default='(none)')}; it was made for {_base_of(folder)}"
        )
    return adapted.merge_and_unload()


def _base_of(folder: Path) -> str:
    return str(read_json(folder / CONFIG).get("base_model_name_or_path") or "a model that it does not name")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
