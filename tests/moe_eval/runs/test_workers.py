"""Shards as processes: one that is killed is started again and goes on, one that refuses its command ends them all."""

import sys
from pathlib import Path

import pytest

from moe_eval.errors import UserError
from moe_eval.runs import workers
from moe_eval.runs.shard import Shard

CHILD = """
import os, pathlib, sys
words = sys.argv[1:]
shard = words[words.index("--shard") + 1].partition("/")[0]
journal = pathlib.Path(words[0]) / shard
lines = journal.read_text().splitlines() if journal.exists() else []
if "--fresh" in words:
    lines = []
for _ in range(4 - len(lines)):
    with journal.open("a") as stream:
        stream.write("answer\\n")
    exec(words[1])
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`work(code, *first_words)` runs two shards that answer four questions each, and `code` after each answer."""
    script = tmp_path / "moe_eval.py"
    script.write_text(CHILD)
    monkeypatch.setattr(workers, "SECONDS", 0.02)
    start = workers.subprocess.Popen

    def popen(command, **options):
        return start([sys.executable, str(script), *command[command.index("run") + 1 :]], **options)

    monkeypatch.setattr(workers.subprocess, "Popen", popen)

    def run(code: str, *first_words: str) -> list[int]:
        seen: list[int] = []
        words = [str(tmp_path), code]
        workers.run_workers(words, first_words, 2, 0, lambda shard: [tmp_path / str(shard.number)], seen.append)
        return seen

    return run


def test_all_shards_run_to_their_end_and_their_answers_are_counted(work, tmp_path):
    assert work("pass")[-1] == 8
    assert [(tmp_path / name).read_text().count("\n") for name in "12"] == [4, 4]


def test_a_killed_shard_is_started_again_and_goes_on(work, tmp_path):
    seen = work("if shard == '2': os.kill(os.getpid(), 9)")
    assert seen[-1] == 8
    assert seen == sorted(seen)


def test_fresh_is_said_only_once(work, tmp_path):
    assert work("if shard == '2': os.kill(os.getpid(), 9)", "--fresh")[-1] == 8


def test_a_shard_that_refuses_its_command_ends_them_all_with_its_words(work):
    with pytest.raises(UserError, match=r"^shard 1/2: pope: no pictures$"):
        work(
            "if shard == '1': sys.stderr.write('moe-eval: pope: no pictures\\n'); sys.exit(2)\nimport time; time.sleep(60)"
        )


def test_a_shard_that_dies_without_answering_is_not_started_for_ever(work, tmp_path):
    for name in "12":
        (tmp_path / name).write_text("answer\n" * 3)
    code = "journal.write_text('answer\\n' * 3); sys.exit('no luck')"
    with pytest.raises(
        UserError, match=r"ended 4 times \(exit code 1\) without an answer more; its last words: no luck"
    ):
        work(code)


def test_every_worker_sees_one_gpu(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert workers._share(Shard(2, 2), gpus=2) == {"CUDA_VISIBLE_DEVICES": "1"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert workers._share(Shard(2, 2), gpus=2) == {"CUDA_VISIBLE_DEVICES": "7"}
