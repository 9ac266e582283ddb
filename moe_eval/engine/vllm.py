"""vLLM in this process, `vllm:MODEL`: paged keys and values, what questions share computed once, batches as they fit.

MoE-LLaVA runs in it through `moellava.vllm_plugin`; everything else that vLLM knows runs as vLLM has it.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from moe_eval.engine.backend import Answer, Request, Unanswered
from moe_eval.engine.generate import response, stop_ids_of
from moe_eval.engine.models import ModelSource
from moe_eval.engine.options import option_of
from moe_eval.engine.prefetch import open_images
from moe_eval.engine.prompting import picture_options, render, thinks_on
from moe_eval.engine.sourced import SourcedBackend
from moe_eval.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["VllmBackend", "VllmOptions", "VllmSource"]

AT_ONCE = 256
"""Questions that are handed to vLLM together; it makes its own batches of them."""
ONLY_OURS = ("router_noise_seed", "adapter", "picture_tokens", "processor_kwargs", "quantize", "device_map", "pruning")
"""What `ModelSource` can do and vLLM cannot."""


@dataclass(frozen=True)
class VllmOptions:
    """What `--engine-args` can say to vLLM, in its own words; None: as vLLM has it.

    Args:
        enforce_eager: no `torch.compile`, no CUDA graphs. None: so for MoE-LLaVA's sparse layers, whose experts are chosen by data;
            everything else runs compiled, as vLLM has it.
    """

    tensor_parallel_size: Annotated[int, Field(ge=1)] = 1
    data_parallel_size: Annotated[int, Field(ge=1)] = 1
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] | None = None
    max_model_len: Annotated[int, Field(ge=1)] | None = None
    max_num_seqs: Annotated[int, Field(ge=1)] | None = None
    enforce_eager: bool | None = None


@dataclass(frozen=True)
class VllmSource(ModelSource):
    """A model that vLLM loads.

    Args:
        options: of vLLM.

    Raises:
        UserError: for what only our own engines can do, and as `ModelSource`.
    """

    options: VllmOptions = VllmOptions()

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ONLY_OURS:
            if getattr(self, name) is not None:
                raise UserError(f"{option_of(name)}: vLLM cannot do that; use --engine generate")
        if self.device not in ("auto", "cpu", "cuda"):
            raise UserError(
                f"--device {self.device}: vLLM takes the GPUs that it sees; set CUDA_VISIBLE_DEVICES instead"
            )

    @property
    def is_sparse(self) -> bool:
        """Nothing records the routers of a model in vLLM, so for a run it has none."""
        return False

    @property
    def has_our_routers(self) -> bool:
        """As `is_sparse`: nothing is recorded unless somebody asks for it, which is refused."""
        return False

    def check_sparse(self, purpose: str) -> None:
        raise UserError(f"{purpose}: vLLM does not tell how tokens of this model are routed; use --engine prefix")

    def check_installed(self) -> None:
        """What `VllmBackend.loaded` would find late, after other engines have answered."""
        if find_spec("vllm") is None:
            raise _not_installed(self, "no module named vllm")

    def backend(self) -> "VllmBackend":
        """What answers."""
        return VllmBackend(self, routing=False)


class VllmBackend(SourcedBackend):
    """Greedy answers of a model in vLLM, to the same prompts that `generate` gets."""

    engine = "vllm"
    _source: VllmSource

    def told(self) -> dict[str, str | int]:
        """Which vLLM it was, and how it ran; nothing before the model is loaded."""
        if "loaded" not in self.__dict__:
            return {}
        import vllm

        return {"vllm": vllm.__version__, **{name: str(value) for name, value in self._given.items()}}

    @cached_property
    def _given(self) -> dict[str, Any]:
        """Of vLLM's options those that were said, and whether it runs eagerly."""
        sparse = bool(getattr(getattr(self._source.config, "moe", None), "layers", None))
        said = {name: value for name, value in asdict(self._source.options).items() if value is not None}
        return {"enforce_eager": sparse, **said}

    @cached_property
    def loaded(self) -> tuple[Any, Any]:
        """vLLM with the model in it, and the model's processor.

        Raises:
            UserError: when vLLM is not there, does not know the architecture, or has too little memory.
        """
        source = self._source
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        try:
            from vllm import LLM
        except ImportError as error:
            raise _not_installed(source, str(error)) from error
        processor = source.load_processor()
        try:
            model = LLM(
                str(source.folder),
                dtype=str(source.torch_dtype).removeprefix("torch."),
                enable_prefix_caching=True,
                generation_config="auto",
                **self._given,
            )
        except Exception as error:  # vLLM raises many kinds, and those of what is below it
            lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            way_out = self._without_one_of_its_own() or self._with_less_memory()
            raise UserError(f"vllm:{source.name}: vLLM cannot load it: {' '.join(lines[:3])[:400]}{way_out}") from error
        return model, processor

    def _without_one_of_its_own(self) -> str:
        """What to say of an architecture that vLLM does not know by itself."""
        from vllm import ModelRegistry

        names = self._source.config.architectures or ["architecture of this name"]
        if set(names) & set(ModelRegistry.get_supported_archs()):
            return ""
        return f"; it has no {names[0]} of its own, and not all that transformers has runs in it: use --engine generate"

    def _with_less_memory(self) -> str:
        """vLLM wants 92 % of the memory and does not start where something else holds more than the rest."""
        if "gpu_memory_utilization" in self._given:
            return ""
        return "; where its output above speaks of memory: --engine-args gpu_memory_utilization=0.5"

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answers, so many questions at a time, in the order of the requests but for unreadable pictures, which come first."""
        opened = open_images(requests, ahead=AT_ONCE)
        while items := list(islice(opened, AT_ONCE)):
            yield from (item for item in items if isinstance(item, Unanswered))
            asked = [item for item in items if not isinstance(item, Unanswered)]
            if asked:
                yield from self._answer(asked)

    def _answer(self, asked: "list[tuple[Request, list[Image]]]") -> Iterator[Answer]:
        model, processor = self.loaded
        from vllm import SamplingParams
        from vllm.exceptions import VLLMClientError

        prompts = [
            {
                "prompt": render(processor, request, len(images)),
                **({"multi_modal_data": {"image": images}} if images else {}),
                "mm_processor_kwargs": picture_options(processor, request.pad_images),
            }
            for request, images in asked
        ]
        limits = [SamplingParams(temperature=0, max_tokens=request.max_new_tokens) for request, _ in asked]
        try:
            outputs = model.generate(prompts, limits, use_tqdm=False)
        except (ValueError, VLLMClientError) as error:  # one prompt that does not fit stops all of them
            if len(asked) > 1:
                for one in asked:
                    yield from self._answer([one])
                return
            yield Unanswered(asked[0][0].id, f"vLLM: {' '.join(str(error).split())[:300]}", failed=True)
            return
        stops = stop_ids_of(self._source.generation_config, processor.tokenizer)
        begun = thinks_on(processor, asked[0][0])
        for (request, _), output in zip(asked, outputs, strict=True):
            yield response(request.id, list(output.outputs[0].token_ids), stops, processor.tokenizer, begun=begun)


def _not_installed(source: VllmSource, reason: str) -> UserError:
    return UserError(
        f"vllm:{source.name}: vLLM is not installed here ({reason}); it wants an environment of its own: "
        "docs/vllm.md. A vLLM that runs elsewhere is reached by openai:NAME@URL"
    )
