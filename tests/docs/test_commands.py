"""Every command in README and docs is run here, or its block says why not.

A block of commands (```console) that is not run has a comment in the line before: `<!-- not run: network, GPU -->`, with
reasons of `REASONS`, or `<!-- run by: FILE -->`, a file of ours that holds its first command. Commands are run as they stand, in the order of the page, in one folder,
but MODEL is the small sparse model, and only the first questions of the drawn world are asked. Of commands inside sentences the names and options
are checked.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from moe_eval.cli import COMMANDS, Commands, main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
REASONS = {
    "network",
    "GPU",
    "a server",
    "a cluster",
    "vLLM",
    "an extra",
    "a file of yours",
    "takes long",
    "never ends",
}

MODEL = "moe-llava-nano"
BLOCK = re.compile(r"(?:<!-- (not run|run by): ([^>]+?) -->\n)?```console\n(.*?)```", re.DOTALL)


SENTENCE = re.compile(rf"`moe-eval ({'|'.join(sorted(COMMANDS, key=len, reverse=True))}|[a-z]+)\b([^`]*)`")


@dataclass(frozen=True)
class Block:
    page: str
    how: str | None
    why: str
    commands: tuple[str, ...]


def blocks(page: Path) -> list[Block]:
    found = []
    for how, why, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        joined = text.replace("\\\n", " ")
        commands = tuple(line[2:] for line in joined.splitlines() if line.startswith("$ "))
        found.append(Block(page.name, how or None, why, commands))
    return found


BLOCKS = [block for page in PAGES for block in blocks(page)]


def test_commands_stand_in_blocks_of_their_kind():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        inside = [command for block in blocks(page) for command in block.commands]
        assert len(re.findall(r"^\$ ", text, re.MULTILINE)) == len(inside), page.name


@pytest.mark.parametrize("block", [one for one in BLOCKS if one.how == "not run"], ids=lambda one: one.page)
def test_reasons_are_known(block):
    assert set(block.why.split(", ")) <= REASONS


@pytest.mark.parametrize("block", [one for one in BLOCKS if one.how == "run by"], ids=lambda one: one.page)
def test_what_runs_elsewhere_does(block):
    text = (ROOT / block.why).read_text(encoding="utf-8")
    for command in block.commands:
        assert command.partition("#")[0].split("  ")[0].strip() in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_sentences_have_the_options_they_are_said_to_have(page):
    for name, rest in SENTENCE.findall(page.read_text(encoding="utf-8")):
        assert name in COMMANDS, f"moe-eval {name}"
        known = {
            option for parameter in Commands()[name].params for option in (*parameter.opts, *parameter.secondary_opts)
        }
        assert set(re.findall(r"--[a-z][a-z-]*", rest)) <= known | {"--help", "--debug"}, f"moe-eval {name}{rest}"


def small(command: str) -> list[str]:
    """Its words, with little to do."""
    program, *words = shlex.split(command.replace("MODEL", MODEL), comments=True)
    assert program.removeprefix(".venv/bin/") == "moe-eval", f"{command}: mark its block"
    if words[0] == "run":
        words += [
            "--limit",
            "6",
            *([] if "--data" in words else ["--data", "mini"]),
            *([] if "--tasks" in words else ["--tasks", "pope"]),
        ]
    return words


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands are run: with runs of two models, and the files of the checkout that pages name."""
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["run", MODEL, "llava-nano", "--tasks", "pope", "--data", "mini", "--limit", "6", "--quiet"])
    assert end.value.code == 0
    return tmp_path


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_commands_run(capsys):
    """Each once, however many pages have it."""
    commands = [(block.page, command) for block in BLOCKS if block.how is None for command in block.commands]
    distinct = {tuple(small(command)): (page, command) for page, command in commands}
    assert len(distinct) > 10
    for words, (page, command) in distinct.items():
        with pytest.raises(SystemExit) as end:
            main(list(words))
        assert end.value.code == 0, f"{page}: {command}: {capsys.readouterr().err}"
