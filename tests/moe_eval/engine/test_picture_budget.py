"""One number for every processor's way of spending tokens on pictures, held against the tokens that pictures become."""

from pathlib import Path

import pytest
from PIL import Image

from moe_eval.engine.backend import Request
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.models import ModelSource
from moe_eval.engine.picture_budget import parse_settings
from moe_eval.engine.prompting import encode
from moe_eval.errors import UserError
from tests.tiny_architectures import write_tiny
from tests.tiny_models import picture

pytestmark = pytest.mark.usefixtures("one_thread")
ATOMS = {"ovis2": "<IMG_ATOM>"}
"""The token that stands for a piece of a picture, where the processor does not say it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    """Folders of tiny models, each written once."""
    written: dict[str, Path] = {}

    def of(architecture: str) -> str:
        if architecture not in written:
            written[architecture] = write_tiny(architecture, tmp_path_factory.mktemp(architecture))
        return str(written[architecture])

    return of


def most_tokens(architecture: str, source: ModelSource) -> int:
    """Tokens of the picture that becomes most."""
    processor = source.load_processor()
    atom = ATOMS.get(architecture)
    token = processor.tokenizer.convert_tokens_to_ids(atom) if atom else processor.image_token_id
    pictures = [Image.new("RGB", size) for size in ((64, 64), (400, 400), (600, 200))]
    question = Request("1", (), "?", 1)
    return max(encode(processor, [(question, [one])])["input_ids"][0].tolist().count(token) for one in pictures)


@pytest.mark.parametrize(
    ("architecture", "budget", "least"),
    [
        ("qwen3_vl", 64, 50),
        ("glm4v", 64, 50),
        ("paddleocr_vl", 30, 20),
        ("internvl", 4, 4),
        ("internvl", 21, 20),
        ("ovis2", 16, 16),
        ("aya_vision", 64, 50),
        ("idefics2", 20, 20),
        ("idefics3", 70, 60),
        ("gemma4", 150, 100),
        ("aria", 4, 4),
        ("llava_next", 14, 10),
        ("llava_onevision", 40, 36),
    ],
)
def test_no_picture_becomes_more_and_the_budget_is_used(architecture, budget, least, folder):
    assert least <= most_tokens(architecture, ModelSource(folder(architecture), picture_tokens=budget)) <= budget


@pytest.mark.parametrize("architecture", ["qwen3_vl", "internvl", "llava_next", "llava_onevision"])
def test_the_model_answers_within_the_budget(architecture, folder):
    source = ModelSource(folder(architecture), picture_tokens=40, device="cpu")

    class Picture:
        name = "a"

        def open(self) -> Image.Image:
            return picture(0, (200, 90))

    assert list(GenerateBackend(source).generate([Request("1", (Picture(),), "?", 2)]))
    assert source.title.endswith("+40-picture-tokens")
    assert source.describe("generate").picture_tokens == 40


@pytest.mark.parametrize(
    ("architecture", "options", "message"),
    [
        ("llava", {"picture_tokens": 50}, r"has no budget of tokens; leave it out\. It knows crop_size, "),
        ("gemma4", {"picture_tokens": 4}, r"at least 70 here; there are 70, 140, 280, 560, 1120"),
        ("internvl", {"picture_tokens": 3}, r"at least 4"),
        ("qwen3_vl", {"processor_kwargs": {"max_pixel": 50}}, r"did you mean max_pixels"),
        ("gemma4", {"processor_kwargs": {"max_soft_tokens": 5}}, r"refuses max_soft_tokens=5"),
    ],
)
def test_what_a_processor_does_not_know_is_one_line(architecture, options, message, folder):
    with pytest.raises(UserError, match=message) as caught:
        ModelSource(folder(architecture), **options).load_processor()
    assert "\n" not in str(caught.value)


def test_settings_of_the_image_processor_win_over_those_of_every_call(folder):
    source = ModelSource(folder("internvl"), processor_kwargs={"crop_to_patches": False})
    assert most_tokens("internvl", source) == 4


def test_values_are_json_and_else_text():
    given = 'do_resize=false,size={"height": 28, "width": 28},resample=3,mode=RGB'
    settings = {"do_resize": False, "size": {"height": 28, "width": 28}, "resample": 3, "mode": "RGB"}
    assert parse_settings(given) == settings


def test_a_setting_without_a_value_is_told():
    with pytest.raises(UserError, match="NAME=VALUE"):
        parse_settings("do_resize")
