"""What a training run says: a progress bar with the time left, one console line per log step, JSON lines, TensorBoard."""

import json
import os
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback

from moellava.training.checkpoints import disk_errors, write_text

__all__ = ["LOG_NAME", "ConsoleReport", "JsonLog", "tensorboard_callback"]

LOG_NAME = "training_log.jsonl"
SHOWN = {
    "loss": "loss {:.4f}",
    "aux_loss": "aux {:.3f}",
    "load_entropy": "load entropy {:.3f}",
    "grad_norm": "grad {:.2f}",
    "learning_rate": "lr {:.2e}",
    "tokens_per_second": "{:,.0f} tokens/s",
    "mfu": "MFU {:.1%}",
}


class ConsoleReport(TrainerCallback):
    """A bar on stderr that tells the time left, and a line on stdout for every log step."""

    def __init__(self, name: str):
        self.name, self.bar = name, None

    def on_train_begin(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            self.bar = tqdm(
                desc=self.name, total=state.max_steps, initial=state.global_step, unit="step", smoothing=0.05
            )

    def on_step_end(self, args, state, control, **kwargs):
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if self.bar is not None and "loss" in logs:
            values = [text.format(logs[key]) for key, text in SHOWN.items() if logs.get(key) is not None]
            tqdm.write(f"step {state.global_step}/{state.max_steps}  {'  '.join(values)}")
        elif self.bar is not None and _is_evaluation(logs):
            values = [f"{name.removeprefix('eval_')} {value:.2f}" for name, value in logs.items() if name != "epoch"]
            tqdm.write(f"step {state.global_step}/{state.max_steps}  {'  '.join(values)}")

    def close(self) -> None:
        """End the bar's line, also where training ends with an error."""
        if self.bar is not None:
            self.bar.close()


class JsonLog(TrainerCallback):
    """Appends every log line to `training_log.jsonl`; a resumed run first drops the lines after its checkpoint."""

    def __init__(self, output: Path):
        self.path = output / LOG_NAME

    def on_train_begin(self, args, state, control, **kwargs):
        if not state.is_world_process_zero:
            return
        lines = self.path.read_text(errors="replace").splitlines() if self.path.exists() else []
        kept = [line for line in lines if (step := _step(line)) is not None and step <= state.global_step]
        write_text(self.path, "".join(f"{line}\n" for line in kept))

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not state.is_world_process_zero or not ("loss" in logs or _is_evaluation(logs)):
            return
        with disk_errors(self.path.parent, self.path), self.path.open("a") as stream:
            stream.write(json.dumps({"step": state.global_step, **logs}) + "\n")


def _is_evaluation(logs: dict[str, float]) -> bool:
    return any(name.startswith("eval_") for name in logs)


def _step(line: str) -> int | None:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return None  # cut off by the kill


def tensorboard_callback(output: Path) -> Any:
    """The Trainer's own TensorBoard callback, or None where TensorBoard is not installed (extra `train`)."""
    from transformers.integrations import TensorBoardCallback, is_tensorboard_available

    if not is_tensorboard_available():
        return None
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    callback = TensorBoardCallback()
    callback.logging_dir = str(output / "tensorboard")
    return callback
