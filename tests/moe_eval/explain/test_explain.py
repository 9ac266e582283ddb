"""`moe-eval explain`: the causes that a run's own files tell, their sizes, and what is left."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from moe_eval.tasks.pope import TASK

from moe_eval.cli import main
from moe_eval.engine.backend import Parameters
from moe_eval.explain.causes import find_causes
from moe_eval.explain.effects import KnownEffect, read_effects
from moe_eval.explain.evidence import gather
from moe_eval.explain.render import remainder, shift_text, to_json, to_markdown
from moe_eval.runs.records import GenerationRecord, IntervalRecord
from moe_eval.table.published import PublishedNumber, read_published
from tests.asking import run_task
from tests.fake_backend import FAKE_MODEL, FakeBackend
from tests.run_folders import OTHER_DATA, TRAINED_MODEL, write_run

DATA = Path(__file__).parents[2] / "data" / "llava15_13b"

THEIRS = replace(TRAINED_MODEL, published_as="Theirs", parameters=Parameters(10, 10, 8, 8))
NOISE = KnownEffect(task="gqa", cause="routing", what="w", model="m", values=(61.4, 61.2), source="s", url="u")
RETRAINED = KnownEffect(task="gqa", cause="training", what="w", model="m", spread=2, source="s", url="u")


def published(value: float, source: str = "paper") -> PublishedNumber:
    return PublishedNumber(
        model="Theirs",
        llm=None,
        params_total_b=None,
        params_activated_b=None,
        image_size=None,
        benchmark="GQA",
        split="testdev_balanced",
        metric="accuracy",
        value=value,
        source=source,
    )


CLAIMED = (published(62.0),)


def explained(tmp_path, value, numbers=CLAIMED, effects=(NOISE, RETRAINED), against=None, **run):
    """Evidence about a run of GQA, and its causes by name."""
    evidence = gather(write_run(tmp_path / "run", "gqa", value, **{"model": THEIRS, **run}), numbers, effects, against)
    return evidence, {cause.name: cause for cause in find_causes(evidence)}


@pytest.mark.slow
def test_released_answers_leave_nothing_to_explain(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["import", "pope", str(DATA / "pope.jsonl.gz"), "--model", "llava-1.5-13b", "--out", str(tmp_path)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main(["explain", str(tmp_path / "llava-1.5-13b" / "pope")])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert "difference +0.05: within the published rounding, nothing is left to explain." in text
    assert "the same answers under other scorers: lmms-eval 85.93, vlmevalkit 85.93" in text


def test_the_scorer_is_sized_by_scoring_again(tmp_path):
    """`Yes, there is.` is right to LLaVA's scorer and wrong to lmms-eval's."""
    folder = tmp_path / "pope"
    backend = FakeBackend(lambda request: "Yes, there is.")
    run_task(TASK, "lmms-eval", TASK.load("mini").first(60), backend, folder)
    causes = {cause.name: cause for cause in find_causes(gather(folder, [], []))}
    assert (causes["scorer"].at_work, causes["scorer"].exact) == ("yes", pytest.approx(-200 / 3))


@pytest.mark.parametrize("told", [{"vllm": "0.32.0"}, {"server": "m", "system_fingerprint": "0.32.0"}])
def test_the_engine_and_its_version_are_named_even_if_the_run_was_started_again(tmp_path, told):
    class Vllm(FakeBackend):
        def told(self):
            return told if self.asked else {}

    folder = tmp_path / "pope"
    for _ in range(2):
        run_task(TASK, "llava", TASK.load("mini").first(60), Vllm(info=replace(FAKE_MODEL, backend="vllm")), folder)
    software = next(cause for cause in find_causes(gather(folder, [], [])) if cause.name == "software")
    assert software.here.startswith("vllm 0.32.0 in float32")
    assert "`moe-eval certify` tells how its answers differ" in software.here


def test_generated_questions_have_nothing_to_be_held_against(tmp_path):
    evidence, causes = explained(tmp_path, 50.0, data=OTHER_DATA)
    assert remainder(evidence, list(causes.values()))["text"] == (
        "Nothing is published about these questions, so there is nothing to explain."
    )
    assert "Published numbers" not in to_markdown(evidence)


def test_a_pending_number_is_told(tmp_path):
    evidence, causes = explained(tmp_path, None)
    left = remainder(evidence, list(causes.values()))
    assert (left["difference"], left["text"][:22]) == (None, "The number is pending:")


def test_an_unknown_model_asks_what_to_be_held_against(tmp_path):
    evidence, causes = explained(tmp_path, 50.0, model=TRAINED_MODEL)
    assert "name a model with --against" in remainder(evidence, list(causes.values()))["text"]


def test_what_is_not_computed_is_named_as_unexplained(tmp_path):
    evidence, causes = explained(tmp_path, 61.0)
    left = remainder(evidence, list(causes.values()))
    assert left["unexplained"] == pytest.approx(-1.0)
    assert left["text"] == (
        "Published 62.0, difference -1.00. It is unexplained, of unknown size here: decoding, software, "
        "chance of the questions."
    )


def test_a_model_of_ones_own_is_explained_by_training(tmp_path):
    evidence, causes = explained(tmp_path, 61.0, model=replace(THEIRS, published_as=None), against="Theirs")
    assert (causes["training"].at_work, causes["training"].known) == ("yes", (RETRAINED,))
    assert "training (±2 elsewhere)" in remainder(evidence, list(causes.values()))["text"]


@pytest.mark.parametrize(
    ("parameters", "seed", "at_work"),
    [(Parameters(10, 10, 8, 8), None, "no"), (Parameters(10, 7, 8, 5), None, "yes"), (None, None, "unknown")],
)
def test_routing_noise_concerns_sparse_models(tmp_path, parameters, seed, at_work):
    _, causes = explained(tmp_path, 61.0, model=replace(THEIRS, parameters=parameters, router_noise_seed=seed))
    assert causes["routing noise"].at_work == at_work
    assert causes["routing noise"].known == ((NOISE,) if at_work == "yes" else ())


def test_routing_noise_is_sized_by_the_runs_beside_that_have_it(tmp_path):
    sparse = replace(THEIRS, parameters=Parameters(10, 7, 8, 5))
    for seed, value in enumerate((60.0, 61.5)):
        write_run(tmp_path / f"s{seed}" / "gqa", "gqa", value, model=replace(sparse, router_noise_seed=seed))
    evidence = gather(write_run(tmp_path / "run" / "gqa", "gqa", 61.0, model=sparse), CLAIMED, ())
    cause = {cause.name: cause for cause in find_causes(evidence)}["routing noise"]
    assert cause.shift == (-0.5, 1.0)
    assert "60.75 ± 1.06 over 2 seeds, from 60.00 to 61.50" in cause.here


def test_missing_answers_are_bounded(tmp_path):
    """3 of 4 answered, 2 right: 66.67 here, 50 to 75 with the fourth."""
    samples = [{"id": str(index), "group": "g", "correct": index % 2} for index in range(1, 4)]
    _, causes = explained(tmp_path, 200 / 3, samples=samples, missing=["4"])
    assert causes["missing answers"].shift == pytest.approx((200 / 3 - 75, 200 / 3 - 50))


def test_other_questions_are_as_far_off_as_chance_can_make(tmp_path):
    interval = IntervalRecord(
        low=58, high=64, standard_error=1.5, analytic_standard_error=None, minimum_detectable_difference=None
    )
    subset = OTHER_DATA.model_copy(update={"source": "hub"})
    evidence, causes = explained(tmp_path, 61.0, data=subset, intervals={"headline": interval})
    assert causes["chance of the questions"].shift == (-3.0, 3.0)
    assert "chance of the questions alone can make as much" in remainder(evidence, list(causes.values()))["text"]


def test_sources_that_differ_are_a_cause(tmp_path):
    _, causes = explained(tmp_path, 61.0, numbers=[published(62.0, "a"), published(61.0, "b")])
    assert causes["published number"].shift == pytest.approx((-1.05, 0.05))


@pytest.mark.parametrize(("cut", "at_work"), [(0, "no"), (1, "yes")])
def test_a_shorter_limit_matters_only_to_answers_that_were_cut(tmp_path, cut, at_work):
    folder = write_run(
        tmp_path / "run", "gqa", 61.0, model=THEIRS, generation=GenerationRecord(max_new_tokens=16, pad_images=True)
    )
    lines = [{"id": "1", "response": "a", "tokens": 16, "finish_reason": "length" if cut else "stop"}]
    (folder / "responses.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    causes = {cause.name: cause for cause in find_causes(gather(folder, [published(62.0)], []))}
    assert causes["decoding"].at_work == at_work


def test_pictures_that_were_taken_away_are_named(tmp_path):
    grey = GenerationRecord(max_new_tokens=128, pad_images=True, ablation="image=grey")
    _, causes = explained(tmp_path, 40.0, generation=grey)
    assert causes["pictures"].here == "taken away: image=grey"


def test_a_prompt_without_ocr_tokens_names_its_effect(tmp_path):
    folder = tmp_path / "run"
    task = "textvqa"
    write_run(folder, task, 46.0, model=replace(FAKE_MODEL, published_as="LLaVA-1.5-7B"), protocol="lmms-eval")
    causes = {cause.name: cause for cause in find_causes(gather(folder, read_published(), read_effects()))}
    assert causes["prompt"].at_work == "yes"
    found = {effect.model: effect.range for effect in causes["prompt"].known}
    assert found["LLaVA-1.5-13B"] == pytest.approx((-12.57, -12.57))


def test_json_holds_the_same(tmp_path):
    evidence, _ = explained(tmp_path, 61.0)
    data = json.loads(to_json(evidence))
    assert (data["value"], data["against"], data["claims"][0]["published"]) == (61.0, "Theirs", 62.0)
    assert {cause["cause"] for cause in data["causes"]} >= {"questions", "prompt", "scorer", "software"}


def test_every_known_effect_has_a_source_and_is_of_a_task():
    effects = read_effects()
    assert all(effect.url.startswith("https://") and effect.source for effect in effects)
    assert {effect.task for effect in effects} <= {
        *("gqa", "mme", "mmbench", "mmvet", "pope", "scienceqa", "textvqa", "vizwiz", "vqav2"),
    }
    assert all(effect.spread is not None or effect.values for effect in effects)


@pytest.mark.parametrize(
    ("shift", "text"),
    [((0.5, 0.5), "+0.50"), ((-20, 20), "±20"), ((-0.05, 0.05), "±0.05"), ((-1.2, 0.5), "-1.20 to +0.50")],
)
def test_effects_are_short(shift, text):
    assert shift_text(shift) == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--against", "LLaVA-1.5-7"], "did you mean LLaVA-1.5-7B"),
        (["--format", "markdown"], "unknown format"),
    ],
)
def test_wrong_options_are_one_line(tmp_path, capsys, arguments, message):
    folder = write_run(tmp_path / "run", "gqa", 61.0)
    with pytest.raises(SystemExit) as end:
        main(["explain", str(folder), *arguments])
    assert end.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "judge", "at_work", "known"),
    [
        (None, None, "unknown", {"judge", "judge runs"}),
        (31.0, None, "unknown", {"judge", "judge runs"}),
        (31.0, "gpt-4-0613, 1 run", "yes", {"judge runs"}),
        (31.0, "gpt-4o, 1 run", "yes", {"judge", "judge runs"}),
    ],
)
def test_the_judge_is_a_cause_where_one_grades(tmp_path, value, judge, at_work, known):
    folder = write_run(tmp_path / "run", "mmvet", value, judge=judge)
    causes = {cause.name: cause for cause in find_causes(gather(folder, read_published(), read_effects()))}
    assert causes["judge"].at_work == at_work
    assert {effect.cause for effect in causes["judge"].known} == known
