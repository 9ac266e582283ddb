"""`moe-eval params`: how many parameters models have and activate, and what a token costs."""

from typing import Annotated, Any

import typer
from tabulate import tabulate

from moe_eval.commands.options import JsonOption, show_life
from moe_eval.table.parameters import parameter_facts

__all__ = ["parameter_report", "params"]


def params(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL...", help="A name of `list models`, a folder, or hf:ORGANISATION/NAME."),
    ],
    text_tokens: Annotated[int, typer.Option(min=1, help="Text tokens of the prompt whose FLOPs are counted.")] = 64,
    as_json: JsonOption = False,
) -> None:
    """Count parameters, total and activated, and FLOPs, from configurations alone.

    Example: moe-eval params moe-llava-2.7bx4 llava-1.5-13b
    """
    show_life(f"counting the parameters of {', '.join(models)}")
    print(parameter_report(models, text_tokens, as_json))


HOW_THE_PAPER_COUNTED = """\
LLM: the language model alone, embeddings and head counted in full; activated: all but the num_experts - top_k idle
experts of each sparse layer. This is how MoE-LLaVA's paper counts. All: with vision tower and projector.
The paper's 2.0, 2.2 and 3.6 B are 2.06 (cut, not rounded), 2.24 and 3.62 B of "LLM activated"; its 9.6 B for
OpenChat-7B takes Llama-7B's 6.74 B as the base instead of OpenChat's 7.24 B.
FLOPs: matrix products, a multiply-add counted as two. "of weights": those with weights that one further text token takes. For
MoE-LLaVA and LLaVA-1.5, of one picture and {text_tokens} text tokens: "per token" is everything up to the first answer token divided
by all picture and text tokens, "next" is one further token, attention included."""


def parameter_report(models: list[str], text_tokens: int, as_json: bool) -> str:
    """Counts, breakdown and FLOPs of models, from their configurations alone.

    Raises:
        UserError: for an unknown model, or one that cannot be laid out here.
    """
    import json

    facts = {name: parameter_facts(name, text_tokens) for name in models}
    if as_json:
        return json.dumps(facts, indent=2)
    tables = [_totals(facts), _breakdown(facts)]
    if any(fact["trained"] for fact in facts.values()):
        tables.append(_trained({name: fact for name, fact in facts.items() if fact["trained"]}))
    return "\n\n".join([*tables, HOW_THE_PAPER_COUNTED.format(text_tokens=text_tokens)])


def _totals(facts: dict[str, dict[str, Any]]) -> str:
    rows = [
        [
            name,
            *(f"{fact[scope][kind]:,}" for scope in ("llm", "all") for kind in ("total", "activated")),
            *(_giga(fact["flops"].get(kind)) for kind in ("weights", "per_token", "next")),
        ]
        for name, fact in facts.items()
    ]
    headers = [
        "model",
        "LLM total",
        "LLM activated",
        "all total",
        "all activated",
        "GFLOPs of weights",
        "per token",
        "next",
    ]
    return tabulate(rows, headers=headers, disable_numparse=True, colalign=["left", *["right"] * 7])


def _giga(flops: float | None) -> str:
    return "" if flops is None else f"{flops / 1e9:.3g}"


def _breakdown(facts: dict[str, dict[str, Any]]) -> str:
    parts = list(dict.fromkeys(part for fact in facts.values() for part in fact["parts"]))
    rows = [[name, *(f"{fact['parts'].get(part, 0):,}" for part in parts)] for name, fact in facts.items()]
    return tabulate(
        rows, headers=["parameters of", *parts], disable_numparse=True, colalign=["left", *["right"] * len(parts)]
    )


def _trained(facts: dict[str, dict[str, Any]]) -> str:
    stages = list(dict.fromkeys(stage for fact in facts.values() for stage in fact["trained"]))
    rows = [
        [name, *(f"{fact['trained'][stage]:,}" if stage in fact["trained"] else "" for stage in stages)]
        for name, fact in facts.items()
    ]
    headers = ["trained in stage", *stages]
    return tabulate(rows, headers=headers, disable_numparse=True, colalign=["left", *["right"] * len(stages)])
