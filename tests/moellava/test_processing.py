"""Prompts are tokenised in pieces around their pictures, and pictures become as many tokens as the tower gives rows."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoProcessor, ByT5Tokenizer

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


def in_pieces(processor: MoELlavaProcessor, prompt: str, patches: int) -> list[int]:
    """The original's way: a prompt is cut at `<image>`, and each piece tokenised by itself."""
    ids: list[int] = []
    for number, piece in enumerate(prompt.split("<image>")):
        ids += [processor.image_token_id] * (patches if number else 0)
        ids += processor.tokenizer(piece, add_special_tokens=number == 0)["input_ids"]
    return ids


@pytest.fixture(scope="module", params=["llava-1.5", "moe-llava-mistral", "moe-llava-phi", "moe-llava-qwen", "bytes"])
def any_processor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MoELlavaProcessor:
    """One per kind of tokenizer: sentencepiece with a blank at the beginning only, with one everywhere, BPE, ranks."""
    if request.param == "bytes":
        return tiny_processor()
    folder = tmp_path_factory.mktemp("processors") / request.param
    return MoELlavaProcessor.from_pretrained(convert(ORACLE / request.param / "checkpoint", folder))


@settings(max_examples=200, deadline=None)
@given(
    pieces=st.lists(
        st.sampled_from(["<image>", "Hi", " you", "</s>", "<|endoftext|>", "\n", "▁", "  ", "é日", "<unk>"])
    )
)
def test_a_prompt_is_tokenised_in_pieces(any_processor, pieces):
    prompt = "".join(pieces)
    assert any_processor.tokenize(prompt, patches=3) == in_pieces(any_processor, prompt, 3)


def test_the_tokenizer_gives_the_same_of_the_expanded_text(any_processor):
    prompts = ["USER: <image>\nWhat? ASSISTANT: A</s>USER: <image><image> why?", "<image>"]
    pictures = [picture(seed) for seed in range(4)]
    inputs = any_processor(images=pictures, text=prompts)
    pixel_values = any_processor.image_processor(pictures)
    replacements = [any_processor.replace_image_token(pixel_values, index) for index in range(4)]
    text, offsets = any_processor.get_text_with_replacements(list(prompts), replacements)
    assert any_processor.tokenizer(text)["input_ids"] == inputs["input_ids"]
    for expanded, replaced in zip(text, offsets, strict=True):
        for one in replaced:
            assert expanded[slice(*one["new_span"])] == one["replacement"]


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


# Options of the tokenizer


def test_image_tokens_are_marked_on_request():
    inputs = tiny_processor()(images=picture(0), text="a<image>", return_mm_token_type_ids=True)
    assert inputs["mm_token_type_ids"] == [[0, 1, 1, 1, 1]]


def test_texts_are_cut_on_request():
    inputs = tiny_processor()(text=["Hello", "Hi"], truncation=True, max_length=3)
    assert [len(ids) for ids in inputs["input_ids"]] == [3, 2]


def test_a_picture_is_not_cut_in_two():
    with pytest.raises(ValueError, match="image` token count"):
        tiny_processor()(images=picture(0), text="a<image>", truncation=True, max_length=3)


def test_special_tokens_are_left_out_on_request(tmp_path):
    processor = MoELlavaProcessor.from_pretrained(convert(ORACLE / "llava-1.5" / "checkpoint", tmp_path / "converted"))
    with_bos = processor(images=picture(0), text="<image>Hi")["input_ids"][0]
    assert with_bos[0] == processor.tokenizer.bos_token_id
    assert processor(images=picture(0), text="<image>Hi", add_special_tokens=False)["input_ids"][0] == with_bos[1:]


@pytest.mark.parametrize("nested", [False, True], ids=["flat", "text_kwargs"])
def test_other_options_reach_the_tokenizer(nested):
    options = {
        "return_offsets_mapping": True,
        "return_length": True,
        "return_special_tokens_mask": True,
        "return_token_type_ids": True,
        "return_attention_mask": False,
        "pad_to_multiple_of": 8,
        "padding": True,
    }
    inputs = tiny_processor()(text=["ab"], **({"text_kwargs": options} if nested else options))
    expected = {"input_ids", "offset_mapping", "length", "special_tokens_mask", "token_type_ids"}
    assert inputs.keys() == expected
    assert inputs["offset_mapping"][0][-2:] == [(0, 1), (1, 2)]
    assert len(inputs["input_ids"][0]) == 8


def test_offsets_of_a_slow_tokenizer_are_refused():
    processor = tiny_processor()
    processor.tokenizer = ByT5Tokenizer()
    for options in ({"return_offsets_mapping": True}, {"text_kwargs": {"return_offsets_mapping": True}}):
        with pytest.raises(ValueError, match="ByT5Tokenizer is a slow tokenizer") as caught:
            processor(text="a", **options)
        assert "\n" not in str(caught.value)
    assert processor(text="a")["input_ids"] == [[100, 1]]


@pytest.mark.parametrize("tower", TOWERS)
@pytest.mark.parametrize(
    "options", [{}, {"crop_size": {"height": 56, "width": 56}, "size": {"height": 56, "width": 56}}]
)
def test_the_number_of_image_tokens_is_told_without_pictures(tower, options):
    processor, sizes = tiny_processor(tower), [(40, 28), (56, 28), (3, 5)]
    told = processor._get_num_multimodal_tokens(image_sizes=sizes, **options)
    pictures = [picture(0, (width, height)) for height, width in sizes]
    ids = processor(images=pictures, text=["<image>"] * 3, **options)["input_ids"]
    assert told["num_image_tokens"] == [len(row) for row in ids]
    assert told["num_image_patches"] == [1, 1, 1]
    assert processor._get_num_multimodal_tokens()["num_image_tokens"] is None
