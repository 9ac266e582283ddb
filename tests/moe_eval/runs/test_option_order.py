"""Options in another order: the same questions, with what is right at another letter."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from moe_eval.tasks.mmbench import TASK as MMBENCH
from moe_eval.tasks.pope import TASK as POPE
from moe_eval.tasks.scienceqa import TASK as SCIENCEQA

from moe_eval.cli import main
from moe_eval.comparison.flips import flips_of
from moe_eval.comparison.pairing import compare_runs
from moe_eval.engine.ablation import OTHER_ORDER
from moe_eval.errors import UserError
from moe_eval.report.runs import read_run
from moe_eval.runs.asked import as_asked, load_asked
from moe_eval.runs.option_order import in_another_order
from moe_eval.runs.plan import Plan
from moe_eval.runs.shard import Shard
from moe_eval.runs.stored_run import StoredRun
from moe_eval.task import Options, Sample
from tests.asking import run_task
from tests.fake_backend import FakeBackend

TASKS = [SCIENCEQA, MMBENCH]
RELEASED = Path(__file__).parents[2] / "data" / "llava15_13b" / "mmbench_dev_20230712.jsonl.gz"
BY_LETTER = Options(
    lambda sample: sample.meta["options"],
    lambda sample, options, gold: replace(sample, gold=gold, meta={**sample.meta, "options": options}),
)


def question(texts: str, gold: str | None, name: str = "1") -> Sample:
    options = dict(zip("ABCDE", texts, strict=False))
    return Sample(name, "Which?", (), gold, group="1", meta={"options": options})


def asked(sample: Sample) -> str:
    return "".join(sample.meta["options"].values())


def right_text(sample: Sample) -> str:
    return sample.meta["options"][sample.gold]


@pytest.mark.parametrize("texts", ["xy", "xyz", "wxyz"])
def test_the_order_is_another_and_what_is_right_moves_with_its_text(texts):
    sample = question(texts, "B")
    (moved,) = in_another_order(BY_LETTER, [sample])
    assert asked(moved) != texts
    assert sorted(asked(moved)) == sorted(texts)
    assert right_text(moved) == right_text(sample)


def test_it_is_the_same_order_each_time_and_not_that_of_every_question():
    samples = [question("vwxyz", "A", str(number)) for number in range(20)]
    orders = [asked(in_another_order(BY_LETTER, [sample])[0]) for sample in samples]
    assert orders == [asked(in_another_order(BY_LETTER, [sample])[0]) for sample in samples]
    assert len(set(orders)) > 10


def test_rotations_stay_rotations_in_an_order_that_none_of_them_is():
    rotations = [question("wxyz"[turn:] + "wxyz"[:turn], "AD"[turn > 0], str(turn)) for turn in range(4)]
    moved = in_another_order(BY_LETTER, rotations)
    first = asked(moved[0])
    assert [asked(sample) for sample in moved] == [first[turn:] + first[:turn] for turn in range(4)]
    assert first not in map(asked, rotations)
    assert list(map(right_text, moved)) == list(map(right_text, rotations))


@pytest.mark.parametrize(
    "samples", [[question("xy", "A"), question("yx", "B", "2")], [question("xxy", "B")], [question("", None)]]
)
def test_a_question_without_a_further_order_keeps_its_own(samples):
    assert in_another_order(BY_LETTER, samples) == samples


def test_hidden_answers_stay_hidden():
    assert in_another_order(BY_LETTER, [question("xyz", None)])[0].gold is None


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_prompt_lists_the_new_order_and_the_data_are_still_those_of_the_source(task):
    data = task.load("mini")
    moved = as_asked(task, data, OTHER_ORDER)
    assert moved.fingerprint == data.fingerprint
    assert moved.first(40).fingerprint == data.first(40).fingerprint != data.fingerprint
    prompt = task.protocol("llava").prompt
    changed = 0
    for before, after in zip(data.samples, moved.samples, strict=True):
        assert sorted(prompt(before).splitlines()) != prompt(after).splitlines()
        assert task.options.of(after)[after.gold] == task.options.of(before)[before.gold]
        assert f"{after.gold}. {task.options.of(before)[before.gold]}\n" in prompt(after)
        changed += prompt(before) != prompt(after)
    assert changed > len(data.samples) / 2


def test_of_mmbenchs_dev_set_all_but_93_questions_get_another_order():
    """89 have two options, asked in both orders; in 4 two options are alike."""
    samples = MMBENCH.load(f"answers:{RELEASED}").samples
    pairs = list(zip(samples, in_another_order(MMBENCH.options, samples), strict=True))
    moved = {before.group for before, after in pairs if before != after}
    kept = {sample.group: len(MMBENCH.options.of(sample)) for sample in samples if sample.group not in moved}
    assert (len(moved), Counter(kept.values())) == (1_083, {2: 89, 4: 4})
    assert all(MMBENCH.options.of(one)[one.gold] == MMBENCH.options.of(other)[other.gold] for one, other in pairs)


def test_llavas_own_text_of_a_scienceqa_question_is_changed_too():
    meta = {"choices": ("left", "right"), "llava_text": "Context: A map.\nWhich way?\nA. left\nB. right"}
    sample = Sample("1", "Which way?", (), "A", "1", meta)
    (moved,) = in_another_order(SCIENCEQA.options, [sample])
    assert SCIENCEQA.protocol("llava").prompt(moved).startswith("Context: A map.\nWhich way?\nA. right\nB. left\n")
    other = replace(sample, meta={**meta, "llava_text": "Which way? (A) left (B) right"})
    with pytest.raises(UserError, match=r"question 1: its text in llava_test_CQM-A\.json lacks its options"):
        in_another_order(SCIENCEQA.options, [other])


def test_what_mmbench_takes_for_no_option_stays_behind_the_others():
    options = {"A": "up", "B": "down", "C": "left", "D": "None"}
    sample = Sample("7", "Where?", (), "C", "7", {"options": options, "rotations": 1})
    (moved,) = in_another_order(MMBENCH.options, [sample])
    assert moved.meta["options"]["D"] == "None"
    assert moved.meta["options"][moved.gold] == "left"


# --- runs ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Runs of ScienceQA by a model that knows all answers, and says A to every fifth question."""
    data = SCIENCEQA.load("mini").first(40)
    texts = {sample.id: SCIENCEQA.options.of(sample)[sample.gold] for sample in data.samples}

    def answer(request):
        listed = {line[3:]: line[0] for line in request.text.splitlines() if line[1:3] == ". "}
        return "A" if int(request.id.split("-")[-1], 36) % 5 == 0 else listed[texts[request.id]]

    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("moe_eval.runs.environment.hardware", dict)
        for name, ablation in (("plain", None), ("moved", OTHER_ORDER)):
            run_task(SCIENCEQA, "llava", data, FakeBackend(answer), out / name, ablation=ablation)
    return out


