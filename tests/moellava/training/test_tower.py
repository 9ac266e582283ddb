"""Stage 0: a tower learns labels of patches, goes on where it was, and is a tower that stage 1 takes."""

import itertools
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, CLIPVisionConfig

from moellava.training import tower as module
from moellava.training.errors import TrainingError
from moellava.training.recipe import Recipe
from moellava.training.tower import PatchClassifier, train_tower

COLOURS = {1: (255, 0, 0), 2: (0, 0, 255)}
VISION = {
    "model_type": "clip_vision_model",
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four pictures of 2 x 2 patches, of which one is red or blue."""
    lines = []
    for number in range(8):
        colour, place = 1 + number % 2, number // 2
        picture = Image.new("RGB", (16, 16), "white")
        picture.paste(COLOURS[colour], (8 * (place % 2), 8 * (place // 2), 8 * (place % 2) + 8, 8 * (place // 2) + 8))
        picture.save(tmp_path / f"{number}.png")
        labels = [colour if patch == place else 0 for patch in range(4)]
        lines.append(json.dumps({"id": str(number), "image": f"{number}.png", "patches": {"colour": labels}}))
    (tmp_path / "patches.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def recipe(data: Path, output: str = "tower", **train) -> Recipe:
    settings = {
        "per_device_batch_size": 4,
        "max_steps": 12,
        "learning_rate": 0.01,
        "optimizer": "muon",
        "group_by_modality_length": False,
        "save_steps": 4,
        "tensorboard": False,
    }
    return Recipe(
        stage="tower",
        output=data / output,
        trains="all",
        vision_config=VISION,
        vision_feature_layer=-1,
        data=[{"file": data / "patches.jsonl", "images": data}],
        train={**settings, **train},
    )


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "training_log.jsonl").read_text().splitlines()]


def test_it_learns_and_is_saved_as_a_tower_with_its_preprocessing(data):
    folder = train_tower(recipe(data))
    assert losses(folder)[-1] < 0.5 * losses(folder)[0]
    tower = AutoModel.from_pretrained(folder)
    pixel_values = AutoImageProcessor.from_pretrained(folder, backend="pil")(
        Image.open(data / "0.png"), return_tensors="pt"
    )["pixel_values"]
    assert tower(pixel_values=pixel_values).last_hidden_state.shape == (1, 5, 16)
    assert not list(folder.glob("checkpoint-*"))


def test_a_run_that_was_cut_off_gives_the_same_weights(data, monkeypatch):
    whole = train_tower(recipe(data, "whole"))
    with monkeypatch.context() as patch:
        patch.setattr(module, "collate", _interrupted_at(module.collate, batch=7))
        with pytest.raises(KeyboardInterrupt):
            train_tower(recipe(data, "cut"))
    assert list((data / "cut").glob("checkpoint-*"))
    cut = train_tower(recipe(data, "cut"))
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert losses(cut) == losses(whole)


def _interrupted_at(collate, batch: int):
    batches = itertools.count(1)

    def interrupted(items):
        if next(batches) == batch:
            raise KeyboardInterrupt
        return collate(items)

    return interrupted


def test_the_background_weighs_as_much_as_asked():
    torch.manual_seed(0)
    model = PatchClassifier(
        CLIPVisionConfig(**{k: v for k, v in VISION.items() if k != "model_type"}), {"a": 2}, -1, 0.0
    )
    pixel_values = torch.rand(1, 3, 16, 16)
    output = model(pixel_values, {"a": torch.tensor([[0, 1, 0, 0]])})
    assert output.loss.item() == pytest.approx(-output.logits["a"][0, 1].log_softmax(0)[1].item(), rel=1e-5)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "1", "image": "0.png"}', "line 9: wants id, image and patches"),
        ('{"id": "1", "image": "0.png", "patches": {"colour": [0, 1]}}', "patches.colour has 2 labels for 4 patches"),
        ('{"id": "1", "image": "0.png", "patches": {"shape": [0, 0, 0, 0]}}', "labels ['shape'], before ['colour']"),
        ("{", "line 9: wants id"),
    ],
)
def test_a_bad_line_is_named(data, line, message):
    with (data / "patches.jsonl").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(TrainingError, match=r"line 9") as raised:
        train_tower(recipe(data))
    assert message in str(raised.value)


def test_a_missing_picture_is_named(data):
    (data / "0.png").unlink()
    with pytest.raises(TrainingError, match=r"0\.png cannot be read"):
        train_tower(recipe(data))
