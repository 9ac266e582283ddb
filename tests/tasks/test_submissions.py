"""What LLaVA's scripts would have uploaded, to the byte of each answer."""

import json
from pathlib import Path

from moe_eval.images import NamedImage
from moe_eval.registry import find_task
from moe_eval.task import Dataset, Sample
from tests.vectors import read_vectors

VECTORS = "submission"


def test_vectors_uploads_are_llavas(vectors_folder: Path):
    """Strings exactly, ids and their order too."""
    for vector in read_vectors(vectors_folder):
        task = find_task(vector["benchmark"])
        answers = {task.answer_id(answer): answer["text"] for answer in vector["answers"]}
        samples = [make_sample(task, question) for question in questions_of(vector)]
        written = json.loads(task.submission.write(Dataset("made", "", samples, official=False), answers))
        assert written == vector["expected_upload"]
        assert list(written) == list(vector["expected_upload"])


def questions_of(vector: dict) -> list[dict]:
    """All that the server wants answered: more than the answers in VQAv2's case."""
    ids = vector.get("all_question_ids")
    return [{"question_id": number} for number in ids] if ids else vector.get("questions") or vector["answers"]


def make_sample(task, question: dict) -> Sample:
    return Sample(task.answer_id(question), "?", (NamedImage(question.get("image", "a.png")),), None, "g", {})
