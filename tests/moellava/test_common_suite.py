"""transformers' own test suite on our model, where its source can be had (the wheel does not carry it).

It is looked for beside an editable installation of transformers, or at TRANSFORMERS_SOURCE. Llava itself fails what is
named in `LLAVA_FAILS`; nothing else may fail.
"""

import importlib
import importlib.util
import os
import sys
import unittest
from pathlib import Path
from types import ModuleType

import pytest
import torch
import transformers

from moellava import MoEConfig, MoELlavaConfig, MoELlavaForConditionalGeneration, MoELlavaModel
from tests.tiny_models import BACKBONES

SOURCE = Path(os.environ.get("TRANSFORMERS_SOURCE") or Path(transformers.__file__).parents[2])
LLAVA_FAILS = (  # the last layer of the tower and its norm get no gradient: features come from the layer before
    "test_training_gradient_checkpointing",
    "test_training_gradient_checkpointing_use_reentrant_false",
    "test_training_gradient_checkpointing_use_reentrant_true",
)
LLAVA_FAILS_ON = {
    "stablelm": ("test_model_rope_scaling_frequencies", "test_model_rope_scaling_from_config_1_dynamic"),
}
IMAGE_SIZE, PATCHES, TEXT = 8, 16, 7


def suite_module(name: str) -> ModuleType:
    """A module of transformers' test folder, imported as `transformers_suite.NAME` (ImportError: not there)."""
    if "transformers_suite" not in sys.modules:
        folder = SOURCE / "tests"
        package = folder / "__init__.py"
        if not (folder / "test_modeling_common.py").is_file() or not package.is_file():
            raise ImportError(f"{SOURCE} is no source checkout of transformers")
        spec = importlib.util.spec_from_file_location(
            "transformers_suite", package, submodule_search_locations=[str(folder)]
        )
        assert spec is not None
        assert spec.loader is not None
        sys.modules["transformers_suite"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["transformers_suite"])
    return importlib.import_module(f"transformers_suite.{name}")


try:
    ModelTesterMixin = suite_module("test_modeling_common").ModelTesterMixin
    GenerationTesterMixin = suite_module("generation.test_utils").GenerationTesterMixin
except ImportError as error:
    pytest.skip(f"transformers' tests cannot be imported: {error}", allow_module_level=True)


class ModelTester:
    """What the mixins ask for: a tiny configuration and inputs, pictures first."""

    is_training, batch_size, num_hidden_layers, hidden_size, num_attention_heads = True, 3, 2, 32, 4
    seq_length = encoder_seq_length = PATCHES + TEXT

    def __init__(self, backbone: str, layers: tuple[int, ...]):
        self.backbone, self.layers = backbone, layers

    def get_config(self) -> MoELlavaConfig:
        sizes = {
            "hidden_size": 32,
            "intermediate_size": 40,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 512,
        }
        vision = {**sizes, "image_size": IMAGE_SIZE, "patch_size": 2, "projection_dim": 32}
        text = {**sizes, "vocab_size": 99, "num_key_value_heads": 4, "pad_token_id": 1}
        return MoELlavaConfig(
            text_config={"model_type": self.backbone, **text},
            vision_config={"model_type": "clip_vision_model", **vision},
            image_token_index=0,
            image_seq_length=PATCHES,
            vision_feature_layer=-1,
            moe=MoEConfig(layers=list(self.layers)),
        )

    def prepare_config_and_inputs_for_common(self) -> tuple[MoELlavaConfig, dict[str, torch.Tensor]]:
        input_ids = torch.randint(2, 99, (self.batch_size, self.seq_length))
        input_ids[:, :PATCHES] = 0
        pixel_values = torch.rand(self.batch_size, 3, IMAGE_SIZE, IMAGE_SIZE)
        inputs = {"pixel_values": pixel_values, "input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}
        return self.get_config(), inputs


class CommonSuite(ModelTesterMixin, GenerationTesterMixin):
    _is_composite = True
    all_model_classes = (MoELlavaModel, MoELlavaForConditionalGeneration)
    all_generative_model_classes = (MoELlavaForConditionalGeneration,)
    backbone: str
    layers: tuple[int, ...]

    def setUp(self) -> None:
        if self._testMethodName in (*LLAVA_FAILS, *LLAVA_FAILS_ON.get(self.backbone, ())):
            self.skipTest("Llava fails it, too")
        self.model_tester = ModelTester(self.backbone, self.layers)


for backbone in BACKBONES:
    for where, layers in {"everywhere": (0, 1), "layer_0": (0,)}.items():
        name = f"TestSuite_{backbone}_{where}"
        body = {"backbone": backbone, "layers": layers, "__module__": __name__}
        globals()[name] = pytest.mark.slow(type(name, (CommonSuite, unittest.TestCase), body))
