"""Our backend as a model of lmms-eval: `lmms-eval --model moe_llava --model_args pretrained=MODEL --tasks ...`.

lmms-eval imports this module when the model is asked for by name; nothing of ours does.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms
from loguru import logger
from tqdm import tqdm

from moe_eval.engine.backend import Request, Unanswered
from moe_eval.engine.choose import choose_backend
from moe_eval.engine.models import ModelSource
from moe_eval.engine.prompting import encode
from moe_eval.errors import UserError
from moe_eval.lmms.request import is_greedy, max_new_tokens, pictures_only

__all__ = ["MoELlava"]


class MoELlava(lmms):
    """Any model of the zoo, a folder or the hub, answering lmms-eval's requests greedily, those about one picture together
    where the prefix engine can.

    Args:
        pretrained: what `moe-eval run` takes: a name of `moe-eval list models`, a folder, or `hf:ORG/NAME`.
        dtype: auto, float32, bfloat16 or float16.
        device: auto, cpu, cuda, cuda:1, ...
        batch_size: prompts per batch of `generate`; the prefix engine takes what fits into memory.
        max_batch_size: accepted because lmms-eval passes it on; the batch size is never guessed.
        router_noise_seed: draw second experts with noise from this seed, as the original's evaluation does.
        pad_images: pad pictures to squares. The original does not for ScienceQA and MM-Vet.
    """

    is_simple = True

    def __init__(
        self,
        pretrained: str,
        dtype: str = "auto",
        device: str = "auto",
        batch_size: int | str = 16,
        max_batch_size: int | str | None = None,
        router_noise_seed: int | None = None,
        pad_images: bool = True,
    ) -> None:
        super().__init__()
        if not str(batch_size).isdigit():
            raise UserError(f"moe_llava: --batch_size is a number of prompts, not {batch_size!r}")
        if device == "auto" and torch.cuda.is_available():
            device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
        self._source = ModelSource(str(pretrained), dtype, device, router_noise_seed)
        self._source.check_name()
        self._batch_size = int(batch_size)
        self._pad_images = pad_images
        self._backend = self._new_backend()

    @property
    def device(self) -> torch.device:
        return self._source.torch_device

    def generate_until(self, requests: list[Instance]) -> list[GenerationResult]:
        """One greedy answer per request, in their order.

        Stop strings (`until`) are not looked at, as lmms-eval's own LLaVA does not: answers end with the model's end
        token or the length limit.
        """
        answers: dict[str, GenerationResult] = {}
        asked = self._asked(requests)
        for answer in tqdm(self._backend.generate(asked), total=len(requests), disable=self.rank != 0):
            if isinstance(answer, Unanswered):
                raise UserError(f"moe_llava: request {answer.id}: {answer.reason}")
            answers[answer.id] = GenerationResult(answer.text, TokenCounts(output_tokens=answer.tokens))
        return [answers[str(number)] for number in range(len(requests))]

    def generate_until_multi_round(self, requests: list[Instance]) -> list[list[str]]:
        """The answers of all rounds of each request; what is asked next depends on what was answered."""
        return [self._play(request) for request in tqdm(requests, disable=self.rank != 0)]

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Mean negative log-likelihood of each continuation's tokens, and whether it is the greedy answer.

        A loss, the smaller the better, is what lmms-eval's own models give and its tasks expect.
        """
        return [self._loss(request) for request in tqdm(requests, disable=self.rank != 0)]

    def clean(self) -> None:
        """Gives the weights free: lmms-eval calls this between answering and scoring."""
        self._backend = self._new_backend()
        super().clean()

    def _new_backend(self) -> Any:
        return choose_backend(self._source, batch_size=self._batch_size)[0]

    def _asked(self, requests: Sequence[Instance]) -> Iterator[Request]:
        warned = False
        for number, request in enumerate(requests):
            text, options, doc_to_visual, doc_id, task, split = request.args
            if not warned and not is_greedy(options):
                warned = True
                logger.warning(f"{task} asks for sampling or beams ({options}); moe_llava answers greedily")
            show = partial(_show, doc_to_visual, self.task_dict[task][split], doc_id)
            yield self._request(str(number), text, options, show)

    def _request(self, name: str, text: str, options: Mapping[str, Any], show: Callable[[], Any]) -> Request:
        pictures = pictures_only(show(), name)
        shown = tuple(_Shown(_digest(one), position, show) for position, one in enumerate(pictures))
        pads = self._pad_images and options.get("image_aspect_ratio", "pad") == "pad"
        return Request(name, shown, text, max_new_tokens(options), pad_images=pads)

    def _play(self, request: Instance) -> list[str]:
        text, options, doc_to_visual, doc_to_text, doc_id, task, split = request.args
        doc = self.task_dict[task][split][doc_id]
        pictures, answers, state, ended = doc_to_visual(doc), [], None, False
        while not ended:
            asked = self._request(f"{task}:{doc_id}", text, options, partial(list, pictures or ()))
            (answer,) = self._backend.generate([asked])
            if isinstance(answer, Unanswered):
                raise UserError(f"moe_llava: {answer.id}: {answer.reason}")
            answers.append(answer.text)
            pictures, text, ended, given, state = doc_to_text(
                doc, previous_output=answers, round_idx=len(answers), previous_round_info=state
            )
            answers = list(given)
        return answers

    def _loss(self, request: Instance) -> tuple[float, bool]:
        text, target, doc_to_visual, doc_id, task, split = request.args
        doc = self.task_dict[task][split][doc_id]
        continuation = str(target(doc)) if callable(target) else target
        asked = self._request(f"{task}:{doc_id}", text, {}, lambda: doc_to_visual(doc))
        model, processor = self._backend.loaded
        batch = [(asked, [image.open() for image in asked.images])]
        before = encode(processor, batch)["input_ids"][0]
        inputs = encode(processor, batch, [continuation]).to(model.device, dtype=model.dtype)
        ids = inputs["input_ids"][0]  # [T]
        start = _common_length(before.tolist(), ids.tolist())
        self._backend.ask([asked.id])
        with torch.no_grad():
            logits = model(**inputs).logits[0, start - 1 : -1].float()  # [continuation, vocabulary]
        loss = torch.nn.functional.cross_entropy(logits, ids[start:])
        return loss.item(), bool((logits.argmax(-1) == ids[start:]).all())


@dataclass(frozen=True)
class _Shown:
    """A picture of a task's, which is not kept: the task shows it again when a model looks at it.

    Args:
        name: of its pixels, by which requests are known to be about one picture.
        position: among those that are shown.
        show: the task's pictures of the document.
    """

    name: str
    position: int = field(compare=False)
    show: Callable[[], Any] = field(repr=False, compare=False)

    def open(self) -> Any:
        return self.show()[self.position].convert("RGB")


def _show(doc_to_visual: Callable[[Any], Any], docs: Sequence[Any], doc_id: int) -> Any:
    return doc_to_visual(docs[doc_id])


def _digest(image: Any) -> str:
    """SHA-256 of a picture's mode, size and pixels."""
    return hashlib.sha256(f"{image.mode}{image.size}".encode() + image.tobytes()).hexdigest()


def _common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two sequences begin with alike; less than all of the second, so that something is left of it."""
    pairs = zip(one, other[:-1], strict=False)
    return next((position for position, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other) - 1))
