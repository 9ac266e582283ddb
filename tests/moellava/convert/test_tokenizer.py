"""Converted tokenizers lose no text, number their special tokens as upstream does, and equal sentencepiece itself."""

import unicodedata
from functools import cache
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from moellava.convert import ConversionError
from moellava.convert.tokenizer import load_tokenizer
from tests.upstream_checkpoints import ORACLE, copy_checkpoint

PLAIN = {"mm_use_im_patch_token": False, "mm_image_tower": "openai/clip"}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30).filter(lambda text: "<" not in text)
BYTE_LEVEL = ("moe-llava-phi", "moe-llava-qwen", "moe-llava-stablelm")


@cache
def tokenizer(case: str) -> PreTrainedTokenizerBase:
    return load_tokenizer(ORACLE / case / "checkpoint", PLAIN)[0]


def encode(case: str, text: str) -> list[int]:
    return tokenizer(case)(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("case", ["moe-llava-qwen", "moe-llava-stablelm"])
@given(text=TEXTS)
def test_no_text_is_lost(case, text):
    text = unicodedata.normalize("NFC", text)
    assert tokenizer(case).decode(encode(case, text), clean_up_tokenization_spaces=False) == text


@pytest.mark.parametrize("case", ["moe-llava-qwen", "moe-llava-stablelm"])
def test_digits_stand_alone(case):
    assert len(encode(case, "2024")) == 4


@pytest.mark.parametrize("case", BYTE_LEVEL)
def test_blanks_stay_where_they_are(case):
    text = "a  b , c ! d"
    assert tokenizer(case).decode(encode(case, text), clean_up_tokenization_spaces=False) == text


def ranks(case: str, file: str) -> int:
    return len((ORACLE / case / "checkpoint" / file).read_text().split()) // 2


def test_special_tokens_of_qwen_start_at_the_number_of_ranks():
    start, ids = ranks("moe-llava-qwen", "qwen.tiktoken"), tokenizer("moe-llava-qwen").convert_tokens_to_ids
    assert ids(["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|extra_0|>"]) == [start + i for i in range(4)]
    assert ids(["<|extra_204|>", "<image>"]) == [start + 207, start + 208]


def test_special_tokens_of_stablelm_start_after_an_id_without_use():
    start, ids = (
        ranks("moe-llava-stablelm", "arcade100k.tiktoken"),
        tokenizer("moe-llava-stablelm").convert_tokens_to_ids,
    )
    assert ids(["<|endoftext|>", "<|fim_prefix|>", "<gh_stars>"]) == [start + 1, start + 2, start + 6]
    assert ids(["<|endofprompt|>", "<|reg0|>", "<|extra0|>", "<image>"]) == [start + i for i in (20, 24, 32, 33)]


@pytest.mark.parametrize("case", BYTE_LEVEL)
def test_special_tokens_stay_whole_in_a_text(case):
    end = tokenizer(case).convert_tokens_to_ids("<|endoftext|>")
    assert encode(case, "a<|endoftext|>b") == [*encode(case, "a"), end, *encode(case, "b")]


@pytest.mark.parametrize("case", ["llava-1.5", "moe-llava-mistral"])
@given(text=TEXTS.filter(lambda text: text and "\x00" not in text))
def test_ids_are_those_of_sentencepiece(case, text):
    reference = sentencepiece.SentencePieceProcessor(str(ORACLE / case / "checkpoint" / "tokenizer.model"))
    assert encode(case, text) == reference.encode(text)


@pytest.mark.parametrize("case", ["llava-1.5", "moe-llava-mistral"])
def test_a_beginning_is_marked_where_upstream_does(case):
    ids = tokenizer(case)("What?")["input_ids"]
    assert ids == [tokenizer(case).bos_token_id, *encode(case, "What?")]


@pytest.mark.parametrize("case", BYTE_LEVEL)
def test_no_beginning_is_marked_elsewhere(case):
    assert tokenizer(case)("What?")["input_ids"] == encode(case, "What?")


def test_the_length_is_the_one_before_the_image_token():
    for case, expected in (("moe-llava-phi", 382), ("moe-llava-mistral", 412), ("llava-1.5", 400)):
        loaded, length = load_tokenizer(ORACLE / case / "checkpoint", PLAIN)
        assert length == expected == loaded.convert_tokens_to_ids("<image>")


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({"mm_image_tower": "openai/clip"}, ["<im_patch>", "<vid_patch>"]),
        ({"mm_vision_tower": "openai/clip"}, ["<im_patch>"]),
        ({"mm_vision_tower": "openai/clip", "mm_use_im_patch_token": True}, ["<im_patch>"]),
        (PLAIN, []),
    ],
)
def test_patch_tokens_are_added_unless_the_configuration_says_no(config, names):
    loaded, length = load_tokenizer(ORACLE / "llava-1.5" / "checkpoint", config)
    assert loaded.convert_ids_to_tokens(range(400, length)) == names


@pytest.mark.parametrize("line", ["abc", "!!! 3", "YWI= three", ""])
def test_a_broken_line_of_ranks_is_named(tmp_path, line):
    path = copy_checkpoint("moe-llava-qwen", tmp_path) / "qwen.tiktoken"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:9], line, *lines[9:]]))
    with pytest.raises(ConversionError, match="line 10: not a base64 token and its rank"):
        load_tokenizer(path.parent, PLAIN)


@pytest.mark.parametrize(
    ("case", "file"), [("moe-llava-qwen", "qwen.tiktoken"), ("moe-llava-stablelm", "arcade100k.tiktoken")]
)
def test_a_missing_file_is_one_line(tmp_path, case, file):
    folder = copy_checkpoint(case, tmp_path)
    (folder / file).unlink()
    with pytest.raises(ConversionError) as caught:
        load_tokenizer(folder, PLAIN)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_sentencepiece_model_is_one_line(tmp_path):
    folder = copy_checkpoint("llava-1.5", tmp_path)
    (folder / "tokenizer.model").write_bytes(b"garbage")
    with pytest.raises(ConversionError, match=str(Path(folder))):
        load_tokenizer(folder, PLAIN)
