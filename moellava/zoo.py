"""The models that have a name: where their weights are, and how they are called in published tables.

`resolve` turns a name into a folder that `from_pretrained` loads, downloading and converting once into a cache
(`MOELLAVA_CACHE`, by default `~/.cache/moellava`). Models that transformers has are short names of hub repositories.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from moellava.configuration import MoEConfig, MoELlavaConfig
from moellava.convert import ConversionError, convert
from moellava.convert.hub import fetch_checkpoint
from moellava.convert.parts import gather

__all__ = [
    "ZooEntry",
    "architecture",
    "cache_folder",
    "convert_once",
    "fetch_source",
    "find",
    "names",
    "parts_folder",
    "resolve",
]

REPOSITORY = Path(__file__).parents[1]
"""What embedded models' folders are relative to: the checkout, or the folder that the package is installed in."""
PROCESSOR = "processor_config.json"  # upstream folders have none


@dataclass(frozen=True)
class ZooEntry:
    """One named model.

    `source` is a hub id, or a folder beside the library (in the upstream format, or finished by our training); None
    where no weights were published. `parts` are what a checkpoint is gathered from that was published in several places
    (`moellava.convert.parts`), `settings` further ones of its configuration. `revision` is the commit that is downloaded, where it is known. `model_type` is one
    of `peers`, whose default configuration is the published one. `in_transformers`: the source is in transformers' own
    format, and its architecture is told by its own config.json alone; whether that is `sparse` is said here, and
    `evidence` says where the hub id and the language model were read.
    """

    name: str
    source: str | None
    llm: str
    revision: str | None = None
    language_model: str | None = None
    tower: str | None = None
    num_experts: int = 0
    published_as: str | None = None
    random_weights: bool = False
    model_type: str | None = None
    in_transformers: bool = False
    sparse: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    evidence: str | None = None

    @property
    def is_llava(self) -> bool:
        """Whether it is of MoE-LLaVA's or LLaVA's making, or an embedded one of ours."""
        return not self.in_transformers and self.model_type is None

    @property
    def folder(self) -> Path | None:
        """The folder that holds the weights of an embedded model."""
        folder = REPOSITORY / (self.source or "-")
        return folder if folder.is_dir() else None


@cache
def _data() -> dict:
    return json.loads(Path(__file__).with_name("zoo.json").read_text())


def names() -> list[str]:
    """Names of all models that there are here: those with random weights are in a checkout only."""
    known = [*_data()["models"], *_data()["transformers_models"]]
    return [name for name in known if not (entry := find(name)).random_weights or entry.folder]


def find(name: str) -> ZooEntry:
    """The entry of a name (KeyError if there is none)."""
    if name in _data()["transformers_models"]:
        return ZooEntry(name, **_data()["transformers_models"][name], in_transformers=True)
    return ZooEntry(name, **_data()["models"][name])


def architecture(name: str) -> Any:
    """Configuration of a named model, without its weights, and without network but for the models of transformers.

    Raises:
        ConversionError: a configuration that cannot be fetched.
    """
    entry = find(name)
    if entry.in_transformers:
        try:
            return AutoConfig.from_pretrained(str(entry.source), revision=entry.revision)
        except (OSError, ValueError) as error:
            raise ConversionError(f"{entry.source}: {' '.join(str(error).split())[:200]}") from None
    if entry.model_type:
        return AutoConfig.for_model(entry.model_type)
    if entry.folder:
        return MoELlavaConfig.from_pretrained(resolve(name))
    text = dict(_data()["language_models"][entry.language_model])
    vision = dict(_data()["towers"][entry.tower])
    layers = range(0, text["num_hidden_layers"], 2) if entry.num_experts else ()
    return MoELlavaConfig(
        text_config=AutoConfig.for_model(**text),
        vision_config=AutoConfig.for_model(**vision),
        moe=MoEConfig(layers=list(layers), num_experts=entry.num_experts or 4, top_k=2),
        image_token_index=text["vocab_size"],
        **entry.settings,
    )


def resolve(name: str, revision: str | None = None) -> Path:
    """Folder of a named model, converted on first use if it is in another format than transformers'.

    Raises:
        ConversionError: no published weights, a download that fails, or a checkpoint that cannot be converted.
    """
    entry = find(name)
    if entry.source is None:
        raise ConversionError(f"the weights of {name} were never published; give a folder of your own")
    if entry.random_weights and not entry.folder:
        raise ConversionError(f"the random weights of {name} are in a checkout of the project only")
    if entry.folder and (entry.folder / PROCESSOR).is_file():
        return entry.folder  # in our own format
    if entry.parts and revision:
        raise ConversionError(f"{name} is gathered from several places, which no one revision names; leave it out")
    source = entry.folder or (
        gather(entry.parts, parts_folder(name)) if entry.parts else fetch_source(entry.source, revision)
    )
    return source if entry.in_transformers else convert_once(source, name)


def cache_folder() -> Path:
    """Where converted checkpoints lie."""
    return Path(os.environ.get("MOELLAVA_CACHE", Path.home() / ".cache" / "moellava"))


def parts_folder(name: str) -> Path:
    """Where the parts of a checkpoint are gathered that was published in several places."""
    return cache_folder() / "parts" / name


def fetch_source(repository: str, revision: str | None = None) -> Path:
    """Download an upstream checkpoint, at the zoo's revision if none is given (ConversionError: see `convert.hub`)."""
    pinned = next((entry.revision for entry in map(find, names()) if entry.source == repository), None)
    return fetch_checkpoint(repository, revision or pinned)


def convert_once(source: Path, name: str) -> Path:
    """The converted form of an upstream folder, from the cache or made now.

    The cache key holds the names, sizes and times of the source's files, so that a changed source is converted anew.
    """
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(source.iterdir())]
    key = hashlib.sha256(json.dumps([str(source.resolve()), stats]).encode()).hexdigest()[:12]
    out = cache_folder() / f"{name}-{key}"
    return out if out.is_dir() else convert(source, out, progress=True)
