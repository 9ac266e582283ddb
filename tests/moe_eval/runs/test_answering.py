"""A run: killed, resumed, locked, out of disk, with broken pictures."""

import errno
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moe_eval.tasks.pope import TASK

from moe_eval.errors import UserError
from moe_eval.images import ImageFile
from moe_eval.runs import journal
from moe_eval.runs.journal import read_responses
from moe_eval.runs.plan import run_folder
from moe_eval.runs.records import RunRecord, ScoresRecord, read_record
from tests.asking import run_task
from tests.fake_backend import FAKE_MODEL, FakeBackend, KilledError

DATA = TASK.load("mini").first(36)


def answer_by_id(request):
    return "No" if int(request.id) % 3 else "Yes, there is."


@pytest.fixture(autouse=True, scope="module")
def _quick_environment():
    """Describing the machine asks git and imports torch; the runs of these tests need neither."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("moe_eval.runs.environment.git_commit", lambda: "0" * 40)
        patch.setattr("moe_eval.runs.environment.hardware", dict)
        yield


def run(folder: Path, backend: FakeBackend | None = None, data=DATA, **options) -> ScoresRecord:
    return run_task(TASK, "llava", data, backend or FakeBackend(answer_by_id), folder, **options)


def test_a_run_leaves_settings_answers_and_scores(tmp_path):
    scores = run(tmp_path)
    record = read_record(RunRecord, tmp_path / "run.json")
    assert record.model == FAKE_MODEL
    assert (record.task, record.protocol, record.data.samples) == ("pope", "llava", 36)
    assert record.prompt.example.endswith("Answer the question using a single word or phrase.")
    assert [session.answered for session in record.sessions] == [36]
    assert len(read_responses(tmp_path / "responses.jsonl")) == 36
    assert read_record(ScoresRecord, tmp_path / "scores.json") == scores


def test_what_the_model_is_told_beside_the_question_is_in_every_request_and_in_the_record(tmp_path):
    told = set()

    def answer(request):
        told.add((request.system, request.thinking, request.max_new_tokens))
        return "Yes"

    run(tmp_path, FakeBackend(answer), system="Be brief.", thinking=True)
    generation = read_record(RunRecord, tmp_path / "run.json").generation
    assert told == {(generation.system, generation.thinking, generation.max_new_tokens)}
    assert generation.asked_otherwise == ['system "Be brief."', "thinking"]


def test_questions_about_one_picture_are_asked_together(tmp_path):
    backend = FakeBackend()
    run(tmp_path, backend)
    group = {sample.id: sample.group for sample in DATA.samples}
    groups = [group[sample_id] for sample_id in backend.asked]
    assert groups == sorted(groups)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(deaths=st.lists(st.integers(0, 36), max_size=3), torn=st.binary(max_size=20))
def test_resuming_equals_one_go(tmp_path_factory, deaths, torn):
    folder, whole = tmp_path_factory.mktemp("torn"), tmp_path_factory.mktemp("whole")
    expected = run(whole)
    asked: list[str] = []
    for dies_after in deaths:
        backend = FakeBackend(answer_by_id, dies_after=dies_after)
        try:
            run(folder, backend)
        except KilledError:
            with (folder / "responses.jsonl").open("ab") as stream:  # what a kill in the middle of a line leaves
                stream.write(torn.replace(b"\n", b""))
        asked += backend.asked
    backend = FakeBackend(answer_by_id)
    assert run(folder, backend) == expected
    asked += backend.asked
    assert sorted(asked) == sorted(sample.id for sample in DATA.samples)
    assert (folder / "scores.json").read_bytes() == (whole / "scores.json").read_bytes()


def test_a_finished_run_asks_nothing_again(tmp_path):
    run(tmp_path)
    backend = FakeBackend()
    run(tmp_path, backend)
    assert backend.asked == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"data": DATA.first(18)}, r"data: mini \(36 samples.*→ mini \(18 samples"),
        ({"backend": FakeBackend(info=replace(FAKE_MODEL, weights_fingerprint="sha256:1"))}, "model.weights"),
        (
            {"backend": FakeBackend(info=replace(FAKE_MODEL, router_noise_seed=1))},
            "router_noise_seed: None → 1",
        ),
        ({"backend": FakeBackend(info=replace(FAKE_MODEL, picture_tokens=64))}, "picture_tokens: None → 64"),
        ({"backend": FakeBackend(info=replace(FAKE_MODEL, quantization="8bit"))}, "quantization: None → 8bit"),
        ({"system": "Be brief."}, "generation.system: None → Be brief"),
        ({"thinking": True}, r"generation.max_new_tokens: 128 → 4224; generation.thinking: None → True"),
    ],
)
def test_other_settings_are_refused_unless_fresh(tmp_path, changes, named):
    run(tmp_path)
    with pytest.raises(UserError, match=rf"{named}.*--fresh.*--out"):
        run(tmp_path, **changes)
    run(tmp_path, **changes, fresh=True)


def test_a_run_grows_without_asking_again(tmp_path):
    run(tmp_path, data=DATA.first(18))
    backend = FakeBackend()
    scores = run(tmp_path, backend, data=DATA)
    assert len(scores.samples) == 36
    assert len((tmp_path / "responses.jsonl").read_text().splitlines()) == 36
    assert len(backend.asked) == 18


def test_settings_may_change_while_nothing_is_answered(tmp_path):
    with pytest.raises(KilledError):
        run(tmp_path, FakeBackend(dies_after=0))
    run(tmp_path, data=DATA.first(18))


def test_journal_without_settings_is_refused(tmp_path):
    run(tmp_path)
    (tmp_path / "run.json").unlink()
    with pytest.raises(UserError, match=r"run\.json: cannot be read"):
        run(tmp_path)


def test_a_second_process_gets_one_line(tmp_path):
    class Nested(FakeBackend):
        def generate(self, requests):
            run(tmp_path)
            return iter(())

    with pytest.raises(UserError, match="another process is working on this run"):
        run(tmp_path, Nested())


def test_full_disk_keeps_what_was_journaled(tmp_path, monkeypatch):
    room = 2500

    def write(descriptor, data, write=os.write):
        nonlocal room
        if room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(descriptor, bytes(data[:room]))
        room -= written
        return written

    monkeypatch.setattr(journal.os, "write", write)
    with pytest.raises(UserError, match=r"responses\.jsonl: cannot write \(No space left on device\).*is safe"):
        run(tmp_path)
    kept = read_responses(tmp_path / "responses.jsonl")
    assert 0 < len(kept) < 36
    monkeypatch.undo()
    backend = FakeBackend(answer_by_id)
    run(tmp_path, backend)
    assert len(backend.asked) == 36 - len(kept)


def test_broken_line_inside_the_journal_is_named(tmp_path):
    run(tmp_path)
    lines = (tmp_path / "responses.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "responses.jsonl").write_text("".join([*lines[:4], "{oops\n", *lines[5:]]))
    with pytest.raises(UserError, match=r"responses\.jsonl line 5: not valid JSON"):
        run(tmp_path)


def with_unreadable_picture(path: Path):
    """The data with its first picture in a file that is no picture."""
    path.write_bytes(b"not a picture")
    group = DATA.samples[0].group
    samples = [replace(s, images=(ImageFile(path),)) if s.group == group else s for s in DATA.samples]
    return replace(DATA, samples=samples)


def test_unreadable_picture_fails_the_run_at_its_end(tmp_path):
    data = with_unreadable_picture(tmp_path / "broken.jpg")
    with pytest.raises(UserError, match=r"18 of 36 questions.*\(1 pictures.*broken\.jpg.*--allow-missing"):
        run(tmp_path, data=data)
    assert len(read_responses(tmp_path / "responses.jsonl")) == 18
    assert not (tmp_path / "scores.json").exists()


def test_unreadable_picture_is_left_out_on_request(tmp_path):
    scores = run(tmp_path, data=with_unreadable_picture(tmp_path / "broken.jpg"), allow_missing=True)
    assert (len(scores.missing), len(scores.samples)) == (18, 18)


def test_data_without_pictures_cannot_be_asked(tmp_path):
    with pytest.raises(UserError, match="official:old has no pictures"):
        run(tmp_path, data=TASK.load("official"))


@pytest.mark.parametrize(
    ("model", "folder"),
    [
        ("moe-llava-2.7bx4", "moe-llava-2.7bx4/pope"),
        ("hf:llava-hf/llava-1.5-7b-hf@abc", "hf--llava-hf--llava-1.5-7b-hf--abc/pope"),
        ("../checkpoints/./mine/", "checkpoints--mine/pope"),
        ("/data/mine", "data--mine/pope"),
    ],
)
def test_run_folders_stay_inside_out(model, folder):
    assert run_folder(Path("runs"), model, "pope") == Path("runs") / folder


SLOW_RUN = """
import sys
from pathlib import Path
from tests.asking import run_task
from moe_eval.tasks.pope import TASK
from tests.fake_backend import FakeBackend
run_task(TASK, "llava", TASK.load("mini").first(36), FakeBackend(seconds=0.02), Path(sys.argv[1]))
"""


def test_kill_9_loses_and_repeats_nothing(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", SLOW_RUN, str(tmp_path)])
    journal_file = tmp_path / "responses.jsonl"
    while not (journal_file.exists() and journal_file.stat().st_size > 300):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = journal_file.read_bytes()
    complete = before[: before.rfind(b"\n") + 1]
    backend = FakeBackend()
    run(tmp_path, backend)
    assert journal_file.read_bytes().startswith(complete)
    assert len(backend.asked) == 36 - complete.count(b"\n")
    assert len(read_responses(journal_file)) == 36
    assert [s.answered for s in read_record(RunRecord, tmp_path / "run.json").sessions] == [
        None,
        len(backend.asked),
    ]
