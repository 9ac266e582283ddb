"""Prompts are tokenised in pieces around their pictures, and pictures become as many tokens as the tower gives rows."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor

from moellava import MoELlavaProcessor
from moellava.convert import convert
from tests.tiny_models import TOWERS, picture, tiny_config, tiny_inputs, tiny_model, tiny_processor

ORACLE = Path(__file__).parents[1] / "data" / "oracle"


def pixels(processor: MoELlavaProcessor, images, text, **options) -> torch.Tensor:
    return processor(images=images, text=text, return_tensors="pt", **options)["pixel_values"]


# Pictures


@pytest.mark.parametrize(
    "images",
    [
        [picture(0), picture(1), picture(2)],
        [[picture(0), picture(1)], [picture(2)]],
        [[picture(0), picture(1)], [], [picture(2)]],
        (picture(0), [picture(1), picture(2)]),
    ],
    ids=["flat", "per prompt", "with an empty prompt", "mixed"],
)
def test_pictures_may_come_flat_or_per_prompt(images):
    text = ["<image><image>", "<image>"]
    expected = torch.cat([pixels(tiny_processor(), picture(seed), "<image>") for seed in range(3)])
    assert torch.equal(pixels(tiny_processor(), images, text, padding=True), expected)


def test_one_picture_may_stand_alone():
    assert pixels(tiny_processor(), picture(0), "<image>").shape == (1, 3, 28, 28)


def test_arrays_are_pictures_too():
    expected = pixels(tiny_processor(), picture(0), "<image>")
    assert torch.equal(pixels(tiny_processor(), [np.asarray(picture(0))], "<image>"), expected)


@pytest.mark.parametrize(
    ("images", "text", "message"),
    [
        (None, "<image> What?", "1 <image> in the prompts, but 0 pictures"),
        ([picture(0)], "What?", "0 <image> in the prompts, but 1 pictures"),
        ([[picture(0)], [picture(1)]], ["<image><image>", "<image>"], "3 <image> in the prompts, but 2 pictures"),
    ],
)
def test_pictures_that_do_not_fit_the_prompts_are_refused(images, text, message):
    with pytest.raises(ValueError, match=message):
        tiny_processor()(images=images, text=text)


def test_pictures_without_a_prompt_are_processed_alone():
    inputs = tiny_processor()(images=picture(0), return_tensors="pt")
    assert inputs.keys() == {"pixel_values"}
    assert torch.equal(inputs["pixel_values"], pixels(tiny_processor(), picture(0), "<image>"))


def test_nothing_at_all_is_refused():
    with pytest.raises(ValueError, match="nothing to process"):
        tiny_processor()()


def test_a_prompt_without_pictures_has_no_pixel_values():
    assert set(tiny_processor()(text="Yes?")) == {"input_ids", "attention_mask"}


@pytest.mark.parametrize("tower", TOWERS)
def test_padding_to_a_square_can_be_switched_off(tower):
    wide = picture(0, (56, 28))
    padded = pixels(tiny_processor(tower), wide, "<image>")
    assert not torch.equal(pixels(tiny_processor(tower), wide, "<image>", do_pad=False), padded)


@pytest.mark.parametrize("tower", TOWERS)
def test_a_square_picture_needs_no_padding(tower):
    square = picture(0, (30, 30))
    unpadded = pixels(tiny_processor(tower), square, "<image>", do_pad=False)
    assert torch.equal(pixels(tiny_processor(tower), square, "<image>"), unpadded)


@pytest.mark.parametrize(
    ("mean", "background"),
    [([0.48145466, 0.4578275, 0.40821073], (122, 116, 104)), ([0.5, 0.5, 0.5], (127, 127, 127))],
    ids=TOWERS,
)
def test_the_margin_has_the_mean_colour_and_the_odd_pixel_below(mean, background):
    processor = tiny_processor()
    processor.image_processor.image_mean = mean
    processor.image_processor.image_std = [1.0, 1.0, 1.0]
    white = Image.new("RGB", (28, 27), "white")  # 1 row to add
    values = pixels(processor, white, "<image>", do_resize=False)[0]
    levels = (values + torch.tensor(mean)[:, None, None]) * 255
    assert levels[:, -1].round().int().T.unique(dim=0).tolist() == [list(background)]
    assert levels[:, :-1].round().int().unique().tolist() == [255]


# Rows of picture features


@pytest.mark.parametrize(
    ("tower", "image_size", "rows"), [("clip", 336, 576), ("siglip", 384, 728), ("clip", 28, 4), ("siglip", 28, 3)]
)
def test_a_picture_takes_as_many_tokens_as_the_tower_gives_rows(tower, image_size, rows):
    processor = tiny_processor(tower)
    side = {"height": image_size, "width": image_size}
    processor.image_processor.size = {"shortest_edge": image_size} if tower == "clip" else side
    processor.image_processor.crop_size = side
    ids = processor(images=picture(0), text="a<image>b")["input_ids"][0]
    assert ids.count(processor.image_token_id) == rows
    assert len(ids) == rows + 2


@pytest.mark.parametrize("tower", TOWERS)
def test_tokens_equal_the_rows_that_the_model_makes(tower):
    inputs = tiny_inputs(tower, "<image>")
    features = tiny_model("llama", tower).get_image_features(inputs["pixel_values"]).pooler_output[0]
    assert len(features) == inputs["input_ids"].numel()


# Text


def test_a_prompt_is_tokenised_in_pieces():
    processor = tiny_processor()
    ids = processor.tokenize("Hi <image>\nyou", patches=3)
    a, b = processor.tokenizer("Hi ")["input_ids"], processor.tokenizer("\nyou")["input_ids"]
    assert ids == [*a, *[processor.image_token_id] * 3, *b]


def test_pieces_of_a_sentencepiece_tokenizer_each_get_a_leading_blank_and_bos_comes_once(tmp_path):
    processor = MoELlavaProcessor.from_pretrained(convert(ORACLE / "llava-1.5" / "checkpoint", tmp_path / "converted"))
    tokenizer = processor.tokenizer
    tokens = tokenizer.convert_ids_to_tokens(processor.tokenize("USER: <image>\nWhat <image> is"))
    assert tokens[0] == tokenizer.bos_token
    assert tokens.count(tokenizer.bos_token) == 1
    after = [tokens[i + 1] for i, token in enumerate(tokens) if token == "<image>"]
    assert after[0] == "▁"
    assert after[1].startswith("▁")
    assert tokens[1].startswith("▁")


@pytest.mark.parametrize("side", ["left", "right"])
def test_batches_are_padded_on_the_side_that_is_asked_for(side):
    processor = tiny_processor()
    inputs = processor(
        images=picture(0), text=["Yes?", "<image>Why?"], padding=True, padding_side=side, return_tensors="pt"
    )
    short = processor(text="Yes?")["input_ids"][0]
    padding = [processor.tokenizer.pad_token_id] * 4
    row, mask = inputs["input_ids"][0].tolist(), inputs["attention_mask"][0].tolist()
    assert row == (padding + short if side == "left" else short + padding)
    assert mask == ([0] * 4 + [1] * 4 if side == "left" else [1] * 4 + [0] * 4)


def test_batches_are_padded_on_the_left_by_default():
    inputs = tiny_processor()(text=["a", "bcd"], padding=True, return_tensors="pt")
    assert inputs["attention_mask"].tolist() == [[0, 0, 1], [1, 1, 1]]


def test_lists_come_without_return_tensors():
    assert tiny_processor()(text=["ab"])["input_ids"] == [[tiny_processor().tokenizer.vocab[c] for c in "ab"]]


def test_a_saved_processor_gives_the_same_inputs(tmp_path):
    processor = tiny_processor("siglip", end="<|endoftext|>")
    processor.save_pretrained(tmp_path)
    tiny_config("llama", "siglip").save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert type(loaded) is MoELlavaProcessor
    content = [{"type": "image"}, {"type": "text", "text": "What?"}]
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": "A"}]
    text = processor.apply_chat_template(messages)
    assert text.endswith("USER: <image>\nWhat? ASSISTANT: A<|endoftext|>")
    assert loaded.apply_chat_template(messages) == text
    for name, tensor in processor(images=picture(0), text=text, return_tensors="pt").items():
        assert torch.equal(loaded(images=picture(0), text=text, return_tensors="pt")[name], tensor)


def test_a_saved_processor_remembers_not_to_pad(tmp_path):
    processor = tiny_processor()
    processor.image_processor.do_pad = False
    processor.save_pretrained(tmp_path)
    wide = picture(0, (56, 28))
    expected = pixels(processor, wide, "<image>")
    assert torch.equal(pixels(MoELlavaProcessor.from_pretrained(tmp_path), wide, "<image>"), expected)


def test_conversations_become_inputs_in_one_step():
    processor = tiny_processor()
    asked = [{"type": "image", "image": picture(0)}, {"type": "text", "text": "What?"}]
    chats = [[{"role": "user", "content": asked}], [{"role": "user", "content": "Why?"}]]
    options = {"add_generation_prompt": True, "padding": True, "return_tensors": "pt"}
    found = processor.apply_chat_template(chats, tokenize=True, return_dict=True, **options)
    text = [processor.apply_chat_template(chat, add_generation_prompt=True) for chat in chats]
    expected = processor(images=[picture(0)], text=text, padding=True, return_tensors="pt")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
