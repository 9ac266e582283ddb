"""One stage from recipe to finished folder."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import transformers
from filelock import FileLock, Timeout

from moellava.accounting import parameter_shapes
from moellava.convert.source import blame
from moellava.training.block_attention import ordinary_attention, use_block_attention
from moellava.training.checkpoints import disk_errors, newest_checkpoint, staging, write_text, write_weights
from moellava.training.collate import Collator
from moellava.training.dataset import ConversationDataset
from moellava.training.errors import TrainingError
from moellava.training.flops import training_flops
from moellava.training.grouping import ModalityLengthSampler
from moellava.training.lora import add_adapters, merged
from moellava.training.packing import Packing
from moellava.training.recipe import Recipe
from moellava.training.reporting import ConsoleReport, JsonLog, tensorboard_callback
from moellava.training.samples import DataFile
from moellava.training.stages import Plan, build_model, plan_stage
from moellava.training.trainer import ShuffledSampler, StageTrainer, precision, training_arguments

__all__ = ["FINISHED", "finish_run", "prepare_output", "train_stage"]

RECIPE = "recipe.json"
FINISHED = "training.json"
LOCK = ".lock"
CHANGEABLE = {
    "workers",
    "save_steps",
    "log_steps",
    "keep_checkpoints",
    "tensorboard",
    "peak_tflops",
    "dead_expert_share",
}
"""Keys of `train` that do not change what is computed, and may differ when a run goes on."""


def train_stage(recipe: Recipe, fresh: bool = False) -> Path:
    """Train a stage, or go on with it where it was, and save it; returns its folder.

    Raises:
        TrainingError: bad recipe or data, several GPUs without torchrun, a loss that is not a number, a full disk.
    """
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()  # ours tells the time left
    if torch.cuda.device_count() > 1 and _world_size() == 1:
        raise TrainingError(
            f"{torch.cuda.device_count()} GPUs and one process: start it with torchrun --nproc-per-node "
            f"{torch.cuda.device_count()} -m moellava.train …, or set CUDA_VISIBLE_DEVICES=0"
        )
    with only_training(recipe.output):
        return _train_stage(recipe, fresh)


@contextmanager
def only_training(output: Path) -> Iterator[None]:
    """Of several trainings into one folder only the first goes on; of the processes of one, the first holds the lock.

    Raises:
        TrainingError: when another one is at work there.
    """
    if _rank() != 0:
        yield
        return
    with disk_errors(output, output):
        output.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(output / LOCK, blocking=False):
            yield
    except Timeout:
        raise TrainingError(f"{output}: another training is at work there; wait for it, or set output=FOLDER") from None


def _train_stage(recipe: Recipe, fresh: bool) -> Path:
    output = recipe.output
    plan = plan_stage(recipe)
    if prepare_output(recipe, fresh):
        return output
    dataset = load_dataset(recipe, plan)
    checkpoint = newest_checkpoint(output)
    whole = checkpoint and not recipe.lora and (checkpoint / "config.json").exists()  # not just shards or adapters
    model = build_model(recipe, plan, checkpoint if whole else None)
    trainer = make_trainer(recipe, plan, model, dataset)
    started = time.time()
    result = trainer.train_from_newest_checkpoint()
    facts = {"steps": result.global_step, "seconds": round(time.time() - started, 1), "mean_loss": result.training_loss}
    save_finished(trainer, recipe, plan, facts)
    return output


def load_dataset(recipe: Recipe, plan: Plan) -> ConversationDataset:
    """The recipe's data, checked; the report of what is wrong with it is printed."""
    dataset = ConversationDataset(
        [DataFile(data.file, data.images) for data in recipe.data],
        plan.processor,
        "plain" if recipe.template == "plain" else None,
        recipe.max_length,
        split_rounds=recipe.split_rounds,
        pad_images=recipe.pad_images,
        images_first=plan.config.codebase == "llava",
    )
    if _rank() == 0:
        print(dataset.report)
    if not len(dataset):
        raise TrainingError(f"{', '.join(str(data.file) for data in recipe.data)}: no item that can be trained on")
    return dataset


