"""The layout `params`, and the facts behind `moe-eval params`: what models have, activate, train and cost."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moe_eval.engine.parameters import config_of, laid_out
from moe_eval.errors import UserError
from moe_eval.runs.records import RunRecord, read_record
from moe_eval.table.comparison import UNITS
from moe_eval.table.grid import Block, Cell, Grid, Heading
from moe_eval.table.published import PublishedNumber

__all__ = ["TEXT_TOKENS", "parameter_facts", "parameters_table"]

TEXT_TOKENS = 64
"""Of the prompt whose FLOPs are counted, beside one picture."""

STAGES = {
    "1": "projector",
    "2": "all-but-tower",
    "3, scripts": "moe-as-scripted",
    "3, paper": "moe-as-paper",
}
"""What each training stage updates, as `moellava.training` names it; stages 1 and 2 train the dense model."""

REMARKS = (
    "LLM: the language model alone, embeddings and head in full, as the MoE-LLaVA paper counts; activated: all but the "
    "idle experts of each sparse layer. All: with vision tower and projector.",
    f"GFLOPs per picture or text token of a prompt with one picture and {TEXT_TOKENS} text tokens, a multiply-add "
    "counted as two; next: of one further token.",
    "Trained: parameters that a stage updates; stage 3 as upstream's scripts do it, and as the paper says.",
)


def parameters_table(folders: Sequence[Path], models: Sequence[str], numbers: Sequence[PublishedNumber]) -> Grid:
    """A row per model.

    Args:
        folders: run folders, whose models come first.
        models: names, of the zoo or folders, that come with them.
        numbers: published ones, for what was published of parameters.
    """
    runs = {run.model.name: run for folder in folders if (run := read_record(RunRecord, folder / "run.json"))}
    facts: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys([*runs, *models]):
        facts[name] = _known(name, runs.get(name))
    parts = list(dict.fromkeys(part for fact in facts.values() for part in fact.get("parts", {})))
    headings = [
        Heading("Model", name="model"),
        *(Heading(title, group, numeric=True) for group in ("LLM", "All") for title in ("total", "act.")),
        Heading("act.", "Published", numeric=True),
        *(Heading(part, "Parts", numeric=True) for part in parts),
        *(Heading(title, "GFLOPs", numeric=True) for title in ("per token", "next")),
        *(Heading(stage, "Trained in stage", numeric=True) for stage in STAGES),
    ]
    published = {number.model: number for number in reversed(numbers) if number.params_activated_b}
    rows = tuple(_row(name, fact, parts, published.get(fact["published_as"])) for name, fact in facts.items())
    return Grid("Parameters", tuple(headings), (Block(rows),), REMARKS)


def parameter_facts(name: str, text_tokens: int = TEXT_TOKENS) -> dict[str, Any]:
    """Counts of a model, from its configuration alone.

    Of models other than MoE-LLaVA and LLaVA-1.5 in our format the cost of a picture and what stages train is not known.

    Raises:
        UserError: for an unknown model, or one that cannot be laid out here.
    """
    from moellava import MoEConfig, MoELlavaConfig
    from moellava.accounting import count_parameters, forward_flops, parameter_shapes
    from moellava.model_accounting import weight_flops
    from moellava.training.stages import is_trained

    config = config_of(name)
    if not isinstance(config, MoELlavaConfig):
        return _facts_of_any(config)
    shapes = parameter_shapes(config)
    count, flops = count_parameters(config, shapes), forward_flops(config, text_tokens, shapes)
    sparse = bool(config.moe.layers)
    dense = shapes
    if sparse:
        moe = MoEConfig(**{**config.moe.to_dict(), "layers": []})
        dense = parameter_shapes(MoELlavaConfig(**{**config.to_dict(), "moe": moe.to_dict()}))
    trained = {
        stage: sum(
            shape.numel() for key, shape in (shapes if "moe" in trains else dense).items() if is_trained(key, trains)
        )
        for stage, trains in STAGES.items()
        if sparse or "moe" not in trains
    }
    return {
        "llm": {"total": count.llm_total, "activated": count.llm_activated},
        "all": {"total": count.total, "activated": count.activated},
        "parts": count.parts,
        "flops": {
            "weights": weight_flops(laid_out(config)),
            "per_token": flops.per_token,
            "tokens": flops.tokens,
            "image": flops.image,
            "prefill": flops.prefill,
            "next": flops.decode,
        },
        "trained": trained,
    }


def _facts_of_any(config: Any) -> dict[str, Any]:
    from moellava.model_accounting import count_model, weight_flops

    model = laid_out(config)
    count = count_model(model)
    return {
        "llm": {"total": count.llm_total, "activated": count.llm_activated},
        "all": {"total": count.total, "activated": count.activated},
        "parts": count.parts,
        "flops": {"weights": weight_flops(model)},
        "trained": {},
    }


def _known(name: str, run: RunRecord | None) -> dict[str, Any]:
    """All facts, or those of the run where the model itself is not here."""
    from moellava import zoo

    published_as = zoo.find(name).published_as if name in zoo.names() else None
    try:
        return {**parameter_facts(name), "published_as": published_as}
    except UserError:
        if run is None:
            raise
    counts = run.model.parameters
    fact: dict[str, Any] = {"published_as": run.model.published_as}
    if counts:
        fact["llm"] = {"total": counts.llm_total, "activated": counts.llm_activated}
        fact["all"] = {"total": counts.total, "activated": counts.activated}
    return fact


def _row(name: str, fact: dict[str, Any], parts: Sequence[str], published: PublishedNumber | None) -> tuple[Cell, ...]:
    note = "" if fact.get("parts") else f"{name}: the model is not here; from its run's record"
    activated = published.params_activated_b if published else None
    return (
        Cell(name, notes=(note,)),
        *(_count(fact.get(scope, {}).get(kind)) for scope in ("llm", "all") for kind in ("total", "activated")),
        Cell(f"{activated}B", notes=(published.cited,)) if published and activated else Cell(),
        *(_count(fact.get("parts", {}).get(part)) for part in parts),
        *(_giga(fact.get("flops", {}).get(kind)) for kind in ("per_token", "next")),
        *(_count(fact.get("trained", {}).get(stage)) for stage in STAGES),
    )


def _count(count: int | None) -> Cell:
    """Three digits: `2.06B`, which the paper cuts to 2.0."""
    if count is None:
        return Cell()
    unit, size = next(((unit, size) for unit, size in UNITS if count >= size), ("", 1.0))
    return Cell(f"{float(f'{count / size:.3g}'):g}{unit}", count)


def _giga(flops: float | None) -> Cell:
    return Cell() if flops is None else Cell(f"{flops / 1e9:.3g}", flops)
