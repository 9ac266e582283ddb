"""`moe-eval run --workers N` makes the run that one process makes."""

import pytest

from moe_eval.cli import main
from moe_eval.commands import workers
from moe_eval.commands.shown import Shown
from moe_eval.engine.named import find_source
from moe_eval.errors import UserError
from moe_eval.runs.plan import make_plans

RUN = ("run", "moe-llava-nano", "--tasks", "pope", "--data", "mini", "--limit", "54", "--device", "cpu")


def call(*words: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(word) for word in words])
    return int(caught.value.code or 0)


@pytest.mark.slow  # three processes that import torch
def test_workers_give_the_run_of_one_process(tmp_path, capsys):
    assert call(*RUN, "--out", tmp_path / "one", "--quiet") == 0
    assert call(*RUN, "--out", tmp_path / "two", "--workers", 2, "--no-routing") == 0
    one, two = (tmp_path / name / "moe-llava-nano" / "pope" for name in ("one", "two"))
    assert sorted((one / "responses.jsonl").read_text().splitlines()) == sorted(
        (two / "responses.jsonl").read_text().splitlines()
    )
    assert (one / "scores.json").read_bytes() == (two / "scores.json").read_bytes()
    assert not (two / "shards" / "1-of-2" / "routing.json").exists()  # the option has reached the shards


@pytest.mark.parametrize("other", ["--shard 1/2", "--ray local"])
def test_two_ways_to_deal_questions_are_one_too_many(capsys, other):
    assert call(*RUN, "--workers", 2, *other.split()) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"moe-eval: --workers 2 and {other}: say one of them"


@pytest.mark.parametrize(
    ("gpus", "count", "device", "message"),
    [
        (1, 3, "auto", "--workers 3: a worker needs a GPU, and here is 1; take fewer, or --device cpu"),
        (2, 3, "cuda", "here are 2"),
        (2, 2, "cuda:1", "every worker takes a device of its own; leave --device cuda:1 out"),
        (0, 40, "auto", "mini has only 33 groups of questions here; take fewer shards"),
    ],
)
def test_workers_without_a_device_or_work_are_refused(monkeypatch, tmp_path, gpus, count, device, message):
    monkeypatch.setattr(workers, "gpu_memory", lambda: [1] * gpus)
    monkeypatch.setattr(workers, "run_workers", lambda *_: pytest.fail("started"))
    plans = make_plans("m", ["pope"], True, out=tmp_path)
    with pytest.raises(UserError, match=message):
        workers.ask_in_workers(plans, [], count, device, Shown(quiet=True))


@pytest.mark.parametrize(
    ("gpus", "given", "options", "count"),
    [
        (0, "moe-llava-nano", {}, 1),
        (4, "moe-llava-nano", {}, 4),
        (4, "moe-llava-nano", {"device": "cpu"}, 1),
        (4, "moe-llava-nano", {"device": "cuda:1"}, 1),
        (4, "vllm:moe-llava-nano", {"engine_args": "tensor_parallel_size=4"}, 1),
        (4, "openai:m@http://localhost:1/v1", {}, 1),
    ],
)
def test_without_a_word_there_are_as_many_workers_as_free_gpus(monkeypatch, gpus, given, options, count):
    monkeypatch.setattr(workers, "gpu_memory", lambda: [1] * gpus)
    assert workers.free_gpus([find_source(given, **options)]) == count


def test_without_a_word_a_run_that_one_process_has_begun_goes_on_so(tmp_path):
    (plan,) = make_plans("m", ["pope"], True, out=tmp_path)
    assert (workers.fitting_workers([plan], 4), workers.fitting_workers([plan], 99)) == (4, 33)
    plan.folder.mkdir(parents=True)
    (plan.folder / "responses.jsonl").touch()
    assert workers.fitting_workers([plan], 4) == 1
    (plan.folder / "shards").mkdir()
    assert workers.fitting_workers([plan], 4) == 4
