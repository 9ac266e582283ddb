"""Log-probabilities of answers that could be given, brought to where a protocol scores by them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from moe_eval.errors import UserError
from moe_eval.task import Sample

__all__ = ["with_log_probabilities"]


def with_log_probabilities(
    task: str,
    protocol: str,
    continuations: Callable[[Sample], Sequence[str]],
    samples: Sequence[Sample],
    found: Mapping[str, Mapping[str, float]],
) -> list[Sample]:
    """The samples with `meta["log_probabilities"]`, by answer.

    Args:
        continuations: the answers that the protocol wants to know of.
        found: by sample id, then by answer.

    Raises:
        UserError: naming a sample for which not exactly these answers were measured.
    """
    for sample in samples:
        wanted, measured = list(continuations(sample)), found.get(sample.id)
        if measured is None or set(measured) != set(wanted):
            what = "were only generated" if measured is None else f"measure {', '.join(measured)}"
            raise UserError(
                f"{task}: protocol {protocol} needs the log-probabilities of {', '.join(wanted)} for question {sample.id}, and "
                f"these answers {what}: ask again with `moe-eval run MODEL --tasks {task} --protocol {protocol}`"
            )
    return [replace(sample, meta={**sample.meta, "log_probabilities": found[sample.id]}) for sample in samples]
