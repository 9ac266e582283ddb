"""What each question's tokens chose, beside its scores: for figures that compare questions or draw them anew."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from moe_eval.engine.backend import Modality
from moe_eval.runs.records import ScoresRecord, read_record
from moe_eval.runs.routing import ROUTING_LINES, read_sample_routing
from moe_eval.statistics.resampling import Clusters, number_clusters
from moe_eval.task import SampleScore

__all__ = ["QuestionLoads", "read_question_loads"]


@dataclass(frozen=True)
class QuestionLoads:
    """Q questions that are answered, scored and whose routing was recorded.

    Args:
        scores: of each question.
        groups: [Q], the number of the picture that it is about, from 0.
        choices: by modality and layer, float64 [Q, E]: how often its tokens chose an expert, first and later choices alike.
    """

    scores: list[SampleScore]
    groups: Clusters
    choices: dict[Modality, list[NDArray[np.float64]]]


def read_question_loads(folder: Path) -> QuestionLoads | None:
    """The questions of a run; None where it has no scores or only the sum of its routing.

    Raises:
        UserError: when a file is not as it should be.
    """
    path = folder / "scores.json"
    if not path.is_file() or not (folder / ROUTING_LINES).is_file():
        return None
    scored = {sample["id"]: sample for sample in read_record(ScoresRecord, path).samples}
    scores: list[SampleScore] = []
    rows: dict[Modality, list[list[NDArray[np.int64]]]] = {}
    for sample in read_sample_routing(folder):
        if sample.id in scored:
            scores.append(scored[sample.id])
            for modality, layers in sample.routing.counts.items():
                rows.setdefault(modality, []).append([np.array(choices).sum(0) for choices in layers])
    if not scores:
        return None
    choices = {
        modality: [np.array(layer, dtype=np.float64) for layer in zip(*questions, strict=True)]
        for modality, questions in rows.items()
    }
    return QuestionLoads(scores, number_clusters([score["group"] for score in scores]), choices)
