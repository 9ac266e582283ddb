"""The upload to VizWiz's server."""

import json
from collections.abc import Mapping

from moe_eval.errors import UserError
from moe_eval.metrics.answer_text import normalise_m4c
from moe_eval.task import Dataset

__all__ = ["write_submission"]


def write_submission(dataset: Dataset, answers: Mapping[str, str]) -> bytes:
    """JSON of `image` and `answer` in the order of the data; every question must be answered.

    Source: LLaVA `scripts/convert_vizwiz_for_submission.py`.
    """
    missing = [sample.id for sample in dataset.samples if sample.id not in answers]
    if missing:
        raise UserError(f"vizwiz: {len(missing)} questions have no answer, such as {missing[0]}; the server wants all")
    rows = [{"image": s.images[0].name, "answer": normalise_m4c(answers[s.id])} for s in dataset.samples]
    return json.dumps(rows).encode()
