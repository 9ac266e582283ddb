"""The vision tower of an upstream checkpoint: its folder beside the checkpoint, the copy inside, or the hub."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from transformers import AutoConfig, AutoImageProcessor, PreTrainedConfig
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

from moellava.convert.source import ConversionError, weight_files

__all__ = ["Tower", "find_tower"]

CONFIG_FILES = ["config.json", "preprocessor_config.json"]


@dataclass(frozen=True)
class Tower:
    """A CLIP or SigLIP vision model.

    Args:
        config: its vision configuration.
        config_folder: folder of its `config.json` and `preprocessor_config.json`.
        folder: folder of its weights, or None when they are taken from inside the checkpoint.
        copy_prefix: prefix of the copy inside the checkpoint.
    """

    config: PreTrainedConfig
    config_folder: Path
    folder: Path | None
    copy_prefix: str

    @property
    def files(self) -> list[Path]:
        """Weight files outside the checkpoint."""
        return weight_files(self.folder) if self.folder else []

    @property
    def prefix(self) -> str:
        """Prefix of the tensors in the conversion's plan; one of its own when they come from outside."""
        return f"{self.folder.name}: vision_model." if self.folder else f"{self.copy_prefix}vision_model."

    @property
    def num_class_tokens(self) -> int:
        """1 for CLIP, 0 for SigLIP."""
        return int("siglip" not in self.config.model_type)

    @property
    def num_patches(self) -> int:
        """Rows of picture features: index 0 is dropped, a class token (CLIP) or a patch (SigLIP)."""
        return (self.config.image_size // self.config.patch_size) ** 2 + self.num_class_tokens - 1

    def image_processor(self, pad: bool) -> LlavaImageProcessorPil:
        """The tower's preprocessing (resize, crop, normalise), after padding to a square if `pad`."""
        own = AutoImageProcessor.from_pretrained(self.config_folder).to_dict()
        names = ("size", "crop_size", "do_center_crop", "do_resize", "do_rescale", "do_normalize")
        names += ("rescale_factor", "image_mean", "image_std", "resample")
        values = {name: own[name] for name in names if own.get(name) is not None}
        values.setdefault("do_center_crop", False)  # SigLIP has none
        return LlavaImageProcessorPil(**values, do_pad=pad)


def tower_copy_prefix(names: Sequence[str]) -> str | None:
    """Prefix of a tower copy among a checkpoint's tensor names, up to and excluding `vision_model.`."""
    for name in names:
        for marker in (".image_tower.image_tower.", ".vision_tower.vision_tower."):
            if f"{marker}vision_model." in name:
                return name[: name.index(marker) + len(marker)]
    return None


def find_tower(source: Path, config: dict, names: Sequence[str]) -> Tower:
    """The tower that `config.json` names.

    Raises:
        ConversionError: neither a folder, nor a copy inside, nor reachable on the hub.
    """
    name = config.get("mm_image_tower") or config.get("mm_vision_tower")
    if not name:
        raise ConversionError(f"{source}/config.json: mm_image_tower is empty; a language model without a tower cannot be converted")
    copy_prefix = tower_copy_prefix(names)
    beside = [folder for folder in (source / name, source.parent / name, Path(name)) if (folder / "config.json").exists()]
    if beside:
        config_folder, folder = beside[0], beside[0]
    else:
        config_folder = _download(name, CONFIG_FILES, source)
        folder = None if copy_prefix else _download(name, [*CONFIG_FILES, "model.safetensors", "pytorch_model.bin"], source)
    vision_config = AutoConfig.from_pretrained(config_folder)
    vision_config = getattr(vision_config, "vision_config", vision_config)
    if vision_config.model_type not in ("clip_vision_model", "siglip_vision_model"):
        raise ConversionError(f"{config_folder}: tower of type {vision_config.model_type!r} is not supported, only CLIP and SigLIP")
    return Tower(vision_config, config_folder, folder, copy_prefix or "")


def _download(name: str, patterns: list[str], source: Path) -> Path:
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConversionError(
            f"{source}: its vision tower {name!r} is neither a folder beside it nor to be had from the hub ({reason})"
        ) from None