def test_a_model_that_knows_the_answer_knows_it_in_every_order(folders):
    plain, moved = (StoredRun.read(folders / name) for name in ("plain", "moved"))
    comparison = compare_runs(plain, moved)
    assert comparison.notes == (f"ablation: none → {OTHER_ORDER}",)
    assert comparison.test.tied > 30
    assert 0 < comparison.test.won + comparison.test.lost <= 8
    lost, won, _ = flips_of(comparison, 9)
    assert all(" → " in flip.gold for flip in (*lost, *won))


def test_what_reads_the_run_again_finds_the_questions_as_they_were_put(folders, capsys):
    stored = StoredRun.read(folders / "moved")
    assert load_asked("scienceqa", stored.run.data, OTHER_ORDER).samples == list(stored.samples.values())
    assert not any("not recorded" in note for note in read_run(folders / "moved").notes)
    for arguments in ([], ["--data", "mini"]):
        written = json.loads((folders / "moved" / "scores.json").read_text())
        with pytest.raises(SystemExit, match="0"):
            main(["score", "scienceqa", str(folders / "moved"), "--json", "--allow-missing", *arguments])
        assert json.loads(capsys.readouterr().out)["headline"] == written["headline"]


def test_shards_ask_what_the_whole_run_asks():
    data = SCIENCEQA.load("mini").first(12)
    plan = Plan("fake", SCIENCEQA, "llava", "mini", data=data, ablation=OTHER_ORDER)
    shards = [replace(plan, shard=Shard(number, 2)).dataset.samples for number in (1, 2)]
    assert sorted(sample.id for part in shards for sample in part) == sorted(sample.id for sample in data.samples)
    whole = {sample.id: sample for sample in plan.dataset.samples}
    assert all(sample == whole[sample.id] for part in shards for sample in part)


def test_a_task_without_options_is_one_line():
    with pytest.raises(UserError, match="questions of pope have no options; those of mmbench, scienceqa have"):
        Plan("fake", POPE, "llava", "mini", ablation=OTHER_ORDER)


def test_moved_options_are_not_submitted(tmp_path, monkeypatch):
    monkeypatch.setattr("moe_eval.runs.environment.hardware", dict)
    data = MMBENCH.load("mini").first(4)
    run_task(MMBENCH, "llava", data, FakeBackend(lambda request: "A"), tmp_path, ablation=OTHER_ORDER)
    with pytest.raises(SystemExit, match="2"):
        main(["submit", str(tmp_path)])
    assert not (tmp_path / "mmbench.xlsx").exists()
