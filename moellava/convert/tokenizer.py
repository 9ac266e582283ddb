"""The three kinds of upstream tokenizer (BPE files, tiktoken ranks, sentencepiece) as one fast tokenizer.

Source: spec/checkpoints.md section 2.4; MoE-LLaVA `tokenization_arcade100k.py`, `tokenization_qwen.py`, `builder.py`.
"""

import base64
import json
from pathlib import Path

from tokenizers import AddedToken, normalizers
from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import TikTokenConverter

from moellava.convert.source import ConversionError, blame

__all__ = ["IMAGE_TOKEN", "QWEN_SPECIAL", "from_ranks", "load_tokenizer"]

IMAGE_TOKEN = "<image>"
VOCABULARIES = ("tokenizer.model", "vocab.json", "tokenizer.json")
TIKTOKEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<|extra_{i}|>" for i in range(205))]
# Upstream leaves the id after the last rank out, which the first name below takes.
ARCADE_SPECIAL = """
<|unused|> <|endoftext|> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> <gh_stars> <filename> <issue_start>
<issue_comment> <issue_closed> <jupyter_start> <jupyter_text> <jupyter_code> <jupyter_output> <empty_output>
<commit_before> <commit_msg> <commit_after> <reponame> <|endofprompt|> <|im_start|> <|im_end|> <|pause|> <|reg0|> <|reg1|>
<|reg2|> <|reg3|> <|reg4|> <|reg5|> <|reg6|> <|reg7|> <|extra0|>
""".split()
TIKTOKEN_FILES = {
    "qwen.tiktoken": (QWEN_SPECIAL, "<|extra_0|>"),
    "arcade100k.tiktoken": (ARCADE_SPECIAL, "<|endoftext|>"),
}


def load_tokenizer(folder: Path, config: dict, image_token: str = IMAGE_TOKEN) -> tuple[PreTrainedTokenizerBase, int]:
    """The tokenizer of an upstream folder, with the image token added, and its length before that.

    The length is the number of logit columns that upstream's evaluation keeps; ids from there on never come out.

    Raises:
        ConversionError: no tokenizer files, or a format that cannot be read.
    """
    if config.get("mm_use_im_start_end"):
        raise ConversionError(f"{folder}/config.json: mm_use_im_start_end is true, which no published model uses")
    ranks = [name for name in TIKTOKEN_FILES if (folder / name).exists()]
    tokenizer: PreTrainedTokenizerBase
    if ranks:
        tokenizer = from_ranks(folder / ranks[0], *TIKTOKEN_FILES[ranks[0]], config.get("pad_token_id"))
    else:
        tokenizer = _from_pretrained(folder)
    if config.get("mm_use_im_patch_token", True):  # absent means true for upstream's loader
        names = ["<im_patch>", *(["<vid_patch>"] if "mm_image_tower" in config else [])]
        tokenizer.add_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    length = len(tokenizer)
    tokenizer.add_tokens([AddedToken(image_token, special=True, normalized=False)])
    return tokenizer, length


class _RanksConverter(TikTokenConverter):
    """transformers' converter, reading the rank file itself: the `tiktoken` package would cache it by its path."""

    @staticmethod
    def load_tiktoken_bpe(tiktoken_url: str) -> dict[bytes, int]:
        ranks = {}
        for number, line in enumerate(Path(tiktoken_url).read_bytes().splitlines(), start=1):
            try:
                token, rank = line.split()
                ranks[base64.b64decode(token, validate=True)] = int(rank)
            except ValueError:
                raise ConversionError(f"{tiktoken_url} line {number}: not a base64 token and its rank") from None
        return ranks


def from_ranks(path: Path, special: list[str], pad: str, pad_token_id: int | None) -> PreTrainedTokenizerFast:
    """The tokenizer of a rank file, whose ids `special` follow, with `pad` for padding.

    Raises:
        ConversionError: a damaged file, or one in which `config.json`'s `pad_token_id` is another token.
    """
    backend = _RanksConverter(str(path), TIKTOKEN_PATTERN, extra_special_tokens=special).converted()
    backend.normalizer = normalizers.NFC()
    # Special ids are counted from the end of the file: if they are not where config.json has them, lines are missing.
    start, known = backend.get_vocab()[special[0]], ("<|extra_0|>", "<|reg0|>", "<|endoftext|>")
    if start < 256 or (
        pad_token_id is not None and pad_token_id >= start and backend.id_to_token(pad_token_id) not in known
    ):
        raise ConversionError(
            f"{path}: {start} tokens do not fit config.json (pad_token_id {pad_token_id}); is it cut off?"
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|endoftext|>", pad_token=pad, padding_side="left"
    )


def _from_pretrained(folder: Path) -> PreTrainedTokenizerBase:
    """BPE or sentencepiece files that transformers reads by itself, decoding as transformers 4.37 did."""
    path = folder / "tokenizer_config.json"
    if not any((folder / name).exists() and (folder / name).stat().st_size for name in VOCABULARIES):
        raise ConversionError(f"{folder}: no tokenizer; expected one of {', '.join([*VOCABULARIES, *TIKTOKEN_FILES])}")
    with blame(path):
        saved = dict(json.loads(path.read_text())) if path.exists() else {}
    options = {}
    if saved.get("tokenizer_class", "").startswith("CodeGen"):
        clean = saved.get("clean_up_tokenization_spaces", True)
        force = "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output"
        options = {"clean_up_tokenization_spaces": clean, force: clean}
    with blame(folder, advice="; its tokenizer files cannot be read"):
        tokenizer = AutoTokenizer.from_pretrained(
            folder, config=PreTrainedConfig(), padding_side="left", trust_remote_code=False, **options
        )
    if not (folder / "tokenizer.model").exists():
        return tokenizer
    backend = tokenizer.backend_tokenizer
    if saved.get("legacy", True):  # a blank before every stretch between special tokens, not before the first only
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        backend.pre_tokenizer = None
    special = tokenizer.special_tokens_map
    return PreTrainedTokenizerFast(tokenizer_object=backend, padding_side="left", **special)
