"""The file for MM-Vet's evaluators."""

import json
from collections.abc import Mapping

from moe_eval.task import (
    Dataset,
)

__all__ = ["write_submission"]


def write_submission(dataset: Dataset, answers: Mapping[str, str]) -> bytes:
    """The JSON object of id and answer that MM-Vet's evaluators read.

    Source: LLaVA `scripts/convert_mmvet_for_eval.py`.
    """
    texts = {sample.id: answers[sample.id] for sample in dataset.samples}
    return json.dumps(texts, indent=2).encode()
