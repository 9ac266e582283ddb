"""Stage 0 of a model made from nothing: a vision tower that learns to tell what every patch of a picture shows.

Published towers come from CLIP or SigLIP. A small one for experiments learns faster from dense labels: for each patch
and each kind of label (such as shape and colour) one of a few classes. The classifiers are thrown away; the tower and
its preprocessing are saved as a folder that stage 1 takes as `vision_tower`.

B batch, P patches, C classes of a kind.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from PIL import Image
from torch import nn
from torch.utils.data import Dataset
from transformers import AutoConfig, AutoModel
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.utils import ModelOutput

from moellava.training.errors import TrainingError
from moellava.training.recipe import DataRecipe, Recipe
from moellava.training.reporting import ConsoleReport, JsonLog
from moellava.training.trainer import SafeTrainer, ShuffledSampler

__all__ = ["PatchClassifier", "PatchDataset", "train_tower"]


class PatchDataset(Dataset):
    """Pictures with labels for each patch.

    A file is JSON lines: `{"id", "image", "patches": {kind: [P class numbers], ...}}`, patches row by row, class 0 for
    "nothing of this kind". All items have the same kinds.

    Raises:
        TrainingError: a missing file or picture folder, a line that is not such an item.
    """

    def __init__(self, files: Sequence[DataRecipe], image_processor: LlavaImageProcessorPil, num_patches: int):
        self.image_processor = image_processor
        self.items: list[tuple[str, Path]] = []
        labels: dict[str, list[np.ndarray]] = {}
        for data in files:
            for number, line in enumerate(_lines(data.file), start=1):
                where = f"{data.file} line {number}"
                try:
                    item = json.loads(line)
                    rows = {kind: np.array(row, dtype=np.uint8) for kind, row in item["patches"].items()}
                    self.items.append((f"{where} {item['id']}", (data.images or Path()) / item["image"]))
                except (ValueError, KeyError, TypeError, OverflowError) as error:
                    raise TrainingError(f"{where}: wants id, image and patches ({error})") from None
                if labels and rows.keys() != labels.keys():
                    raise TrainingError(f"{where}: labels {sorted(rows)}, before {sorted(labels)}")
                for kind, row in rows.items():
                    if row.shape != (num_patches,):
                        raise TrainingError(f"{where}: patches.{kind} has {row.size} labels for {num_patches} patches")
                    labels.setdefault(kind, []).append(row)
        self.labels = {kind: np.stack(rows) for kind, rows in labels.items()}

    @property
    def num_classes(self) -> dict[str, int]:
        """Classes per kind, counting 0."""
        return {kind: int(rows.max()) + 1 for kind, rows in self.labels.items()}

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        name, path = self.items[index]
        try:
            with Image.open(path) as picture:
                pixel_values = self.image_processor(picture.convert("RGB"), return_tensors="pt")["pixel_values"][0]
        except OSError as error:
            raise TrainingError(f"{name}: {path} cannot be read: {error}") from error
        return {"id": name, "pixel_values": pixel_values, "labels": {k: rows[index] for k, rows in self.labels.items()}}


@dataclass
class PatchOutput(ModelOutput):
    """`loss`: scalar; `logits`: by kind, [B, P, C] float32."""

    loss: torch.Tensor | None = None
    logits: dict[str, torch.Tensor] | None = None


class PatchClassifier(nn.Module):
    """A vision tower with a linear classifier per kind of label on the features that a Llava model takes from it.

    Args:
        config: of a CLIP or SigLIP vision model.
        num_classes: by kind; class 0 is the background.
        feature_layer: whose output the classifiers (and later the projector) see; -1 is the last.
        background_weight: of class 0 in the loss; most patches show nothing, and that is learned first.
    """

    def __init__(self, config: Any, num_classes: Mapping[str, int], feature_layer: int, background_weight: float):
        super().__init__()
        self.tower = AutoModel.from_config(config)
        self.num_class_tokens = int("siglip" not in config.model_type)
        self.feature_layer, self.background_weight = feature_layer, background_weight
        self.norm = nn.LayerNorm(config.hidden_size)
        self.heads = nn.ModuleDict({kind: nn.Linear(config.hidden_size, n) for kind, n in num_classes.items()})

    def forward(self, pixel_values: torch.Tensor, labels: Mapping[str, torch.Tensor] | None = None) -> PatchOutput:
        """Logits by kind from [B, 3, height, width]; with labels ([B, P] int64 by kind) also their summed loss."""
        outputs = self.tower(pixel_values=pixel_values, output_hidden_states=True)
        features = self.norm(outputs.hidden_states[self.feature_layer][:, self.num_class_tokens :])  # [B, P, H]
        logits = {kind: head(features) for kind, head in self.heads.items()}
        if labels is None:
            return PatchOutput(logits=logits)
        loss = reduce(torch.add, (self._loss(logits[kind], labels[kind]) for kind in logits))
        return PatchOutput(loss=loss, logits=logits)

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        weight = logits.new_ones(logits.shape[-1])
        weight[0] = self.background_weight
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), weight)


def collate(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A batch: `pixel_values` [B, 3, height, width], `labels` [B, P] int64 by kind, `ids`."""
    labels = {kind: np.stack([item["labels"][kind] for item in items]).astype(np.int64) for kind in items[0]["labels"]}
    return {
        "ids": [item["id"] for item in items],
        "pixel_values": torch.stack([item["pixel_values"] for item in items]),
        "labels": {kind: torch.from_numpy(rows) for kind, rows in labels.items()},
    }


def train_tower(recipe: Recipe, fresh: bool = False) -> Path:
    """Train a tower, or go on with it where it was, and save it; returns its folder.

    Raises:
        TrainingError: bad recipe or data, a loss that is not a number, a full disk.
    """
    from moellava.training.run import only_training

    with only_training(recipe.output):
        return _train_tower(recipe, fresh)


def _train_tower(recipe: Recipe, fresh: bool) -> Path:
    from moellava.training.run import finish_run, prepare_output  # both know how a run's folder looks

    transformers.utils.logging.disable_progress_bar()
    if not recipe.vision_config:
        raise TrainingError("stage tower makes a tower from nothing: it needs vision_config")
    if prepare_output(recipe, fresh):
        return recipe.output
    config = AutoConfig.for_model(**recipe.vision_config)
    side = {"height": config.image_size, "width": config.image_size}
    image_processor = LlavaImageProcessorPil(size=side, crop_size=side, do_center_crop=False, do_pad=True)
    dataset = PatchDataset(recipe.data, image_processor, (config.image_size // config.patch_size) ** 2)
    torch.manual_seed(recipe.train.seed)
    model = PatchClassifier(config, dataset.num_classes, recipe.vision_feature_layer, recipe.background_weight)
    trainer = SafeTrainer(
        recipe,
        ShuffledSampler(dataset, recipe.train.seed),
        model=model,
        train_dataset=dataset,
        data_collator=collate,
        callbacks=[ConsoleReport(recipe.output.name), JsonLog(recipe.output)],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    started = time.time()
    result = trainer.train_from_newest_checkpoint()

    def save(folder: Path) -> None:
        model.tower.save_pretrained(folder)
        image_processor.save_pretrained(folder)

    facts = {"steps": result.global_step, "seconds": round(time.time() - started, 1), "mean_loss": result.training_loss}
    finish_run(recipe, save, facts)
    return recipe.output


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: cannot be read ({error})") from None
