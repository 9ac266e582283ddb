"""Downloads from the hub: what a conversion needs, from the network or from what was downloaded before."""

import re
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download

from moellava.convert.source import ConversionError

__all__ = ["fetch", "fetch_checkpoint"]

BESIDE_WEIGHTS = ["*.json", "*.txt", "*.model", "*.tiktoken", "*.jinja"]
WEIGHT_FORMS = (["*.safetensors"], ["pytorch_model*.bin", "mm_projector.bin"])


def fetch(repository: str, patterns: list[str], revision: str | None = None) -> Path:
    """Folder with the files of a repository that match the patterns.

    Raises:
        ConversionError: no such repository or revision, or no network and not downloaded before.
    """
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=patterns))
    except Exception as error:  # the hub's own errors, and whatever its HTTP client raises
        try:
            return Path(
                snapshot_download(repository, revision=revision, allow_patterns=patterns, local_files_only=True)
            )
        except Exception:
            reason = " ".join(str(error).split())[:200]
        raise ConversionError(f"{repository}: cannot be downloaded, and was not before ({reason})") from None


def fetch_checkpoint(repository: str, revision: str | None = None) -> Path:
    """Folder of a published checkpoint: one form of its weights, safetensors if there is one, and no left-overs.

    Raises:
        ConversionError: as `fetch`.
    """
    forms = list(WEIGHT_FORMS)
    try:
        files = [file.rfilename for file in HfApi().model_info(repository, revision=revision).siblings or []]
        forms = forms[:1] if any(name.endswith(".safetensors") for name in files) else forms[1:]
    except Exception:
        pass  # without network either form may lie in the cache; `fetch` has the message
    for form in forms:
        folder = fetch(repository, [*BESIDE_WEIGHTS, *form], revision)
        if any(re.search(r"\.(safetensors|bin)$", path.name) for path in folder.iterdir()):
            return folder
    raise ConversionError(f"{repository}: holds no weights (safetensors or .bin)")
