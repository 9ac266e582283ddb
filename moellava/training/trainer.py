"""transformers' Trainer for one stage: upstream's loss and order of the data, metrics of the experts, safe checkpoints."""

import json
import math
import shutil
import time
from collections.abc import Iterator, Sequence, Sized
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset, Sampler
from transformers import Trainer, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import TrainOutput, rotate_checkpoints

from moellava.convert.source import blame
from moellava.training.checkpoints import disk_errors, newest_checkpoint, publish, staging
from moellava.training.errors import TrainingError
from moellava.training.flops import FlopRate
from moellava.training.grouping import ModalityLengthSampler
from moellava.training.metrics import StepMeter, load_metrics, peak_flops
from moellava.training.optimizer import MuonAdamW, muon_groups
from moellava.training.recipe import Recipe
from moellava.training.reporting import ConsoleReport

__all__ = ["SafeTrainer", "ShuffledSampler", "StageTrainer", "precision", "training_arguments"]

BAD_BATCH = "bad_batch.json"
WATCH_STEPS = 100  # over which an expert must be used to count as alive


def precision(recipe: Recipe) -> str:
    """ "bf16" or "fp32": what the recipe says, or bf16 where the hardware has it."""
    wanted = recipe.train.precision
    has_bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    if wanted == "auto":
        return "bf16" if has_bf16 else "fp32"
    return wanted


def training_arguments(recipe: Recipe) -> TrainingArguments:
    """The recipe in the Trainer's words."""
    train, cuda = recipe.train, torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(recipe.output),
        num_train_epochs=train.epochs,
        max_steps=train.max_steps or -1,
        per_device_train_batch_size=train.per_device_batch_size,
        gradient_accumulation_steps=train.gradient_accumulation_steps,
        learning_rate=train.learning_rate,
        adam_beta1=train.adam_betas[0],
        adam_beta2=train.adam_betas[1],
        weight_decay=train.weight_decay,
        max_grad_norm=train.max_grad_norm,
        lr_scheduler_type=train.schedule,
        warmup_steps=0 if train.schedule == "constant" else train.warmup_ratio,
        optim="adamw_torch_fused" if cuda else "adamw_torch",
        bf16=precision(recipe) == "bf16",
        tf32=True if cuda and precision(recipe) == "bf16" else None,
        activation_checkpointing=train.gradient_checkpointing,
        seed=train.seed,
        data_seed=train.seed,
        logging_steps=train.log_steps,
        logging_nan_inf_filter=False,  # a NaN stops the run instead
        save_strategy="steps",
        save_steps=train.save_steps,
        save_total_limit=train.keep_checkpoints,
        dataloader_num_workers=train.workers,
        dataloader_persistent_workers=train.workers > 0,
        dataloader_pin_memory=cuda,
        average_tokens_across_devices=False,
        remove_unused_columns=False,
        ddp_find_unused_parameters=recipe.trains == "all",  # the tower's last layer is not used
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        log_level_replica="error",
        use_cpu=not cuda,
    )


