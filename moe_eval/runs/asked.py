"""What a run was asked, loaded once more: the samples that its record names, as they were put to the model."""

from dataclasses import replace

from moe_eval.engine.ablation import OTHER_ORDER
from moe_eval.errors import UserError
from moe_eval.registry import find_task
from moe_eval.runs.option_order import in_another_order
from moe_eval.runs.records import DataRecord
from moe_eval.task import Dataset, Task

__all__ = ["as_asked", "load_asked"]


def as_asked(task: Task, dataset: Dataset, ablation: str | None) -> Dataset:
    """The data with their questions as they are put: with options in another order, where the ablation says so.

    What is right moves with its text, so that scores compare with those of the usual order.
    """
    if ablation != OTHER_ORDER or task.options is None:
        return dataset
    return replace(dataset, samples=in_another_order(task.options, dataset.samples), unaltered=dataset)


def load_asked(task_name: str, data: DataRecord, ablation: str | None) -> Dataset:
    """The questions that a record is about.

    Raises:
        UserError: when task or data are not on this machine, or the data no longer are what they were.
    """
    task = find_task(task_name)
    dataset = data.samples_of(task.load(data.source))
    if dataset.fingerprint != data.fingerprint:
        raise UserError(f"{task_name}: {data.source} no longer holds the questions that were asked")
    return as_asked(task, dataset, ablation)
