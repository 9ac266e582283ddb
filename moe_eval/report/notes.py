"""What a reader must know before trusting a run's numbers, in plain sentences."""

from moe_eval.runs.recorded import RecordedNumber
from moe_eval.runs.records import RunRecord, ScoresRecord
from moe_eval.task import worth

__all__ = ["run_notes"]


def run_notes(run: RunRecord, scores: ScoresRecord, recorded: RecordedNumber | None) -> list[str]:
    """Notes on what the records say; empty for an ordinary run on the official data."""
    notes = []
    if run.model.random_weights:
        notes.append("Random weights, never trained: the numbers only show that the machinery works.")
    if not run.data.official:
        notes.append("Not the data that published numbers are about: do not compare with them.")
    if scores.missing:
        notes.append(f"{len(scores.missing):,} of {run.data.samples:,} questions have no answer and are left out.")
    if run.origin:
        notes.append(f"The answers were imported ({run.origin.format}), not made here.")
    if run.ablation:
        notes.append(f"Something was taken away or changed on purpose: {run.ablation}.")
    if run.generation and run.generation.asked_otherwise:
        notes.append(f"The model was told more than the question: {', '.join(run.generation.asked_otherwise)}.")
    if run.model.quantization:
        notes.append(f"Its weights were quantised: {run.model.quantization}.")
    if run.model.router_noise_seed is not None:
        notes.append(f"Second experts were drawn with noise, seed {run.model.router_noise_seed}.")
    if scores.headline.value is None:
        notes.append(_pending(recorded))
    if scores.judge:
        notes.append(f"Graded by {scores.judge}.")
    if not any(worth(entry) is not None for entry in scores.samples):
        notes.append("What single answers are worth is not known, so none is marked right or wrong.")
    return notes


def _pending(recorded: RecordedNumber | None) -> str:
    if recorded is None:
        return (
            "The headline is pending: a server (`moe-eval submit`, then `moe-eval record`) "
            "or a judge (`moe-eval judge`) has to give it."
        )
    return f"The headline is a server's number ({recorded.source}, {recorded.recorded[:10]}), not computed here."
