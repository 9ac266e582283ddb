"""Whatever is wrong with a file: a correct result, or one line that says so and exit code 2."""

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import pytest

from moe_eval.cli import main as moe_eval_main
from moe_eval.errors import UnreadableImageError, UserError
from moe_eval.images import ImageFile
from moe_eval.sources.parquet import read_parquet
from tests.fuzzing.mutations import mutate
from tests.fuzzing.subjects import SUBJECTS, Subject

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

TIMES = float(os.environ.get("FUZZING", "1"))
"""How many times the usual number of mutations."""
SECONDS = 60
"""After which a command is taken to hang."""


def call_moe_eval(words: list[str]) -> int:
    with pytest.raises(SystemExit) as end:
        moe_eval_main(words)
    return int(end.value.code or 0)


def call_moellava(words: list[str]) -> int:
    from moellava.cli import main

    with pytest.raises(SystemExit) as end:
        main(words)
    return int(end.value.code or 0)


def call_train(words: list[str]) -> int:
    from moellava.train import main

    return main(words)


def open_pictures(words: list[str]) -> int:
    for path in sorted(Path(words[0]).iterdir()):
        with suppress(UnreadableImageError):
            assert ImageFile(path).open().mode == "RGB"
    return 0


def read_rows(words: list[str]) -> int:
    with suppress(UserError, UnreadableImageError):
        for row in read_parquet("any", [Path(words[0]) / "rows.parquet"], ["id", "question"], heavy=["image"]):
            if row.has_picture("image"):
                row.picture("image", "a.png").open()
    return 0


PROGRAMS: dict[str, Callable[[list[str]], int]] = {
    "moe-eval": call_moe_eval,
    "moellava": call_moellava,
    "train": call_train,
    "open": open_pictures,
    "rows": read_rows,
}


@pytest.mark.parametrize("subject", SUBJECTS, ids=[subject.name for subject in SUBJECTS])
def test_damaged_files_give_a_result_or_one_line(subject: Subject, tmp_path: Path, capfd, monkeypatch):
    whole, folder = tmp_path / "whole", tmp_path / "damaged"
    folder.mkdir()
    subject.build(folder)
    folder.rename(whole)  # what is built names files by their whole path, in the folder that will be damaged
    for command in subject.commands:  # what is not damaged works
        shutil.copytree(whole, folder)
        assert run(command, folder) in (0, 1), (command, capfd.readouterr().err)
        shutil.rmtree(folder)
    failures = []
    for number in range(int(subject.mutations * TIMES)):
        random = Random(f"{subject.name} {number}")
        shutil.copytree(whole, folder)
        path = random.choice(
            sorted({path for pattern in subject.damaged for path in folder.glob(pattern) if path.is_file()})
        )
        path.write_bytes(mutate(path.read_bytes(), random))
        command = random.choice(subject.commands)
        capfd.readouterr()
        try:
            problem = complaint(run(command, folder), capfd.readouterr().err)
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        if problem:
            failures.append(f"{number} {path.relative_to(folder)}: {command}: {problem}"[:400])
        shutil.rmtree(folder)
    assert not failures, f"{len(failures)} of {number + 1}:\n" + "\n".join(failures[:40])


def run(command: str, folder: Path) -> int:
    program, *words = command.replace("{}", str(folder)).split()
    with at_most(SECONDS):
        return PROGRAMS[program](words)


def complaint(code: int, stderr: str) -> str | None:
    """What is wrong with how a command ended, None if nothing is."""
    last = stderr.strip().splitlines()[-1:] or [""]
    if "Traceback" in stderr or "internal error" in stderr:
        return f"exit code {code}, {last[0]}"
    if code == 2 and not last[0].startswith(("moe-eval: ", "moellava", "moe-eval check: ")):
        return f"exit code 2 without a line of ours: {last[0]!r}"
    return None if code in (0, 1, 2) else f"exit code {code}"


@contextmanager
def at_most(seconds: int):
    def hangs(number, frame):
        raise TimeoutError(f"not done after {seconds} seconds")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
