"""The command line: one line for every mistake, help with an example for every command."""

import inspect
import json
import re
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest

from moe_eval.cli import COMMANDS, main

ANSWERS = Path(__file__).parents[1] / "data" / "llava15_13b" / "pope.jsonl.gz"


def call(capsys: pytest.CaptureFixture, *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    shown = capsys.readouterr()
    return int(caught.value.code or 0), shown.out, shown.err


def test_help_answers_in_half_a_second():
    command = [sys.executable, "-m", "moe_eval", "--help"]
    seconds = []
    for _ in range(3):  # the machine may be busy: the best of three
        start = time.monotonic()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.monotonic() - start)
    assert min(seconds) < 0.5


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_each_command_by_its_own_first_sentence(name: str):
    module, function = COMMANDS[name][0].split(".")
    text = inspect.getdoc(getattr(import_module(f"moe_eval.commands.{module}"), function))
    assert " ".join(text.split("\n\n")[0].split()) == COMMANDS[name][1]


@pytest.mark.parametrize("command", ["run", "score", "judge", "submit", "table", "list", "import", "record"])
def test_every_command_has_an_example(capsys, command):
    code, out, _ = call(capsys, command, "--help")
    assert code == 0
    assert f"Example: moe-eval {command}" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scor"], "did you mean 'score'"),
        (["run", "m", "--taks", "pope"], "--tasks"),
        (["run"], "missing argument"),
        (["run", "m", "--batch-size", "many"], "batch-size"),
        (["run", "m", "--batch-size", "0"], "batch-size"),
        (["run", "m", "--tasks", "popr"], "did you mean pope"),
        (["run", "m", "--data", "mimi"], "did you mean mini"),
        (["run", "m", "--protocol", "lava"], "did you mean llava"),
        (["run", "m", "--dtype", "float23"], "did you mean float32"),
        (["run", "openai:m", "--tasks", "pope"], "openai:NAME@URL is wanted"),
        (["run", "m", "--shard", "3"], "I/N is wanted"),
        (["merge", "nowhere"], "no shard of a run in it"),
        (["certify", "m", "--engines", "vlm,prefix"], "did you mean vllm"),
        (["score", "pope", "nowhere.jsonl"], "nowhere.jsonl: cannot be read"),
        (["table", "nowhere"], "nowhere: no finished run"),
        (["table", "--layout", "popes"], "did you mean pope"),
        (["table", "--format", "markdown"], "unknown format"),
        (["list", "task"], "did you mean tasks"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(capsys, arguments, message):
    code, _, err = call(capsys, *arguments)
    assert code == 2
    assert re.fullmatch(r"(looking for [^\n]+\n)?moe-eval: [^\n]+\n", err)  # where torch is still to be imported
    assert message in err.lower() or message in err


def test_debug_shows_the_traceback():
    command = [sys.executable, "-m", "moe_eval", "score", "popr", str(ANSWERS), "--debug"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" in done.stderr
    assert "did you mean pope" in done.stderr


def test_released_answers_print_the_published_number(capsys):
    code, out, _ = call(capsys, "score", "pope", ANSWERS)
    assert code == 0
    assert "mean F1 (%) 85.95" in out
    assert "8,910 of 8,910 questions" in out
    for category, f1 in (("adversarial", "84.46"), ("popular", "86.25"), ("random", "87.14")):
        assert re.search(rf"^{category} .*\b{f1}\b", out, re.MULTILINE)


def test_scores_are_printed_as_json(capsys):
    _, out, _ = call(capsys, "score", "pope", ANSWERS, "--json")
    assert json.loads(out)["headline"]["value"] == pytest.approx(85.94688090539113, abs=1e-9)


def test_lists_name_what_there_is(capsys):
    assert "pope" in call(capsys, "list", "tasks")[1]
    assert "8,910 questions" in call(capsys, "list", "tasks", "--long")[1]
    assert "llava:DIR" in call(capsys, "list", "data")[1]
    assert "no OCR tokens in the prompt" in call(capsys, "list", "published")[1]


@pytest.mark.slow
def test_run_says_as_much_as_is_wanted(capsys, tmp_path):
    command = ("run", "llava-tiny", "--tasks", "pope", "--data", "mini", "--limit", 18, "--out", tmp_path)
    code, printed, _ = call(capsys, *command, "--name", "mine", "--max-new-tokens", 2)
    assert code == 0
    assert "18 of 18 questions" in printed
    assert "categories" in printed  # a single run: every number
    record = json.loads((tmp_path / "mine" / "pope" / "run.json").read_text())
    assert record["model"]["source"] == "llava-tiny"
    assert record["generation"]["max_new_tokens"] == 2
    code, printed, progress = call(capsys, *command, "--name", "mine", "--max-new-tokens", 2, "--quiet")
    assert (code, printed.count("\n"), progress) == (0, 1, "")
    assert printed.startswith("mine pope: mean F1 (%) ")
    code, printed, _ = call(capsys, *command, "--name", "mine", "--max-new-tokens", 2, "--json")
    (found,) = json.loads(printed)
    assert {"model": "mine", "task": "pope", "questions": 18, "official": False}.items() <= found.items()
    code, _, error = call(capsys, *command, "--name", "mine")
    assert code == 2
    assert "generation.max_new_tokens: 2 → 128" in error


@pytest.mark.parametrize("what", ["tasks", "data", "models"])
def test_lists_are_json_too(capsys, what):
    code, printed, _ = call(capsys, "list", what, "--json")
    assert code == 0
    assert {one[what.removesuffix("s")] for one in json.loads(printed)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("a,b", "--name", "x"), "--name x: there are 2 models, and one name"),
        (("a", "--quiet", "--verbose"), "say one of them"),
        (("llava-tiny", "--samples", "2"), "--samples 2: greedy answers are all the same; say --temperature 1"),
        (("llava-tiny", "--samples", "0"), "'--samples': Input should be greater than or equal to 1"),
        (
            ("moe-llava-nano", "--tasks", "pope", "--protocol", "likelihood", "--routing"),
            "--routing: protocol likelihood only measures answers; leave it out",
        ),
        (("llava-tiny", "--seeds", "3"), "--seeds 3: seeds are of the routing noise; say --router-noise, too"),
        (("llava-tiny", "--adapter", "none"), "no adapter_config.json in it"),
    ],
)
def test_options_of_run_that_cannot_be(capsys, options, message):
    code, _, error = call(capsys, "run", *options)
    assert code == 2
    assert message in error
