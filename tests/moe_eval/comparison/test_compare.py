"""`moe-eval compare`: what is paired, what is refused, what is shown."""

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from moe_eval.comparison.flips import flips_of
from moe_eval.comparison.pairing import compare_tasks
from moe_eval.comparison.text import cell
from moe_eval.errors import UserError
from moe_eval.runs.records import ScoresRecord, read_record, write_record
from moe_eval.runs.stored_run import find_stored_runs
from tests.moe_eval.comparison.runs import DATA, make_run
from tests.moe_eval.test_cli import call


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """`first` is wrong on every 20th question, `second` on every 10th."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("moe_eval.runs.environment.hardware", dict)
        make_run(folder / "first", lambda number, _: number % 20 == 0, model="first")
        make_run(folder / "second", lambda number, _: number % 10 == 0, model="second")
    return folder


def edit_run(source: Path, target: Path, **changes: object) -> Path:
    """A copy of a run whose `run.json` and `scores.json` say something else."""
    shutil.copytree(source, target)
    path = target / "pope" / "run.json"
    record = json.loads(path.read_text())
    for name, value in changes.items():
        record[name] = {**record[name], **value} if isinstance(value, dict) else value
    path.write_text(json.dumps(record))
    scores = read_record(ScoresRecord, target / "pope" / "scores.json")
    scores = scores.model_copy(
        update={"protocol": record["protocol"], "data": scores.data.model_copy(update=record["data"])}
    )
    write_record(scores, target / "pope" / "scores.json")
    return target


def test_samples_are_paired_and_lost_answers_counted(capsys, runs):
    code, out, _ = call(capsys, "compare", runs / "first", runs / "second", "--format", "json")
    (found,) = json.loads(out)["comparisons"]
    assert code == 0
    assert (found["test"]["won"], found["test"]["lost"], found["test"]["tied"]) == (0, 9, 171)
    assert found["difference"]["low"] < found["difference"]["value"] < found["difference"]["high"]
    assert found["test"]["mcnemar"] == pytest.approx(2 / 2**9)
    assert found["test"]["p_value_holm"] == found["test"]["p_value"]
    assert "categories.random.f1" in found["breakdown"]


def test_a_flipped_answer_is_shown_with_all_there_is_about_it(runs):
    ((comparison,), _) = compare_tasks(find_stored_runs(runs / "first"), find_stored_runs(runs / "second"))
    lost, won, why_not = flips_of(comparison, most=3)
    sample = DATA.samples[10]
    assert (len(lost), won, why_not) == (3, [], "")
    assert (lost[0].id, lost[0].question, lost[0].gold) == (sample.id, sample.question, sample.gold)
    assert sample.images[0].name in lost[0].picture
    assert lost[0].answers == (sample.gold, {"yes": "no", "no": "yes"}[sample.gold])


def test_the_table_says_what_was_tested(capsys, runs):
    _, out, _ = call(capsys, "compare", runs / "first", runs / "second", "--flips", 2)
    assert "| pope   | mean F1 (%) | 9" in out
    assert "180 samples in" in out
    assert "McNemar's exact test, as if all questions were independent: 0.004" in out
    assert "2 of 9 answers that B lost" in out


def test_it_is_written_to_a_file(capsys, runs, tmp_path):
    code, out, _ = call(capsys, "compare", runs / "first", runs / "second", "--out", tmp_path / "c.json")
    assert (code, out) == (0, "")
    assert json.loads((tmp_path / "c.json").read_text())["only_in_one"] == []


def test_without_the_data_the_stored_scores_must_do(runs, tmp_path):
    gone = [edit_run(runs / name, tmp_path / name, data={"source": "llava:gone"}) for name in ("first", "second")]
    ((comparison,), _) = compare_tasks(*map(find_stored_runs, gone))
    lost, _, why_not = flips_of(comparison, most=1)
    assert "gone" in why_not
    assert (lost[0].question, lost[0].gold) == ("", DATA.samples[10].gold)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"fingerprint": "sha256:other"}}, r"pope: these runs cannot be compared \(data: mini .* → mini "),
        ({"prompt": {"fingerprint": "sha256:other"}}, r"\(prompts: sha256:\w+ → sha256:other\); .* --common"),
        ({"protocol": "vlmevalkit"}, r"\(protocol: llava → vlmevalkit\)"),
    ],
)
def test_runs_that_were_asked_or_scored_otherwise_are_refused(capsys, runs, tmp_path, changes, message):
    other = edit_run(runs / "second", tmp_path / "other", **changes)
    with pytest.raises(UserError, match=message):
        compare_tasks(find_stored_runs(runs / "first"), find_stored_runs(other))
    code, _, err = call(capsys, "compare", runs / "first", other)
    assert (code, err.count("\n")) == (2, 1)


def test_common_samples_are_compared_when_told_to(capsys, runs, tmp_path):
    part = DATA.first(90)
    make_run(tmp_path / "part", lambda number, _: number % 10 == 0, data=part)
    assert call(capsys, "compare", runs / "first", tmp_path / "part")[0] == 2
    code, out, _ = call(capsys, "compare", runs / "first", tmp_path / "part", "--common")
    assert code == 0
    assert f"compared on the {len(part.samples)} common samples of 180 and {len(part.samples)}" in out
    assert "data: mini (180 samples" in out


def test_ids_that_stand_for_other_questions_are_not_paired(runs, tmp_path, monkeypatch):
    """As in two versions of POPE, which number their questions alike."""
    samples = [replace(one, question="Is it?") if n < 45 else one for n, one in enumerate(DATA.samples)]
    other = make_run(tmp_path / "other", data=replace(DATA, samples=samples))
    stored = find_stored_runs(other)["pope"]
    monkeypatch.setitem(stored.__dict__, "samples", {sample.id: sample for sample in samples})
    ((comparison,), _) = compare_tasks(find_stored_runs(runs / "first"), {"pope": stored}, common=True)
    assert len(comparison.ids) == 135
    assert "45 ids that stand for different questions are left out" in comparison.notes


def test_folders_of_runs_are_paired_by_task(capsys, runs, tmp_path):
    code, _, err = call(capsys, "compare", runs, runs / "first")
    assert code == 2
    assert "holds several runs of pope" in err
    code, _, err = call(capsys, "compare", tmp_path, runs)
    assert "no finished run in it" in err


def test_a_hand_edited_scores_file_is_refused(capsys, runs, tmp_path):
    shutil.copytree(runs / "second", tmp_path / "edited")
    path = tmp_path / "edited" / "pope" / "scores.json"
    record = json.loads(path.read_text())
    record["headline"]["value"] = 99.9
    path.write_text(json.dumps(record))
    code, _, err = call(capsys, "compare", runs / "first", tmp_path / "edited")
    assert code == 2
    assert "scores.json: was changed by hand" in err


def test_scoring_again_puts_an_edited_file_right(capsys, runs, tmp_path):
    shutil.copytree(runs / "second", tmp_path / "edited")
    path = tmp_path / "edited" / "pope" / "scores.json"
    path.write_text(path.read_text().replace('"value": 9', '"value": 8'))
    assert call(capsys, "score", "pope", path.parent, "--write")[0] == 0
    assert read_record(ScoresRecord, path) == read_record(ScoresRecord, runs / "second" / "pope" / "scores.json")


def test_scores_under_another_protocol_do_not_replace_a_runs_own(capsys, runs, tmp_path):
    shutil.copytree(runs / "second", tmp_path / "copy")
    options = ["--protocol", "vlmevalkit", "--write"]
    code, _, err = call(capsys, "score", "pope", tmp_path / "copy" / "pope", *options)
    assert code == 2
    assert "under protocol llava" in err


def test_gzipped_runs_are_read(capsys, runs, tmp_path):
    shutil.copytree(runs / "first", tmp_path / "small")
    for name in ("scores.json", "responses.jsonl"):
        path = tmp_path / "small" / "pope" / name
        path.with_name(f"{name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    plain, small = (call(capsys, "compare", one, runs / "second")[1] for one in (runs / "first", tmp_path / "small"))
    assert small.replace("small", "first").split("\n")[1:] == plain.split("\n")[1:]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a|b", "a\\|b"), ("two\nlines", "two lines"), ("<script>", "&lt;script>"), ("x" * 70, "x" * 59 + "…")],
)
def test_any_text_fits_a_cell(text, shown):
    assert cell(text) == shown