class SafeTrainer(Trainer):
    """What every run has: the recipe's optimizer, its own order of the data, whole checkpoints, an end at a bad loss.

    Args:
        recipe: the stage.
        sampler: order of the data of all ranks together; `set_epoch` seeds it.
    """

    _last_ids: Sequence[str] = ()  # the items of the batch that is worked on

    def __init__(self, recipe: Recipe, sampler: "ShuffledSampler | ModalityLengthSampler", **kwargs: Any):
        self.recipe, self.sampler = recipe, sampler
        super().__init__(args=training_arguments(recipe), **kwargs)
        self.model_accepts_loss_kwargs = False  # else the Trainer would divide by the tokens of all micro-batches
        if recipe.lora and (self.is_fsdp_enabled or self.is_deepspeed_enabled):
            raise TrainingError(
                "lora: adapters are small enough for DDP (torchrun); with FSDP or DeepSpeed train in full"
            )
        if self.is_fsdp_enabled:  # accelerate stops at layer classes that the model could have but has not
            whole: Any = self.model
            present = {type(module).__name__ for module in whole.modules()}
            whole._no_split_modules = sorted(present & set(whole._no_split_modules))

    def train_from_newest_checkpoint(self) -> TrainOutput:
        """Train, going on from the newest checkpoint in the output folder if there is one.

        Raises:
            TrainingError: a checkpoint that cannot be read, and all that training raises.
        """
        checkpoint = newest_checkpoint(self.recipe.output)
        if checkpoint:
            with _damaged(checkpoint):
                TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
        try:
            return self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        finally:
            report = self.pop_callback(ConsoleReport)
            if isinstance(report, ConsoleReport):
                report.close()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model=None) -> None:
        with _damaged(resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with _damaged(checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        with _damaged(checkpoint):
            super()._load_rng_state(checkpoint)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler:
        return self.sampler

    def _run_epoch(self, model, epoch, *args, **kwargs):
        self.sampler.set_epoch(epoch)  # accelerate does not reach a sampler below a resumed, sharded loader
        return super()._run_epoch(model, epoch, *args, **kwargs)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        self._last_ids = inputs.pop("ids", ())
        outputs = model(**inputs)
        if not math.isfinite(outputs.loss.item()):
            self._stop_at("loss", outputs.loss.item())
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def _get_grad_norm(self, model, grad_norm=None):
        norm = super()._get_grad_norm(model, grad_norm)
        if not math.isfinite(float(norm)):
            self._stop_at("gradient norm", float(norm))  # before it reaches the weights
        return norm

    def _stop_at(self, what: str, value: float) -> None:
        """Save which items a NaN or infinity came from, and end the run before it spoils the weights."""
        path = self.recipe.output / BAD_BATCH
        facts = {
            "step": self.state.global_step + 1,
            what: str(value),
            "rank": self.args.process_index,
            "ids": list(self._last_ids),
        }
        path.write_text(json.dumps(facts, indent=2))
        raise TrainingError(
            f"step {facts['step']}: the {what} is {value}; the {len(self._last_ids)} items of the batch are in {path}. "
            "The last checkpoint is good: look at the items, lower train.learning_rate, or set train.max_grad_norm=1"
        )

    def floating_point_ops(self, inputs) -> int:
        return 0  # our own count is in the log

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log(logs, start_time)
        self.state.log_history.clear()  # it would grow in every checkpoint; the log file has it all

    def create_optimizer(self, model=None):
        if self.optimizer is None and self.recipe.train.optimizer == "muon":
            if self.is_fsdp_enabled or self.is_deepspeed_enabled:
                raise TrainingError("train.optimizer: muon works on whole matrices; with FSDP or DeepSpeed use adamw")
            train, whole = self.recipe.train, model or self.model
            assert whole is not None
            named = whole.named_parameters()
            groups = muon_groups(named, train.muon_learning_rate, train.learning_rate, train.weight_decay)
            self.optimizer = MuonAdamW(groups, lr=train.learning_rate, betas=train.adam_betas)
        return super().create_optimizer(model)

    def _get_output_dir(self, trial) -> str:
        return str(self._save_to) if self._save_to else super()._get_output_dir(trial)

    _save_to: Path | None = None  # set while a checkpoint is written

    def _save_checkpoint(self, model, trial) -> None:
        """As the Trainer's, but into a temporary folder that is renamed when all ranks have written their part."""
        output = self.recipe.output
        name = f"checkpoint-{self.state.global_step}"
        with disk_errors(output, output / name):
            if self.is_world_process_zero():
                shutil.rmtree(staging(output), ignore_errors=True)
            self.accelerator.wait_for_everyone()
            self._save_to = staging(output)
            try:
                super()._save_checkpoint(model, trial)
            finally:
                self._save_to = None
            self.accelerator.wait_for_everyone()
            if self.is_world_process_zero():
                folder = staging(output) / name
                (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle that nobody reads
                publish(folder, output / name)
                rotate_checkpoints(str(output), self.args.save_total_limit)
            self.accelerator.wait_for_everyone()


def _damaged(checkpoint: object) -> AbstractContextManager:
    return blame(checkpoint, "; remove this folder: training goes on from the checkpoint before it", TrainingError)


class StageTrainer(SafeTrainer):
    """A run of stage 1, 2 or 3, with metrics of the experts.

    The loss is the mean over the learned tokens of each micro-batch, averaged over accumulation and ranks, as upstream's
    is; the model adds the balancing loss to it.

    Args:
        recipe, sampler: as for `SafeTrainer`.
        flops: of the model and what is trained of it.
    """

    def __init__(
        self, recipe: Recipe, sampler: "ShuffledSampler | ModalityLengthSampler", flops: FlopRate, **kwargs: Any
    ):
        super().__init__(recipe, sampler, **kwargs)
        self.flops = flops
        moe = self.accelerator.unwrap_model(self.model).config.moe
        self.meter = StepMeter(sorted(moe.layers), moe.top_k)
        self.peak = peak_flops(self.args.device, recipe.train.peak_tflops, precision(recipe))

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True)
        self.meter.add(outputs, inputs["attention_mask"].bool().reshape(-1), self.flops.of(inputs))
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            logs |= self._metrics()
            if self.state.global_step % WATCH_STEPS == 0:
                self._warn_of_dead_experts()
        super().log(logs, start_time)

    def _metrics(self) -> dict[str, float]:
        """Metrics of all ranks since the last log line."""
        meter, logs = self.meter, {}
        seconds = time.perf_counter() - meter.started
        tokens, flops = self._sum([meter.tokens, meter.flops]).tolist()
        if meter.counts is not None and meter.aux_loss is not None:
            logs["aux_loss"] = (self._sum(meter.aux_loss) / self._sum([float(meter.micro_batches)])).item()
            logs |= load_metrics(self._sum(meter.counts).cpu(), meter.layers)
        logs["tokens_per_second"] = tokens / seconds
        if self.peak:
            logs["mfu"] = flops / seconds / (self.peak * self.args.world_size)
        meter.restart()
        return logs

    def _sum(self, values) -> torch.Tensor:
        tensor = torch.as_tensor(values, dtype=torch.float64).to(self.args.device)
        return self.accelerator.reduce(tensor, "sum") if self.args.world_size > 1 else tensor

    def _warn_of_dead_experts(self) -> None:
        if self.meter.watched is None:
            return
        counts = self._sum(self.meter.watched)
        self.meter.watched = None
        shares = counts / counts.sum(dim=-1, keepdim=True)
        dead = (shares < self.recipe.train.dead_expert_share).nonzero().tolist()
        if dead and self.is_world_process_zero():
            named = ", ".join(f"layer {self.meter.layers[row]} expert {expert}" for row, expert in dead[:8])
            print(
                f"warning: {len(dead)} experts got under {self.recipe.train.dead_expert_share:.0%} of the last {WATCH_STEPS} "
                f"steps' choices ({named}); a larger moe.router_aux_loss_coef spreads the load"
            )


class ShuffledSampler(Sampler[int]):
    """All items in random order, the same for the same seed and epoch."""

    def __init__(self, items: Sized, seed: int):
        self.items, self.seed, self.epoch = items, seed, 0

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[int]:
        yield from torch.randperm(
            len(self.items), generator=torch.Generator().manual_seed(self.seed + self.epoch)
        ).tolist()

    def set_epoch(self, epoch: int) -> None:
        """Shuffle as in that epoch from now on."""
        self.epoch = epoch
