"""The vision tower of an upstream checkpoint: its folder beside the checkpoint, the copy inside, or the hub."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from transformers import AutoConfig, PreTrainedConfig

# From its module: transformers 5.16 hides it where there is no torchvision, which it does not need.
from transformers.models.auto.image_processing_auto import AutoImageProcessor
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

from moellava.convert.hub import fetch
from moellava.convert.source import ConversionError, blame, read_config, weight_files

__all__ = ["Tower", "find_tower"]

CONFIG_FILES = ["config.json", "preprocessor_config.json"]
COPIES = (".image_tower.image_tower.", ".vision_tower.vision_tower.")
PREPROCESSING = (
    "do_center_crop crop_size do_resize size resample do_rescale rescale_factor do_normalize image_mean image_std"
)


@dataclass(frozen=True)
class Tower:
    """A CLIP or SigLIP vision model.

    Args:
        config: its vision configuration.
        config_folder: folder of its `config.json` and `preprocessor_config.json`.
        files: weight files outside the checkpoint; none when the copy inside is taken.
        copy_prefix: prefix of the copy inside, up to and excluding `vision_model.`; None if there is none.
    """

    config: PreTrainedConfig
    config_folder: Path
    files: list[Path]
    copy_prefix: str | None

    @property
    def prefix(self) -> str:
        """What precedes a tensor's name in the source that is taken."""
        return "vision_model." if self.files else f"{self.copy_prefix}vision_model."

    @property
    def num_class_tokens(self) -> int:
        """1 for CLIP, 0 for SigLIP."""
        return int("siglip" not in self.config.model_type)

    @property
    def num_patches(self) -> int:
        """Rows of picture features: index 0 is dropped, a class token (CLIP) or a patch (SigLIP)."""
        return (self.config.image_size // self.config.patch_size) ** 2 + self.num_class_tokens - 1

    def image_processor(self, pad: bool) -> LlavaImageProcessorPil:
        """The tower's preprocessing (resize, crop, normalise), after padding to a square if `pad`.

        Raises:
            ConversionError: when a picture that is tried does not get through it.
        """
        with blame(self.config_folder / "preprocessor_config.json"):
            own = AutoImageProcessor.from_pretrained(
                self.config_folder, backend="pil", trust_remote_code=False
            ).to_dict()
            values = {name: own[name] for name in PREPROCESSING.split() if own.get(name) is not None}
            processor = LlavaImageProcessorPil(
                **{"do_center_crop": False, **values}, do_pad=pad
            )  # SigLIP does not crop
            side = self.config.image_size
            shape = processor(Image.new("RGB", (64, 48)), return_tensors="pt")["pixel_values"].shape
            if tuple(shape[-2:]) != (side, side):
                raise ValueError(f"makes pictures of {shape[-1]} by {shape[-2]}, and the tower sees {side} by {side}")
        return processor


def find_tower(source: Path, config: dict, names: Iterable[str]) -> Tower:
    """The tower that `config.json` names, given the checkpoint's tensor names.

    Raises:
        ConversionError: neither a folder, nor a copy inside, nor to be had from the hub.
    """
    name = config.get("mm_image_tower") or config.get("mm_vision_tower")
    if not name or not isinstance(name, str):
        raise ConversionError(f"{source}/config.json: mm_image_tower is empty; there is nothing to see with")
    copies = (key[: key.index(marker) + len(marker)] for key in names for marker in COPIES if marker in key)
    copy_prefix = next(copies, None)
    beside = [folder for folder in (source / name, source.parent / name, Path(name)) if folder.is_dir()]
    if beside:
        folder, files = beside[0], weight_files(beside[0])
    elif copy_prefix:
        folder, files = fetch(name, CONFIG_FILES), []
    else:
        folder = fetch(name, [*CONFIG_FILES, "model.safetensors", "pytorch_model.bin"])
        files = weight_files(folder)
    read_config(folder)
    with blame(folder / "config.json"):
        vision_config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        vision_config = getattr(vision_config, "vision_config", vision_config)
    if vision_config.model_type not in ("clip_vision_model", "siglip_vision_model"):
        raise ConversionError(f"{folder}: a tower of type {vision_config.model_type!r}; only CLIP and SigLIP are known")
    return Tower(vision_config, folder, files, copy_prefix)
