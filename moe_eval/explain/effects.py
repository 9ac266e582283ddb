"""What others found that a difference of circumstances does to a number: `results/known_effects.json`, with sources."""

from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from moe_eval.files.facts import read_facts
from moe_eval.runs.records import RunRecord

__all__ = ["EFFECTS_FILE", "Condition", "KnownEffect", "read_effects"]

EFFECTS_FILE = Path(str(files("moe_eval.results"))) / "known_effects.json"


class Condition(BaseModel):
    """When a known effect is at work in a run; what is not said does not matter.

    `protocols`: it was asked under one of these. `prompt_lacks`: the prompts do not hold these words.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    protocols: tuple[str, ...] | None = None
    prompt_lacks: str | None = None

    def holds(self, run: RunRecord) -> bool:
        if self.protocols is not None and run.protocol not in self.protocols:
            return False
        return self.prompt_lacks is None or bool(run.prompt and self.prompt_lacks not in run.prompt.example)


class KnownEffect(BaseModel):
    """One finding of somebody.

    Args:
        reference: the number as papers print it; None where `values` are repetitions of one thing.
        values: what came out instead.
        spread: plus or minus, where that is all that was said.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    cause: Literal["data", "prompt", "judge", "judge runs", "routing", "software", "training"]
    what: str
    model: str
    reference: float | None = None
    values: tuple[float, ...] = ()
    spread: float | None = None
    when: Condition = Condition()
    source: str
    url: str

    @property
    def range(self) -> tuple[float, float]:
        """From lowest to highest effect on a number; of repetitions, as far as they lie apart, either way."""
        if self.spread is not None:
            return -self.spread, self.spread
        if self.reference is None:
            width = max(self.values) - min(self.values)
            return -width, width
        shifts = [value - self.reference for value in self.values]
        return min(shifts), max(shifts)


def read_effects(path: Path = EFFECTS_FILE) -> list[KnownEffect]:
    """All known effects.

    Raises:
        UserError: when the file is missing or an entry lacks a field.
    """
    return read_facts(KnownEffect, path)
