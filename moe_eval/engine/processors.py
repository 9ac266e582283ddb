"""Loading a model's processor, without the part for videos where torchvision is missing: no benchmark here has videos."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from moe_eval.files.json_text import read_json

__all__ = ["load_processor"]


def load_processor(folder: Path, config: Any, trust_remote_code: bool = False) -> Any:
    """The processor of a model folder, with transformers' PIL image processors where there is no torchvision.

    Raises:
        ImportError: a processor that needs torchvision, or another package that is not installed.
        OSError, ValueError: files that are missing or damaged.
    """
    from transformers import AutoProcessor
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
    from transformers.utils import is_torchvision_available

    processor_class = PROCESSOR_MAPPING.get(type(config), None) or _named(folder)
    if is_torchvision_available() or "video_processor" not in _parts(processor_class):
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=trust_remote_code)
    else:
        processor = _without_videos(processor_class, folder)
    if getattr(processor, "chat_template", None) is None:  # some processors leave it to their tokenizer
        processor.chat_template = getattr(getattr(processor, "tokenizer", None), "chat_template", None)
    if "mm_token_type_ids" in getattr(processor, "model_input_names", ()):  # Cosmos 3's gives them on request only
        processor.return_mm_token_type_ids = True
    return processor


def _named(folder: Path) -> Any:
    """The class that a folder names, where transformers names none for the architecture, such as GLM-OCR's."""
    from transformers.models.auto.processing_auto import processor_class_from_name

    path = folder / "processor_config.json"
    name = read_json(path).get("processor_class") if path.is_file() else None
    return processor_class_from_name(name) if name else None


def _parts(processor_class: Any) -> list[str]:
    return processor_class.get_attributes() if hasattr(processor_class, "get_attributes") else []


def _without_videos(processor_class: Any, folder: Path) -> Any:
    from transformers import AutoFeatureExtractor, AutoTokenizer
    from transformers.models.auto.image_processing_auto import AutoImageProcessor  # hidden without torchvision in 5.16

    loaders: dict[str, Any] = {
        "image_processor": AutoImageProcessor,
        "tokenizer": AutoTokenizer,
        "feature_extractor": AutoFeatureExtractor,
    }

    def check(self: Any, name: str, part: Any) -> Any:
        return None if name == "video_processor" else processor_class.check_argument_for_proper_class(self, name, part)

    blind = type(processor_class.__name__, (processor_class,), {"check_argument_for_proper_class": check})
    parts = [
        None if name == "video_processor" else loaders[name].from_pretrained(folder, trust_remote_code=False)
        for name in processor_class.get_attributes()
    ]
    settings, _ = processor_class.get_processor_dict(folder)
    processor = blind.from_args_and_dict(parts, settings)  # type: ignore[attr-defined]
    if processor_class.__name__ == "SmolVLMProcessor":  # asks for these two whenever it renders a prompt
        processor.video_processor = SimpleNamespace(num_frames=None, fps=None)
    return processor
