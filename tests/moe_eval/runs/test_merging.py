"""Shards make the run that one process would have made; what does not belong together is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from moe_eval.tasks.pope import TASK

from moe_eval.errors import UserError
from moe_eval.evaluation import carry_out, carry_out_shard, merge
from moe_eval.runs.merging import find_shards
from moe_eval.runs.plan import Plan
from moe_eval.runs.records import RunRecord, ScoresRecord, read_record
from moe_eval.runs.shard import Shard
from tests.fake_backend import FAKE_MODEL, FakeBackend, KilledError

DATA = TASK.load("mini").first(72)


@pytest.fixture(autouse=True, scope="module")
def _quick_environment():
    """Describing the machine asks git and imports torch; the runs of these tests need neither."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("moe_eval.runs.environment.git_commit", lambda: "0" * 40)
        patch.setattr("moe_eval.runs.environment.hardware", dict)
        yield


def answer_by_id(request):
    return "No" if int(request.id) % 3 else "Yes, there is."


def plan(out: Path, shard: Shard | None = None, **settings) -> Plan:
    return Plan("fake", TASK, "llava", "mini", out, limit=72, shard=shard, **settings)


def ask(out: Path, number: int, count: int, **backend) -> Path:
    one = plan(out, Shard(number, count))
    carry_out_shard(one, FakeBackend(**{"answer": answer_by_id, **backend}))
    return one.folder


def merge_all(*paths: Path, out: Path = Path("nowhere"), **options):
    (shards,) = find_shards(paths)
    return merge(shards, out, **options)


def test_merged_shards_are_the_run_of_one_process(tmp_path):
    for number in (3, 1, 2):
        ask(tmp_path / "shards", number, 3)
    folder, scores = merge_all(tmp_path / "shards")
    whole = carry_out(plan(tmp_path / "whole"), FakeBackend(answer_by_id))
    assert folder == tmp_path / "shards" / "fake" / "pope"
    assert scores == whole == read_record(ScoresRecord, folder / "scores.json")
    other = tmp_path / "whole" / "fake" / "pope"
    assert (folder / "responses.jsonl").read_bytes() == (other / "responses.jsonl").read_bytes()
    run, alone = (read_record(RunRecord, path / "run.json") for path in (folder, other))
    assert (run.differences(alone), run.shard, len(run.sessions)) == ([], None, 3)
    assert merge_all(tmp_path / "shards") == (folder, scores)  # once more


def test_shards_from_several_places_go_to_the_usual_folder(tmp_path):
    folders = [ask(tmp_path / name, number, 2) for name, number in (("a", 1), ("b", 2))]
    folder, _ = merge_all(*folders, out=tmp_path / "together")
    assert folder == tmp_path / "together" / "fake" / "pope"


def test_runs_of_one_model_that_were_asked_otherwise_are_merged_apart(tmp_path):
    for system in (None, "Be brief."):
        for number in (1, 2):
            carry_out_shard(plan(tmp_path, Shard(number, 2), system=system), FakeBackend(answer_by_id))
    (tmp_path / "fake" / "pope" / "shards").rename(tmp_path / "elsewhere")
    folders = [merge(shards, tmp_path)[0] for shards in find_shards([tmp_path])]
    assert folders == [plan(tmp_path).folder, plan(tmp_path, system="Be brief.").folder]


def test_a_killed_shard_goes_on_and_is_not_merged_before(tmp_path):
    ask(tmp_path, 1, 2)
    with pytest.raises(KilledError):
        ask(tmp_path, 2, 2, dies_after=5)
    with pytest.raises(UserError, match=r"shard 2/2 has 5 of 36 answers: start its command again"):
        merge_all(tmp_path)
    _, scores = merge_all(tmp_path, allow_missing=True)
    assert len(scores.missing) == 31
    again = FakeBackend(answer_by_id)
    carry_out_shard(plan(tmp_path, Shard(2, 2)), again)
    assert len(again.asked) == 31
    assert merge_all(tmp_path)[1].missing == []


def test_a_missing_shard_is_named(tmp_path):
    ask(tmp_path, 1, 3)
    ask(tmp_path, 3, 3)
    with pytest.raises(UserError, match="fake pope: shard 2/3 is missing"):
        merge_all(tmp_path)


def test_a_shard_that_is_there_twice_is_named(tmp_path):
    first = ask(tmp_path, 1, 2)
    ask(tmp_path, 2, 2)
    shutil.copytree(first, tmp_path / "copy")
    with pytest.raises(UserError, match=r"shard 1/2 is there twice: .*copy"):
        merge_all(tmp_path)


def test_shards_of_different_deals_are_refused(tmp_path):
    ask(tmp_path, 1, 2)
    ask(tmp_path, 2, 3)
    with pytest.raises(UserError, match=r"not of one run \(shards: of 2 → of 3\)"):
        merge_all(tmp_path)


def test_shards_with_other_settings_are_refused(tmp_path):
    ask(tmp_path, 1, 2)
    ask(tmp_path, 2, 2, info=replace(FAKE_MODEL, dtype="float16"))
    with pytest.raises(UserError, match=r"not of one run \(model.dtype: float32 → float16\)"):
        merge_all(tmp_path)


def test_shards_of_other_questions_are_refused(tmp_path):
    ask(tmp_path, 1, 2)
    carry_out_shard(replace(plan(tmp_path, Shard(2, 2)), limit=36), FakeBackend(answer_by_id))
    with pytest.raises(UserError, match=r"not of one run \(data: mini \(72 samples"):
        merge_all(tmp_path)


def test_answers_of_another_shard_are_refused(tmp_path):
    first, second = ask(tmp_path, 1, 2), ask(tmp_path, 2, 2)
    line = (first / "responses.jsonl").read_text().splitlines()[0]
    with (second / "responses.jsonl").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(UserError, match=f"1 answers that are not of shard 2/2, such as {json.loads(line)['id']}"):
        merge_all(tmp_path)


def test_another_run_in_the_folder_is_not_overwritten(tmp_path):
    other = FakeBackend(answer_by_id, info=replace(FAKE_MODEL, dtype="float16"))
    carry_out(plan(tmp_path), other)
    for number in (1, 2):
        ask(tmp_path, number, 2)
    before = (tmp_path / "fake" / "pope" / "run.json").read_bytes()
    with pytest.raises(UserError, match=r"holds another run already \(model.dtype: float16 → float32"):
        merge_all(tmp_path)
    assert (tmp_path / "fake" / "pope" / "run.json").read_bytes() == before


def test_a_folder_without_shards_is_named(tmp_path):
    carry_out(plan(tmp_path), FakeBackend(answer_by_id))
    with pytest.raises(UserError, match="no shard of a run in it"):
        find_shards([tmp_path])
