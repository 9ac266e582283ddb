"""Evaluation inside training: a callback for transformers' Trainer that asks the model in memory every so many steps."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from moe_eval.python import RUNS, evaluate

__all__ = ["EvaluationCallback"]


class EvaluationCallback(TrainerCallback):
    """Logs `eval_TASK` with the ends of its 95 % interval, `eval_TASK_low` and `eval_TASK_high`.

    The runs lie in `out/step-N`, so that every step's answers can be looked at.

    Args:
        trainer: whose `log` takes the numbers; the callback is added to it by `trainer.add_callback`.
        processor: the model's.
        tasks, data, limit: as for `moe_eval.evaluate`.
        every_steps: steps between evaluations; one more is made when training ends.
        inside: what the model is evaluated in, where training has changed how it computes.
    """

    def __init__(
        self,
        trainer: Any,
        processor: Any,
        tasks: str | list[str],
        every_steps: int,
        *,
        data: str = "mini",
        limit: int | None = None,
        out: str | Path = RUNS,
        inside: Callable[[Any], AbstractContextManager[None]] = lambda model: nullcontext(),
    ):
        self._trainer, self._processor, self._every = trainer, processor, every_steps
        self._asked: dict[str, Any] = {"tasks": tasks, "data": data, "limit": limit}
        self._out, self._last, self._inside = Path(out), -1, inside

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.global_step % self._every == 0:
            should_log = control.should_log
            self._evaluate(state.global_step, kwargs["model"])
            control.should_log = should_log  # logging a number would otherwise swallow the loss of this step

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._evaluate(state.global_step, kwargs["model"])

    def _evaluate(self, step: int, model: Any) -> None:
        if step == self._last or not self._trainer.is_world_process_zero():
            return
        self._last = step
        out = self._out / f"step-{step}"
        # The last epoch's answers may be there from a training run that was stopped and took other steps since.
        with self._inside(model):
            runs = evaluate((model, self._processor), **self._asked, out=out, name="model", fresh=True)
        logs: dict[str, Any] = {}
        for row in runs.summary().itertuples():
            logs |= {f"eval_{row.task}": row.score, f"eval_{row.task}_low": row.low, f"eval_{row.task}_high": row.high}
        self._trainer.log({name: float(value) for name, value in logs.items() if value is not None and value == value})
