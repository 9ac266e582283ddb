"""Several models on several tasks, one after the other, with what is told meanwhile: `run`, `probe`."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from moe_eval.commands.shown import Shown
from moe_eval.comparison.seeds import spread_line, write_spreads
from moe_eval.engine.choose import choose_backend
from moe_eval.engine.models import ModelSource
from moe_eval.engine.named import Source
from moe_eval.engine.ray import RayBackend
from moe_eval.engine.replay import ReplaySource
from moe_eval.errors import UserError
from moe_eval.evaluation import carry_out, carry_out_shard, carry_out_until
from moe_eval.runs.plan import Plan, make_plans, with_data
from moe_eval.runs.preview import preview
from moe_eval.task import Dataset

__all__ = ["ROUTED_BY_DEFAULT", "run_models"]

ROUTED_BY_DEFAULT = 5_000
"""Questions up to which routing is recorded without being asked for: 2 kB each for the nano model, more for larger ones."""


def run_models(
    models: Sequence[Source],
    tasks: Sequence[str],
    shown: Shown,
    *,
    engine: str = "auto",
    batch_size: int = 16,
    routing: bool | None = None,
    plan_only: bool = False,
    ray: str | None = None,
    data: str | None = None,
    protocol: str | None = None,
    **settings: Any,
) -> int:
    """Run, score, print; everything that can be wrong with names is found before the first model is loaded.

    A task that fails does not stop the others. With `plan_only` nothing is asked and nothing fetched.

    Args:
        routing: record it; None: where it is cheap.
        ray: the address of a Ray cluster that answers; None: this process does.
        settings: the others of a `Plan`.

    Returns:
        The exit code: 0, or 2 if a task failed.

    Raises:
        UserError: for names that do not exist, and where a single run was asked for and fails.
    """
    jobs = [
        (
            model,
            make_plans(
                model.title,
                tasks,
                model.trained_on_mini,
                data=data,
                protocol=protocol,
                router_noise_seed=model.router_noise_seed if isinstance(model, ModelSource) else None,
                **settings,
            ),
        )
        for model in models
    ]
    for model, plans in jobs:
        model.check_name()
        if isinstance(model, ReplaySource) and len(plans) > 1:
            raise UserError(f"{model.name}: holds the answers of one task: say which with --tasks")
        if isinstance(model, ReplaySource) and plans[0].ablation:
            raise UserError(
                f"--ablate {plans[0].ablation}: {model.name} holds answers that were given without it; leave it out"
            )
    batches = batch_size if engine == "generate" else None
    if plan_only:
        print("\n\n".join(preview(model, plans, batches) for model, plans in jobs))
        return 0
    loaded: dict[tuple[str, str], Dataset] = {}  # models share what they are asked
    shown.several = shown.several or sum(len(plans) for _, plans in jobs) > 1
    for model, plans in jobs:
        shown.say(f"{model.title}: {', '.join(plan.task.name for plan in plans)}")
        if not model.is_local:
            shown.say(preview(model, plans, batches) + "\n")
        ready = []
        for plan in plans:
            with shown.kept_going(plan):
                plan = with_data(plan, loaded)
                ready.append(replace(plan, routing=_is_recorded(plan, model, routing, len(models) > 1)))
        if routing and len(models) > 1 and not model.is_sparse:
            shown.say(f"{model.title}: no sparse layer, so there is no routing to record")
        if not ready:
            continue
        # Downloads and converts now, with its own progress, not below the bar of a task.
        routed = any(plan.routing for plan in ready)
        backend, reason = choose_backend(model, engine, batch_size, routed)
        if ray:
            backend = RayBackend(backend, partial(choose_backend, model, engine, batch_size, routed), ray)
        if reason:
            shown.say(f"{model.title}: answered by generate, not by the prefix engine: {reason}")
        of = backend.describe().backend
        for plan in ready:
            with shown.kept_going(plan):
                _check_possible(plan, of)
                _tell_what_is_asked(plan, shown)
                decided: list[str] = []
                with shown.progress(plan) as on_answer:
                    if plan.shard:
                        shown.shared(plan, carry_out_shard(plan, backend, on_answer))
                        continue
                    if plan.until:
                        scores = carry_out_until(plan, backend, on_answer, decided.append)
                    else:
                        scores = carry_out(plan, backend, on_answer)
                shown.scored(plan, scores, *decided)
    for path, spreads in write_spreads([plan for _, plans in jobs for plan in plans]):
        shown.say(f"{spreads.model} {spreads.task}: {spread_line(spreads)} → {path}")
    return shown.end()


def _is_recorded(plan: Plan, model: Source, wanted: bool | None, among_others: bool) -> bool:
    """Whether a run records its routing: as wanted, and otherwise where it is cheap, and asks nothing again."""
    if plan.protocol.continuations:  # nothing is generated, and many continuations may share one pass
        if wanted:
            raise UserError(f"--routing: protocol {plan.protocol_name} only measures answers; leave it out")
        return False
    if wanted is not None:
        return wanted and (model.is_sparse or not among_others)
    answered_without = (plan.folder / "responses.jsonl").exists() and not (plan.folder / "routing.jsonl").exists()
    return (
        model.has_our_routers and len(plan.whole.samples) <= ROUTED_BY_DEFAULT and (plan.fresh or not answered_without)
    )


def _check_possible(plan: Plan, engine: str) -> None:
    """Only the engines that run transformers' models measure and draw answers, and drawn ones are not merged."""
    own = engine in ("prefix", "generate")
    if plan.protocol.continuations and not own:
        raise UserError(
            f"protocol {plan.protocol_name} measures answers, which {engine} cannot; use prefix or generate"
        )
    if plan.sampling and not own:
        raise UserError(f"--temperature: {engine} gives greedy answers only; use prefix or generate")
    if plan.sampling and plan.shard:
        raise UserError("--temperature: drawn answers of shards cannot be merged; leave out --shard and --workers")


def _tell_what_is_asked(plan: Plan, shown: Shown) -> None:
    asked, whole = len(plan.dataset.samples), len(plan.data.samples) if plan.data else 0
    if plan.limit and asked < whole:
        shown.say(f"{plan.task.name}: asks {asked:,} of {whole:,} questions (--limit {plan.limit}, whole groups)")
    submission = plan.task.submission
    if submission and all(sample.gold is None for sample in plan.dataset.samples) and not plan.protocol.judge:
        other = f"; answers to --data {submission.scored_here} are scored here" if submission.scored_here else ""
        shown.say(
            f"{plan.task.name}: the right answers of {plan.source} are hidden: the number comes from "
            f"{submission.upload}, for the file that `moe-eval submit` writes{other}"
        )
