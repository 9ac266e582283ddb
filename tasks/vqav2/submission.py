"""The upload to VQAv2's server."""

import json
from collections.abc import Mapping

from moe_eval.errors import UserError
from moe_eval.metrics.answer_text import normalise_m4c
from moe_eval.task import Dataset

from .data import SPLITS

__all__ = ["write_submission"]


def write_submission(dataset: Dataset, answers: Mapping[str, str]) -> bytes:
    """JSON of `question_id` and `answer` for all of test2015 in the order of the data; unanswered ones are "".

    Source: LLaVA `scripts/convert_vqav2_for_submission.py`.
    """
    if len(dataset.samples) == SPLITS["testdev"]:
        raise UserError(
            f"vqav2: {dataset.source} is test-dev alone, but the server wants all of test2015: "
            "use --data hub:test or llava:DIR/llava_vqav2_mscoco_test2015.jsonl"
        )
    unknown_ids = answers.keys() - {sample.id for sample in dataset.samples}
    if unknown_ids:
        raise UserError(
            f"vqav2: {len(unknown_ids)} answered questions, such as {min(unknown_ids)}, are not in {dataset.source}; "
            "the server wants all of test2015"
        )
    rows = [
        {"question_id": int(sample.id), "answer": normalise_m4c(answers.get(sample.id, ""))}
        for sample in dataset.samples
    ]
    return json.dumps(rows).encode()
