"""A loaded model that answers turn by turn, word by word, and tells the way of every token through its experts."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from moe_eval.engine.models import ModelSource
from moe_eval.engine.prompting import picture_options
from moe_eval.errors import UserError, one_line

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Expert", "Step", "Talker", "Turn", "Way"]

Expert = tuple[int, int]
"""Index of a layer in the decoder and of an expert in it, from 0."""

MAX_NEW_TOKENS = 256
ALL = 1 << 20
"""More tokens than a conversation has: the ways of all of them are kept."""


@dataclass(frozen=True)
class Turn:
    """What was asked and answered before."""

    question: str
    answer: str


@dataclass(frozen=True)
class Step:
    """The first choices of one token.

    Args:
        kind: `image`, `prompt` or `answer`.
        text: the token; of a picture's the number of its patch, from 1.
        experts: one per sparse layer.
    """

    kind: str
    text: str
    experts: tuple[int, ...]


@dataclass(frozen=True)
class Way:
    """The steps of all tokens of a conversation, in their order.

    Args:
        layers: indices of the sparse layers.
        steps: of all tokens.
        off: experts that were switched off.
    """

    layers: tuple[int, ...]
    steps: tuple[Step, ...]
    off: frozenset[Expert] = frozenset()


class Talker:
    """A model, loaded.

    Raises:
        UserError: when it does not fit into the memory, and whatever else `ModelSource.load` complains about.
    """

    def __init__(self, source: ModelSource):
        self.name, self.is_sparse = source.title, source.is_sparse
        self.model, self.processor = source.load()
        self._lock = Lock()  # what is recorded, and what is switched off, are of one answer at a time

    @property
    def experts(self) -> list[Expert]:
        """Those that can be switched off."""
        if not self.is_sparse:
            return []
        from moellava.sparse_layers import sparse_layers

        layers = sparse_layers(self.model.get_decoder())
        return [(layer.index, expert) for layer in layers for expert in layer.numbers]

    def answer(
        self, picture: "Image | None", before: Sequence[Turn], question: str, off: Sequence[Expert] = ()
    ) -> Iterator[tuple[str, Way | None]]:
        """The answer so far, again and again as it grows, greedy; at the end with its way, for a sparse model.

        Args:
            off: experts that are switched off meanwhile (`moellava.pruning`).

        Raises:
            UserError: for an expert that there is not, when the memory is full, or the model cannot answer.
        """
        from transformers import TextIteratorStreamer

        inputs = self._inputs(picture, before, question)
        streamer = TextIteratorStreamer(self.processor.tokenizer, skip_prompt=True, skip_special_tokens=True)
        failed: list[Exception] = []
        ways: list[Way] = []

        def generate() -> None:
            try:
                ways.extend(self._generate(inputs, streamer, off))
            except Exception as error:  # told by the thread that reads
                failed.append(error)
            finally:
                streamer.end()

        with self._lock:
            thread = Thread(target=generate)
            thread.start()
            text = ""
            for more in streamer:
                text += more
                yield text.strip(), None
            thread.join()
        if failed:
            raise UserError(f"{self.name}: {one_line(failed[0])}") from failed[0]
        yield text.strip(), ways[0] if ways else None

    def _inputs(self, picture: "Image | None", before: Sequence[Turn], question: str) -> Any:
        messages: list[dict[str, Any]] = []
        for turn in before:
            messages += [_message("user", turn.question), _message("assistant", turn.answer)]
        messages.append(_message("user", question))
        if picture is not None:
            messages[0]["content"].insert(0, {"type": "image"})
        try:
            prompt = self.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            images = None if picture is None else [[picture.convert("RGB")]]
            options = picture_options(self.processor, pad_images=True)
            inputs = self.processor(text=[prompt], images=images, return_tensors="pt", **options)
        except (ValueError, TypeError, KeyError, IndexError) as error:  # such as a picture's token in a question
            raise UserError(f"{self.name}: its processor cannot prepare this: {one_line(error)}") from error
        return inputs.to(self.model.device, dtype=self.model.dtype)

    def _generate(self, inputs: Any, streamer: Any, off: Sequence[Expert]) -> list[Way]:
        import torch

        from moellava.pruning import prune
        from moellava.routing import RoutingRecorder

        recorder = RoutingRecorder(self.model, ALL, ALL, ALL) if self.is_sparse else nullcontext()
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            for handle in prune(self.model.get_decoder(), off) if off else ():
                stack.callback(handle.remove)
            stack.enter_context(recorder)
            self.model.generate(**inputs, streamer=streamer, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
        return [self._way(recorder, off)] if isinstance(recorder, RoutingRecorder) else []

    def _way(self, recorder: Any, off: Sequence[Expert]) -> Way:
        (sequence,) = recorder.sequences
        steps, patches = [], 0
        for path in sequence.paths:
            if path.modality == "image":
                patches += 1
                steps.append(Step("image", str(patches), path.experts))
            else:
                kind = "answer" if path.position >= sequence.prompt_tokens else "prompt"
                steps.append(Step(kind, self.processor.tokenizer.decode([path.token]), path.experts))
        return Way(recorder.layers, tuple(steps), frozenset(off))


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text}]}
