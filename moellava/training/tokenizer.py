"""A small tokenizer from nothing, for a small language model from nothing."""

from collections.abc import Iterable, Sequence

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

__all__ = ["train_tokenizer"]

SPECIAL = ["<unk>", "<s>", "</s>", "<image>"]


def train_tokenizer(texts: Iterable[str], vocab_size: int, sentences: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer that puts `<s>` in front, as Llama's does.

    Args:
        texts: what it learns its merges from.
        vocab_size: at most so many tokens, the special ones and `sentences` not counted.
        sentences: fixed sentences that become one token each. The instructions that benchmarks put behind their
            questions ("Answer the question using a single word or phrase.") are half of what a small model would read.
    """
    tokenizer = Tokenizer(BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.ByteLevel(add_prefix_space=False), pre_tokenizers.Digits(individual_digits=True)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_without(texts, sentences), trainer)
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    tokenizer.add_tokens([AddedToken(sentence, normalized=False) for sentence in sentences])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<unk>",
        padding_side="left",
        additional_special_tokens=["<image>"],
    )


def _without(texts: Iterable[str], sentences: Sequence[str]) -> Iterable[str]:
    """The texts without the fixed sentences, which would fill the vocabulary with their parts."""
    for text in texts:
        for sentence in sentences:
            text = text.replace(sentence, "")
        yield text
