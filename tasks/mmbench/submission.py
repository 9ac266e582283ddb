"""The upload to MMBench's server."""

from collections.abc import Mapping

from moe_eval.task import (
    Dataset,
)

from .prompts import LETTERS, options_of

__all__ = ["write_submission"]


def write_submission(dataset: Dataset, answers: Mapping[str, str]) -> bytes:
    """The xlsx of LLaVA's `scripts/convert_mmbench_for_submission.py`: a row per row of the data, in its order."""
    from moe_eval.scoring.submission import write_xlsx

    answered = any(sample.gold is not None for sample in dataset.samples)
    header = ["index", "question", *LETTERS, "prediction", *(["answer"] if answered else []), "split"]
    rows = []
    for sample in dataset.samples:
        options = [options_of(sample).get(letter, "") for letter in LETTERS]
        gold = [sample.gold or ""] if answered else []
        rows.append([int(sample.id), sample.question, *options, answers[sample.id], *gold, sample.meta["split"] or ""])
    return write_xlsx(header, rows)
