"""Stored answers often come without the texts of the options that were asked: then only letters can be held against gold."""

from moe_eval.task import Sample

__all__ = ["NO_OPTION_TEXTS", "lacks_option_texts"]

NO_OPTION_TEXTS = "the texts of the options are not in these data"


def lacks_option_texts(sample: Sample) -> bool:
    """Whether a question has options of which the data do not say what they are.

    Protocols that look for the text of an option in an answer find none in such data, which says nothing of the answer.
    """
    options = sample.meta.get("choices") or tuple(sample.meta.get("options", {}).values())
    return bool(options) and not any(options)
