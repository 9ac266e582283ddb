"""From a name on the command line to a model folder, its description, and the loaded model.

Names: an entry of the zoo (`moe-eval list models`), a folder, or `hf:ORGANISATION/NAME[@REVISION]` for any
image-text-to-text model of the hub.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from moe_eval.engine.ablation import find_pruning, prune
from moe_eval.engine.adapters import check_adapter
from moe_eval.engine.backend import ModelInfo, Parameters
from moe_eval.engine.first_generation import prompt_template
from moe_eval.engine.memory import weights_of
from moe_eval.engine.parameters import count_parameters, laid_out
from moe_eval.engine.processing import processing_fingerprint, read_template
from moe_eval.engine.quantization import check_quantization, library_version
from moe_eval.engine.whereabouts import (
    download,
    is_folder,
    is_upstream,
    was_never_trained,
    was_trained_on_mini,
    whereabouts,
    zoo_entry,
)
from moe_eval.errors import UserError, one_line, unknown

__all__ = ["ModelSource"]

Anything = TypeVar("Anything")

DTYPES = ("auto", "float32", "bfloat16", "float16")
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")


@dataclass(frozen=True)
class ModelSource:
    """A model that can be described without loading it, and loaded.

    Args:
        name: zoo name, folder, or `hf:ORGANISATION/NAME[@REVISION]`.
        dtype: `auto` is float32 on a CPU; on a GPU what the originals of converted checkpoints are evaluated in (float16;
            LLaVA-Phi float32), and the stored type for others.
        device: such as `cuda:1` or `cpu`; `auto` is the first GPU if there is one.
        router_noise_seed: draw the noise that picks second experts as the original does, from this seed.
        label: what it is called in folders and tables; None: its name.
        revision: branch, tag or commit of the hub's repository; None: what the name or the zoo says.
        adapter: a folder of PEFT's whose weights are merged into the model's.
        chat_template: a file with a chat template that is used instead of the model's own.
        picture_tokens: the most tokens that a picture becomes; None: as the processor's files have it.
        processor_kwargs: settings of the image processor instead of those of its files.
        quantize: `8bit` or `4bit`: the language model's weights are read into so few bits.
        device_map: how transformers spreads the layers over devices: `auto`, `balanced`, `balanced_low_0`, `sequential`.
        trust_remote_code: run the Python code that comes with the model.
        pruning: experts that are taken away, as `--ablate` names them; None: none.

    Raises:
        UserError: for a name, dtype or device that does not exist, a download that fails, a folder without a model.
    """

    name: str
    dtype: str = "auto"
    device: str = "auto"
    router_noise_seed: int | None = None
    label: str | None = None
    revision: str | None = None
    adapter: Path | None = None
    chat_template: Path | None = None
    picture_tokens: int | None = None
    processor_kwargs: dict[str, Any] | None = None
    quantize: str | None = None
    device_map: str | None = None
    trust_remote_code: bool = False
    pruning: str | None = None

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)
        if self.adapter is not None:
            check_adapter(self.adapter)
        if self.quantize is not None:
            check_quantization(self.quantize)
            if self.adapter is not None:
                raise UserError("--quantize: an adapter cannot be merged into quantised weights; leave one of them out")
        if self.device_map is not None:
            if self.device_map not in DEVICE_MAPS:
                raise unknown("device map", self.device_map, DEVICE_MAPS)
            if self.device != "auto":
                raise UserError(f"--device-map {self.device_map} and --device {self.device}: say one of them")
        if self.revision and is_folder(self.name):
            raise UserError(f"--revision {self.revision}: {self.name} is a folder, which has no revisions")

    @property
    def title(self) -> str:
        """What folders and tables call it."""
        adapter = f"+{self.adapter.resolve().name}" if self.adapter else ""
        budget = f"+{self.picture_tokens}-picture-tokens" if self.picture_tokens else ""
        bits = f"+{self.quantize}" if self.quantize else ""
        return (
            (self.label or (f"{self.name}@{self.revision}" if self.revision else self.name) + adapter) + bits + budget
        )

    def check_name(self) -> None:
        """Complain about a name that cannot be anything, before time is spent on other models.

        Raises:
            UserError: naming the nearest zoo models.
        """
        if self.name.startswith("hf:") or is_folder(self.name):
            return
        from moellava import zoo

        if self.name not in zoo.names():
            way_out = "a folder or hf:ORGANISATION/NAME is taken, too"
            if re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w.-]+)?", self.name):
                raise UserError(f"there is no folder {self.name!r}; for the model of the hub say hf:{self.name}")
            raise unknown("model", self.name, zoo.names(), way_out)

    @cached_property
    def folder(self) -> Path:
        """Where the model is, downloaded if need be, and converted if it is in the original's format."""
        self.check_name()
        from moellava import zoo
        from moellava.convert import ConversionError

        try:
            if self.name.startswith("hf:"):
                repository, _, revision = self.name.removeprefix("hf:").partition("@")
                folder = download(repository, self.revision or revision or None)
            elif is_folder(self.name):
                folder = Path(self.name)
            else:
                return zoo.resolve(self.name, self.revision)
            return zoo.convert_once(folder, folder.resolve().name) if is_upstream(folder) else folder
        except ConversionError as error:
            raise UserError(f"model {self.name}: {one_line(error)}") from error

    @cached_property
    def config(self) -> Any:
        from transformers import AutoConfig

        import moellava  # noqa: F401  (registers its models with the Auto classes)

        trust = self.trust_remote_code
        return self.read("config.json", lambda: AutoConfig.from_pretrained(self.folder, trust_remote_code=trust))

    @cached_property
    def generation_config(self) -> Any:
        """The model's `GenerationConfig`; that of transformers where it has none."""
        from transformers import GenerationConfig

        if not (self.folder / "generation_config.json").is_file():
            return GenerationConfig.from_model_config(self.config)
        return self.read("generation_config.json", lambda: GenerationConfig.from_pretrained(self.folder))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names and contents of the configuration and the weight files, those of an adapter included."""
        digest = hashlib.sha256()
        weights = [path for suffix in ("safetensors", "bin") for path in self.folder.glob(f"*.{suffix}")]
        adapter = sorted(self.adapter.glob("adapter_*")) if self.adapter else []
        for path in [*sorted([*weights, self.folder / "config.json"]), *adapter]:
            with path.open("rb") as stream:
                digest.update(path.name.encode() + hashlib.file_digest(stream, "sha256").digest())
        return f"sha256:{digest.hexdigest()}"

    @property
    def torch_device(self) -> Any:
        import torch

        name = self.device if self.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        try:
            return torch.empty(0, device=name).device
        except (RuntimeError, AssertionError) as error:
            raise UserError(f"device {name!r} cannot be used: {one_line(error)}") from error

    @property
    def torch_dtype(self) -> Any:
        import torch

        if self.dtype != "auto":
            return getattr(torch, self.dtype)
        if self.torch_device.type == "cpu":
            return torch.float32
        is_llava = getattr(zoo_entry(self.name), "is_llava", False)
        codebase = getattr(self._architecture if is_llava else self.config, "codebase", None)
        if codebase == "llava-phi":
            return torch.float32  # as its authors load it: in float16 it becomes nan, they say
        if is_llava or codebase:
            return torch.float16
        return self.config.dtype or self.config.get_text_config().dtype or torch.float32

    def describe(self, backend: str, ablation: str | None = None) -> ModelInfo:
        """Facts for run records and tables, from the configuration and the files alone.

        Args:
            ablation: what is taken away from the model for a while; None: its own `pruning`.
        """
        config, entry = self.config, zoo_entry(self.name)
        if self.router_noise_seed is not None and not self.has_our_routers:
            raise UserError(f"model {self.name}: has no sparse layer for --router-noise to act on; leave it out")
        size = getattr(getattr(config, "vision_config", None), "image_size", None)
        return ModelInfo(
            name=self.title,
            family=getattr(config, "codebase", None) or config.model_type,
            weights_fingerprint=self.fingerprint,
            backend=backend,
            dtype=str(self.torch_dtype).removeprefix("torch."),
            llm=getattr(entry, "llm", None) or config.get_text_config().model_type,
            image_size=size if isinstance(size, int) else None,
            parameters=self._parameters(ablation or self.pruning),
            random_weights=bool(getattr(config, "random_weights", False) or getattr(entry, "random_weights", False)),
            published_as=getattr(entry, "published_as", None),
            router_noise_seed=self.router_noise_seed,
            processing_fingerprint=processing_fingerprint(self.folder, self.template),
            source=self.name if self.title != self.name else None,
            remote_code=self.trust_remote_code,
            picture_tokens=self.picture_tokens,
            processor_kwargs=self.processor_kwargs,
            quantization=f"{self.quantize}, {library_version(self.quantize)}" if self.quantize else None,
            device_map=self.device_map,
        )

    def _parameters(self, ablation: str | None) -> Parameters | None:
        pruning = find_pruning(ablation)
        try:
            return self.read("config.json", lambda: count_parameters(self.config, pruning.top_k if pruning else None))
        except UserError:  # if the model cannot be loaded either, loading says why
            return None

    @cached_property
    def template(self) -> str | None:
        """The chat template that is used instead of the model's own, or because it has none; None: its own is used."""
        if self.chat_template:
            return read_template(self.chat_template)
        return prompt_template(self.folder, self.config.model_type)

    @property
    def has_our_routers(self) -> bool:
        """Whether it is a sparse model of ours, whose routing can be changed."""
        return bool(getattr(getattr(self.config, "moe", None), "layers", None))

    @property
    def is_sparse(self) -> bool:
        """Whether its routing can be recorded."""
        return self.has_our_routers or self._why_not_recorded is None

    @cached_property
    def _why_not_recorded(self) -> str | None:
        """Why the routing of a model that is not ours cannot be recorded; None if it can."""
        from moellava.routing import check_recordable, image_token_id

        try:
            check_recordable(laid_out(self.config))
            image_token_id(self.config)
        except (UserError, ValueError) as error:
            return one_line(error)
        return None

    @property
    def trained_on_mini(self) -> bool:
        """Whether what it can answer is about `mini`: it comes with the project, was trained by the nano recipes, or never."""
        entry = zoo_entry(self.name)
        if entry is not None:
            return entry.random_weights or entry.folder is not None
        return was_never_trained(Path(self.name)) or was_trained_on_mini(Path(self.name))

    @property
    def _architecture(self) -> Any:
        """The configuration of a named model, without its files."""
        from moellava import zoo

        return zoo.architecture(self.name)

    @property
    def is_local(self) -> bool:
        """Whether nothing has to be downloaded; told without network."""
        return self.whereabouts.endswith("here already")

    @property
    def whereabouts(self) -> str:
        """Where the model is, or where it is fetched from and into which cache."""
        return whereabouts(self.name, self.revision)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights in memory, of a named model without its files."""
        described = getattr(zoo_entry(self.name), "is_llava", False)
        if not self.is_local and not described:
            raise UserError("it is not in the cache")
        config = self._architecture if described else self.config
        if self.quantize:
            return weights_of(laid_out(config)).size(self.torch_dtype.itemsize, self.quantize)
        return count_parameters(config).total * self.torch_dtype.itemsize

    def check_recordable(self) -> None:
        """Refuse a model whose routing cannot be recorded.

        Raises:
            UserError: naming the model and the reason.
        """
        if not self.is_sparse:
            raise UserError(f"model {self.name}: {self._why_not_recorded} for --routing to record; leave it out")

    def check_pruning(self) -> None:
        """Complain about experts that are to be taken away and are not there, from the configuration alone.

        Raises:
            UserError: as `moe_eval.engine.ablation.prune`.
        """
        if self.pruning is not None:
            prune(laid_out(self.config), self.pruning, self.name)

    @property
    def prunable(self) -> list[str]:
        """What can be taken away, as `--ablate` names it: each expert alone, and all but the best of a token's.

        Raises:
            UserError: for a dense model, and for one whose experts cannot be taken away.
        """
        from moellava.sparse_layers import sparse_layers

        model = laid_out(self.config)
        layers = sparse_layers(model.get_decoder())
        if not layers:
            raise UserError(f"model {self.name}: has no sparse layer, so there are no experts to take away")
        names = [f"top_k={k}" for k in range(1, max(layer.top_k for layer in layers))]
        names += [f"expert={layer.index}:{expert}" for layer in layers for expert in layer.numbers]
        prune(model, names[0], self.name)
        return names

    def load(self) -> tuple[Any, Any]:
        """The model, in evaluation mode on its device, and its processor.

        Raises:
            UserError: when a weight is missing, unknown or of the wrong shape, or a file is damaged.
        """
        from moe_eval.engine.loading import load

        return load(self)

    def load_processor(self) -> Any:
        """The model's processor, with the chat template that is used.

        Raises:
            UserError: when a file is damaged, or the template cannot render a question about a picture.
        """
        from moe_eval.engine.loading import load_processor

        return load_processor(self)

    def read(self, what: str, read: Callable[[], Anything]) -> Anything:
        """What `read` gives; whatever transformers raises meanwhile is an error about the folder, in one line.

        Args:
            what: of the folder is read, for the message.
        """
        try:
            return read()
        except UserError:
            raise
        except Exception as error:
            if "trust_remote_code" in str(error):
                raise UserError(
                    f"model {self.name}: comes with Python code of its own (auto_map in its files), which is not run; "
                    "--trust-remote-code runs it, if you know whose it is"
                ) from error
            reason = one_line(error)
            if isinstance(error, ImportError):  # its first sentence names the package, the others explain notebooks
                reason = reason.split(". ")[0]
            raise UserError(f"model {self.name} ({self.folder}): {what}: {reason[:400]}") from error
