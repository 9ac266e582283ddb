"""A recorded case of a compared system beside its converted model; used by the tests of each."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from moellava.convert import convert

__all__ = ["TOLERANCE", "RecordedCase", "up_to"]

TOLERANCE = {"rtol": 0.0, "atol": 1e-5}


class RecordedCase:
    """What the original gave, and our model and processor, loaded through the Auto classes from a conversion into `out`."""

    def __init__(self, folder: Path, out: Path):
        self.folder = folder
        convert(folder / "checkpoint", out)
        self.model = AutoModelForImageTextToText.from_pretrained(out, dtype=torch.float32).eval()
        self.processor = AutoProcessor.from_pretrained(out)

    @cached_property
    def record(self) -> dict[str, Any]:
        return json.loads((self.folder / "io.json").read_text())

    @cached_property
    def tensors(self) -> dict[str, torch.Tensor]:
        return load_file(self.folder / "io.safetensors")

    def recorded(self, kind: str) -> dict[str, torch.Tensor]:
        """The tensors `KIND.NAME`, by name."""
        return {name.split(".", 1)[1]: value for name, value in self.tensors.items() if name.startswith(f"{kind}.")}

    def image(self, name: str) -> Image.Image:
        """A picture by its file name, with or without its ending."""
        (path,) = [path for path in (self.folder / "images").iterdir() if name in (path.name, path.stem)]
        return Image.open(path)

    def pixel_values(self, name: str) -> torch.Tensor:
        """[1, 3, height, width] of a picture."""
        return self.processor.image_processor(self.image(name), return_tensors="pt")["pixel_values"]

    def inputs(self, prompts: list[str], images: list[list[str]], **options: Any) -> Any:
        pictures = [[self.image(name) for name in names] for names in images]
        return self.processor(text=prompts, images=pictures, return_tensors="pt", **options)

    @torch.inference_mode()
    def greedy(self, inputs: Any, tokens: int) -> list[list[int]]:
        """New ids, past any end."""
        ids = self.model.generate(**inputs, max_new_tokens=tokens, eos_token_id=None)
        return ids[:, inputs["input_ids"].shape[1] :].tolist()

    def loss(self, inputs: Any, target: list[int]) -> float:
        """Mean negative log-probability of the ids of an answer."""
        ids = torch.cat([inputs["input_ids"], torch.tensor([target])], dim=1)
        logits = self.model(input_ids=ids, pixel_values=inputs["pixel_values"]).logits[0, -len(target) - 1 : -1]
        return torch.nn.functional.cross_entropy(logits, torch.tensor(target)).item()

    def check_logits(self, name: str, inputs: Any) -> None:
        """Those of a prompt are the recorded ones."""
        logits = self.model(**inputs).logits[0, self.record["prompts"][name]["logit_positions"]]
        torch.testing.assert_close(logits, self.tensors[f"{name}.logits"], **TOLERANCE)

    def check_batch(self, inputs: Any, answers: list[list[int]], end: int) -> None:
        """The last logits of a batch padded on the left are the recorded ones, and so are its answers up to their end."""
        torch.testing.assert_close(
            self.model(**inputs).logits[:, -1], self.tensors["batch_left.last_logits"], **TOLERANCE
        )
        ours = self.greedy(inputs, max(map(len, answers)))
        assert [up_to(ids, {end}) for ids in ours] == [up_to(ids, {end}) for ids in answers]


def up_to(ids: list[int], ends: set[int]) -> list[int]:
    """Ids up to and including the first end; what follows is the original's way to stop."""
    first = next((place for place, token in enumerate(ids) if token in ends), len(ids))
    return ids[: first + 1]
