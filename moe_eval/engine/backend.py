"""The interface of everything that answers questions, and the values that go in and out."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from moe_eval.images import ImageRef

__all__ = [
    "Answer",
    "Backend",
    "Modality",
    "ModelInfo",
    "Parameters",
    "Request",
    "Response",
    "Routing",
    "Telling",
    "TokenPath",
    "Unanswered",
]

Modality = Literal["image", "text"]
"""What a token stands for: a piece of a picture, or text, generated text included."""


@dataclass(frozen=True)
class Parameters:
    """Numbers of parameters: all, and those that one token passes through; `llm_*` without tower and projector.

    Papers on MoE-LLaVA print the `llm_*` numbers: the language model alone, embeddings and head counted in full.
    """

    total: int
    activated: int | None
    llm_total: int
    llm_activated: int | None


@dataclass(frozen=True)
class ModelInfo:
    """What answers, as run records and tables name it.

    Args:
        name: in folders and tables; as given on the command line, if no other name was.
        family: the codebase of a converted checkpoint (`moe-llava`, `llava`), else the model type; tasks may treat
            pictures differently for some families.
        llm: the language model inside, for tables.
        image_size: side of the square picture that the vision tower sees, in pixels.
        parameters: how many; None where that is not known.
        weights_fingerprint: SHA-256 over configuration and weight files.
        random_weights: the model was never trained; its scores mean nothing but that the machinery works.
        published_as: the model's name in `results/published.json`.
        backend: how it is run, such as `generate`.
        dtype: of weights and activations while answering.
        router_noise_seed: seed of the noise that picks second experts; None when routing is deterministic.
        processing_fingerprint: SHA-256 over tokenizer, processor, chat template and generation configuration.
        source: what was given on the command line, where `name` is another.
        remote_code: whether Python code that comes with the model was run.
        picture_tokens: the most tokens that a picture becomes; None: as the model's processor has it.
        processor_kwargs: settings of its processor that are not the model's own.
        quantization: of its weights, and by what, such as `8bit, torchao 0.18.0`; None: none but the checkpoint's own.
        device_map: how its layers were spread over devices; None: all on one.
    """

    name: str
    family: str
    weights_fingerprint: str
    backend: str
    dtype: str
    llm: str | None = None
    image_size: int | None = None
    parameters: Parameters | None = None
    random_weights: bool = False
    published_as: str | None = None
    router_noise_seed: int | None = None
    processing_fingerprint: str | None = None
    source: str | None = None
    remote_code: bool = False
    picture_tokens: int | None = None
    processor_kwargs: dict[str, Any] | None = None
    quantization: str | None = None
    device_map: str | None = None


@dataclass(frozen=True)
class Request:
    """One question as a backend gets it; image line and chat template are the backend's business.

    Args:
        continuations: the answers that may be given. Where there are some, nothing is generated: the response is the
            most likely of them, with the log-probability of each.
        temperature: 0: every token is the likeliest; above, tokens are drawn, at 1 with the model's probabilities.
        seed: of what is drawn, which follows from it and from `id`.
        system: what stands before the question as the system's words; None: what the chat template says itself.
        thinking: whether the model is to think before it answers; None: not, where the model is loaded here, and elsewhere as
            the server has it.
    """

    id: str
    images: tuple[ImageRef, ...]
    text: str
    max_new_tokens: int
    pad_images: bool = True
    continuations: tuple[str, ...] = ()
    temperature: float = 0.0
    seed: int = 0
    system: str | None = None
    thinking: bool | None = None


@dataclass(frozen=True)
class TokenPath:
    """The expert that each sparse layer gave a token as first choice, from 0.

    Args:
        position: of the token in prompt and answer, padding not counted, from 0.
        token: as text.
    """

    modality: Modality
    position: int
    token: str
    experts: tuple[int, ...]


@dataclass(frozen=True)
class Routing:
    """What the routers of a sparse model did with one prompt and its answer.

    Args:
        layers: indices of the sparse layers, from 0.
        counts: by modality, [layers][choice][expert]: tokens whose first (second, …) choice is an expert.
        dropped: of these, the choices that found no place, as `counts`; None where nothing ever is dropped.
        prompt_tokens: length of the prompt; tokens at later positions were generated.
        paths: of some tokens.
    """

    layers: tuple[int, ...]
    counts: dict[Modality, list[list[list[int]]]]
    dropped: dict[Modality, list[list[list[int]]]] | None
    prompt_tokens: int
    paths: tuple[TokenPath, ...]


@dataclass(frozen=True)
class Response:
    """One answer: its text without special tokens and surrounding blanks, how many tokens were generated, and, where
    there is that, how they were routed, and what the model thought before it answered.

    Args:
        log_probabilities: of the request's continuations: the natural logarithm of the probability that the answer begins
            so, the sum over the continuation's tokens, from float32 logits. None where none were given.
    """

    id: str
    text: str
    tokens: int
    finish_reason: Literal["stop", "length"]
    routing: Routing | None = None
    reasoning: str | None = None
    log_probabilities: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Unanswered:
    """A question without an answer: one of its pictures cannot be opened, or (`failed`) what answers gave none."""

    id: str
    reason: str
    failed: bool = False


Answer = Response | Unanswered


class Backend(Protocol):
    """Something that answers questions."""

    def describe(self) -> ModelInfo:
        """What answers; cheap: weights are not loaded for it."""
        ...

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """One answer per request, in any order, each as soon as it is there.

        Questions about one picture should be neighbours in `requests`; backends make use of that.
        """
        ...


@runtime_checkable
class Telling(Protocol):
    """A backend that knows more when it has answered than before."""

    def told(self) -> dict[str, str | int]:
        """What run records keep of it, such as what a server calls itself, and what the last `generate` used."""
        ...
