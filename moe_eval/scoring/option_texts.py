"""Stored answers often come without the texts of the options that were asked: then only letters can be held against gold."""

from collections.abc import Iterable, Mapping

from moe_eval.task import Sample

__all__ = ["NO_OPTION_TEXTS", "count_untold", "lacks_option_texts"]

NO_OPTION_TEXTS = "the texts of the options are not in these data"


def lacks_option_texts(sample: Sample) -> bool:
    """Whether a question has options of which the data do not say what they are.

    Protocols that look for the text of an option in an answer find none in such data, which says nothing of the answer.
    """
    options = sample.meta.get("choices") or tuple(sample.meta.get("options", {}).values())
    return bool(options) and not any(options)


def count_untold(samples: Iterable[Sample], own: Mapping[str, float | None], other: Mapping[str, float | None]) -> int:
    """On how many answers two protocols seem to disagree only because the texts of the options are missing.

    Args:
        own, other: what each answer is worth to either, by sample id.
    """
    return sum(lacks_option_texts(sample) and own.get(sample.id) != other.get(sample.id) for sample in samples)
