"""Sentences that LLaVA puts behind the questions of several benchmarks, and options as it writes them."""

from collections.abc import Mapping

__all__ = ["OPTION_LETTER", "SHORT_ANSWER", "UNANSWERABLE", "lettered", "short_answer"]

SHORT_ANSWER = "Answer the question using a single word or phrase."
OPTION_LETTER = "Answer with the option's letter from the given choices directly."
UNANSWERABLE = "When the provided information is insufficient, respond with 'Unanswerable'."


def short_answer(question: str) -> str:
    """The question, and on the next line the wish for a short answer."""
    return f"{question}\n{SHORT_ANSWER}"


def lettered(options: Mapping[str, str]) -> str:
    """Options by letter, one on each line: `A. red`."""
    return "\n".join(f"{letter}. {text}" for letter, text in options.items())