def make_trainer(recipe: Recipe, plan: Plan, model, dataset: ConversationDataset) -> StageTrainer:
    """The Trainer of a stage, with its reports."""
    train, ranks = recipe.train, _world_size()
    sampler = (
        ModalityLengthSampler(
            dataset.lengths, train.per_device_batch_size, ranks * train.gradient_accumulation_steps, seed=train.seed
        )
        if train.group_by_modality_length
        else ShuffledSampler(dataset, train.seed)
    )
    callbacks = [ConsoleReport(recipe.output.name), JsonLog(recipe.output)]
    board = tensorboard_callback(recipe.output) if train.tensorboard else None
    packing = Packing(recipe.packing.share_prefix) if recipe.packing else None
    if packing:
        use_block_attention(model)
    trainer = StageTrainer(
        recipe,
        sampler,
        training_flops(plan.config, parameter_shapes(plan.config), "projector" if recipe.lora else recipe.trains),
        model=add_adapters(model, recipe) if recipe.lora else model,
        train_dataset=dataset,
        data_collator=Collator(plan.processor.tokenizer.pad_token_id, packing),
        callbacks=callbacks + ([board] if board else []),
    )
    trainer.remove_callback(transformers.PrinterCallback)
    if recipe.evaluate:
        from moe_eval.callback import EvaluationCallback

        out = recipe.output / "evaluations"
        asked = recipe.evaluate.model_dump()
        trainer.add_callback(EvaluationCallback(trainer, plan.processor, **asked, out=out, inside=ordinary_attention))
    return trainer


def save_finished(trainer: StageTrainer, recipe: Recipe, plan: Plan, facts: dict) -> None:
    """Write the finished stage into the output folder."""
    if recipe.lora:
        state = merged(trainer.accelerator.unwrap_model(trainer.model)).state_dict()
    else:
        state = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    trained_in = {"bf16": "bfloat16", "fp32": "float32"}[precision(recipe)]
    dtype = getattr(torch, trained_in if recipe.save_dtype == "auto" else recipe.save_dtype)

    def save(folder: Path) -> None:
        tied = plan.config.tie_word_embeddings
        tensors = ((name, value.detach().to("cpu", dtype)) for name, value in sorted(state.items()))
        write_weights(folder, ((name, value) for name, value in tensors if not (tied and name == "lm_head.weight")))
        plan.config.architectures, plan.config.dtype = ["MoELlavaForConditionalGeneration"], dtype
        plan.config.save_pretrained(folder)
        plan.generation_config.save_pretrained(folder)
        plan.processor.save_pretrained(folder)

    if trainer.is_world_process_zero():
        finish_run(recipe, save, facts)


def finish_run(recipe: Recipe, save: Callable[[Path], None], facts: dict) -> None:
    """Move what `save` writes into the output folder and remove the checkpoints; `training.json` comes last."""
    output, folder = recipe.output, staging(recipe.output) / "finished"
    with disk_errors(output, output):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        save(folder)
        for path in sorted(folder.iterdir()):
            path.replace(output / path.name)
        versions = {"torch": torch.__version__, "transformers": transformers.__version__}
        record = {"recipe": recipe.as_record(), **facts, "versions": versions}
        write_text(output / FINISHED, json.dumps(record, indent=2) + "\n")
    shutil.rmtree(staging(output), ignore_errors=True)
    for checkpoint in output.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)


def prepare_output(recipe: Recipe, fresh: bool) -> bool:
    """Get the output folder ready; returns whether the run is finished already.

    Raises:
        TrainingError: the folder holds a run of another recipe, and `fresh` (empty the folder) is not asked for.
    """
    output, processes = recipe.output, training_arguments(recipe).distributed_state
    if processes.is_main_process:
        _claim_output(recipe, fresh)
    processes.wait_for_everyone()  # nobody looks before the first process has cleaned up
    finished = not fresh and (output / FINISHED).exists()
    if finished and processes.is_main_process:
        print(f"{output}: finished already; --fresh trains it again")
    return finished


def _claim_output(recipe: Recipe, fresh: bool) -> None:
    output = recipe.output
    if fresh and (output / RECIPE).exists():
        for path in output.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != LOCK:
                path.unlink()
    output.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(staging(output), ignore_errors=True)
    now = recipe.as_record()
    path = output / RECIPE
    if path.exists():
        with blame(path, "; --fresh starts over", TrainingError):
            before = dict(json.loads(path.read_text()))
        changed = [key for key in _differences(before, now) if key.removeprefix("train.") not in CHANGEABLE]
        if changed:
            raise TrainingError(
                f"{output}: was started with another {', '.join(changed)}; --fresh starts over, output=FOLDER elsewhere"
            )
    write_text(path, json.dumps(now, indent=2) + "\n")


def _differences(before: dict, now: dict, prefix: str = "") -> list[str]:
    keys = []
    for key in dict.fromkeys([*before, *now]):
        one, other = before.get(key), now.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            keys += _differences(one, other, f"{prefix}{key}.")
        elif one != other:
            keys.append(prefix + key)
    return keys


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


def _world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))
