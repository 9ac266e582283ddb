"""Where models are: names of the zoo, folders, repositories of the hub."""

from pathlib import Path
from typing import Any

from moe_eval.engine.adapters import CONFIG as ADAPTER_CONFIG
from moe_eval.engine.parameters import count_parameters
from moe_eval.errors import UserError, one_line
from moe_eval.files.json_text import read_json
from moe_eval.sources.hub import bytes_on_hub

__all__ = [
    "download",
    "is_folder",
    "is_upstream",
    "was_never_trained",
    "was_trained_on_mini",
    "whereabouts",
    "zoo_entry",
]

NOT_NEEDED = ["*.pth", "*.gguf", "*.onnx", "*.h5", "*.msgpack", "original/*", "global_step*/*", "*optimizer*"]
"""Files that hub repositories hold beside what `from_pretrained` reads."""


def zoo_entry(name: str) -> Any:
    """The entry of the zoo of that name; None for any other name."""
    from moellava import zoo

    return zoo.find(name) if name in zoo.names() else None


def is_folder(name: str) -> bool:
    """Names of the zoo come first: runs that were written here (`--out .`) are in folders of these names."""
    return zoo_entry(name) is None and Path(name).is_dir()


def whereabouts(name: str, asked_revision: str | None = None) -> str:
    """Where a model is, or where it is fetched from and into which cache.

    Args:
        name: of the zoo, a folder, or `hf:ORGANISATION/NAME[@REVISION]`.
        asked_revision: of the hub's repository; None: what the name or the zoo says.
    """
    from huggingface_hub import constants, snapshot_download

    from moellava import zoo

    entry = zoo_entry(name)
    if entry is not None and entry.folder is not None:
        return f"{entry.folder}, here already"
    if is_folder(name):
        return f"{name}, here already"
    if entry is not None and entry.parts:
        return _gathered(entry)
    reference = name.removeprefix("hf:") if entry is None else entry.source
    if reference is None:
        return "its weights were never published"
    repository, _, revision = reference.partition("@")
    revision = asked_revision or revision or getattr(entry, "revision", None)
    try:
        return f"{snapshot_download(repository, revision=revision or None, local_files_only=True)}, here already"
    except Exception:  # not in the cache, or no name of a repository: the run itself says which
        if entry is not None and not entry.in_transformers:
            size = f"about {2 * count_parameters(zoo.architecture(name)).total / 1e9:.1f} GB "
        else:
            told = bytes_on_hub("model", repository, revision, ignored=NOT_NEEDED)
            size = f"{told / 1e9:.2f} GB " if told is not None else ""
        return f"{size}to be downloaded from {repository} into {constants.HF_HUB_CACHE}"


def _gathered(entry: Any) -> str:
    """Of a checkpoint that was published in several places."""
    from moellava import zoo
    from moellava.convert.parts import missing

    folder = zoo.parts_folder(entry.name)
    places = missing(entry.parts, folder)
    if not places:
        return f"{folder}, here already"
    listed = ", ".join(places.values())
    return f"to be downloaded from {listed} into {folder}, and converted into {zoo.cache_folder()}"


def is_upstream(folder: Path) -> bool:
    """Whether the folder is in the format of a system's own code: MoE-LLaVA's and LLaVA's names its tower in `mm_*`."""
    from moellava.configuration import UPSTREAM_TOWER_KEYS
    from moellava.peers.convert import converter_of

    if converter_of(folder) is not None:
        return True
    if not (folder / "config.json").exists():
        if (folder / ADAPTER_CONFIG).exists():
            raise UserError(f"model {folder}: is an adapter; name the model that it belongs to, and --adapter {folder}")
        raise UserError(f"model {folder}: no config.json in it; the folder of a model is wanted")
    config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise UserError(f"model {folder}: config.json holds a {type(config).__name__}, not an object")
    return not {"vision_config", "text_config"} & config.keys() and bool(set(UPSTREAM_TOWER_KEYS) & config.keys())


def download(repository: str, revision: str | None) -> Path:
    """The folder of a repository of the hub in the cache, fetched if need be.

    Raises:
        UserError: for a name that is none, a refusal of the hub, and no network.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    reference = f"{repository}@{revision}" if revision else repository
    try:
        return Path(snapshot_download(repository, revision=revision, ignore_patterns=NOT_NEEDED))
    except HFValidationError as error:
        raise UserError(f"model hf:{reference}: {one_line(error)}") from error
    except HfHubHTTPError as error:
        raise UserError(
            f"model hf:{reference}: the hub answers {error.response.status_code}; check the name and your access to it"
        ) from error
    except OSError as error:
        raise UserError(
            f"model hf:{reference}: not in the cache and the hub cannot be reached ({one_line(error)})"
        ) from error


def was_never_trained(folder: Path) -> bool:
    """Whether the configuration of a folder says that its weights are random."""
    try:
        return bool(read_json(folder / "config.json").get("random_weights"))
    except (UserError, AttributeError):  # no folder, or a broken one: loading it says so
        return False


def was_trained_on_mini(folder: Path) -> bool:
    """Whether the nano recipes trained what the folder holds."""
    try:
        data = read_json(folder / "training.json")["recipe"]["data"]
        return any("data/nano/" in str(part.get("file")) for part in data)
    except (UserError, KeyError, TypeError, AttributeError):
        return False
