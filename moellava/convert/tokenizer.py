"""The three kinds of upstream tokenizer (BPE files, tiktoken ranks, sentencepiece) as one fast tokenizer.

Source: spec/checkpoints.md section 2.4; MoE-LLaVA `tokenization_arcade100k.py`, `tokenization_qwen.py`, `builder.py`.
"""

import base64
import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, normalizers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import TikTokenConverter

from moellava.convert.source import ConversionError

__all__ = ["IMAGE_TOKEN", "load_tokenizer"]

IMAGE_TOKEN = "<image>"

TIKTOKEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<|extra_{i}|>" for i in range(205))]
ARCADE_SPECIAL = [
    "<|unused|>",  # upstream leaves the id after the last rank out
    "<|endoftext|>",
    *(f"<|fim_{part}|>" for part in ("prefix", "middle", "suffix", "pad")),
    *("<gh_stars>", "<filename>", "<issue_start>", "<issue_comment>", "<issue_closed>", "<jupyter_start>"),
    *("<jupyter_text>", "<jupyter_code>", "<jupyter_output>", "<empty_output>", "<commit_before>", "<commit_msg>"),
    *("<commit_after>", "<reponame>", "<|endofprompt|>", "<|im_start|>", "<|im_end|>", "<|pause|>"),
    *(f"<|reg{i}|>" for i in range(8)),
    "<|extra0|>",
]
TIKTOKEN_FILES = {
    "qwen.tiktoken": (QWEN_SPECIAL, "<|extra_0|>"),
    "arcade100k.tiktoken": (ARCADE_SPECIAL, "<|endoftext|>"),
}


def load_tokenizer(folder: Path, config: dict) -> tuple[PreTrainedTokenizerBase, int]:
    """The tokenizer of an upstream folder, with `<image>` added, and its length before that.

    The length is the number of logit columns that upstream's evaluation keeps; ids from there on never come out.

    Raises:
        ConversionError: no tokenizer files, or a format that cannot be read.
    """
    for name, (special, pad) in TIKTOKEN_FILES.items():
        if (folder / name).exists():
            tokenizer = _tiktoken_tokenizer(folder / name, special, pad)
            break
    else:
        tokenizer = _pretrained_tokenizer(folder)
    if config.get("mm_use_im_start_end"):
        raise ConversionError(f"{folder}/config.json: mm_use_im_start_end is true; no published model uses it, and it is not supported")
    if config.get("mm_use_im_patch_token", True):  # absent means true for upstream's loader
        patches = ["<im_patch>"] + (["<vid_patch>"] if "mm_image_tower" in config else [])
        tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in patches])
    length = len(tokenizer)
    tokenizer.add_tokens([AddedToken(IMAGE_TOKEN, special=True, normalized=False)])
    return tokenizer, length


class _RanksConverter(TikTokenConverter):
    """transformers' converter, reading the rank file itself: the `tiktoken` package would cache it by its path."""

    @staticmethod
    def load_tiktoken_bpe(tiktoken_url: str) -> dict[bytes, int]:
        ranks = {}
        for number, line in enumerate(Path(tiktoken_url).read_bytes().splitlines(), start=1):
            if not line:
                continue
            try:
                token, rank = line.split()
                ranks[base64.b64decode(token, validate=True)] = int(rank)
            except ValueError:
                raise ConversionError(f"{tiktoken_url} line {number}: not a base64 token and its rank") from None
        return ranks


def _tiktoken_tokenizer(path: Path, special: list[str], pad: str) -> PreTrainedTokenizerFast:
    backend: Tokenizer = _RanksConverter(str(path), TIKTOKEN_PATTERN, extra_special_tokens=special).converted()
    backend.normalizer = normalizers.NFC()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=None,
        eos_token="<|endoftext|>",
        pad_token=pad,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def _pretrained_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """BPE or sentencepiece files that transformers reads by itself, decoding as transformers 4.37 did."""
    path = folder / "tokenizer_config.json"
    saved = json.loads(path.read_text()) if path.exists() else {}
    options = {}
    if saved.get("tokenizer_class", "").startswith("CodeGen"):
        clean = saved.get("clean_up_tokenization_spaces", True)
        options = {
            "clean_up_tokenization_spaces": clean,
            "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output": clean,
        }
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left", **options)
    except (OSError, ValueError, ImportError) as error:
        raise ConversionError(f"{folder}: no readable tokenizer ({str(error).splitlines()[0]})") from None
    if (folder / "tokenizer.model").exists():
        return _sentencepiece_tokenizer(tokenizer, legacy=saved.get("legacy", True))
    return tokenizer


def _sentencepiece_tokenizer(tokenizer: PreTrainedTokenizerBase, legacy: bool) -> PreTrainedTokenizerFast:
    """Where blanks are put as the slow tokenizer of transformers 4.37 did, which its successor does not keep.

    `legacy` puts one before every stretch of text between special tokens, otherwise only the first one gets it.
    """
    backend = tokenizer.backend_tokenizer
    if legacy:
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        backend.pre_tokenizer = None
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        clean_up_tokenization_spaces=False,
        padding_side="left",
        model_max_length=tokenizer.model_max_length,
        **tokenizer.special_tokens_map,
    )
