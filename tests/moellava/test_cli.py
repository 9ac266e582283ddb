"""`moellava convert` as a user meets it; what is wrong with a checkpoint is in convert/test_convert.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from moellava import MoELlavaForConditionalGeneration
from moellava.cli import main
from moellava.convert import ConversionError
from tests.upstream_checkpoints import change_config, copy_checkpoint


@pytest.fixture
def call(monkeypatch, capsys):
    """`call(*arguments)` is exit code, stdout and stderr of `moellava ARGUMENTS`."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["moellava", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        shown = capsys.readouterr()
        return int(caught.value.code or 0), shown.out, shown.err

    return run


def test_a_conversion_says_what_to_do_with_its_result(tmp_path, call):
    code, out, err = call("convert", copy_checkpoint("moe-llava-phi", tmp_path), tmp_path / "out")
    assert (code, err) == (0, "")
    assert out.startswith(f"{tmp_path / 'out'}: converted")
    assert out.count("\n") == 1
    MoELlavaForConditionalGeneration.from_pretrained(tmp_path / "out")


def test_convert_has_an_example(call):
    code, out, _ = call("convert", "--help")
    assert code == 0
    assert "Example: moellava convert" in out


@pytest.mark.parametrize("source", ["nowhere", "/nowhere/model", "./a/b", "a/b/c", "~/model"])
def test_what_is_neither_folder_nor_hub_id_is_named(tmp_path, call, source):
    code, out, err = call("convert", source, tmp_path / "out")
    assert (code, out) == (2, "")
    assert err == f"moellava convert: {source}: no such folder, and not a hub id (ORGANISATION/NAME)\n"


@pytest.mark.parametrize("source", ["someone/model", "someone/model@main"])
def test_a_hub_id_that_cannot_be_reached_is_named(tmp_path, call, source):
    code, _, err = call("convert", source, tmp_path / "out")
    assert code == 2
    assert err.startswith("moellava convert: someone/model: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["convert"], "source"),
        (["convert", "a"], "out"),
        (["convert", "a", "b", "--bsae", "c"], "--bsae"),
        (["convret", "a", "b"], "convret"),
    ],
)
def test_mistakes_on_the_command_line_are_named(call, arguments, named):
    code, _, err = call(*arguments)
    assert code == 2
    assert named in err


def test_an_existing_folder_is_named(tmp_path, call):
    (tmp_path / "out").mkdir()
    code, _, err = call("convert", copy_checkpoint("moe-llava-phi", tmp_path), tmp_path / "out")
    assert code == 2
    assert err.startswith(f"moellava convert: {tmp_path / 'out'}: exists")


def test_a_place_that_cannot_be_written_is_one_line(tmp_path, call):
    (tmp_path / "file").write_text("in the way")
    code, _, err = call("convert", copy_checkpoint("moe-llava-phi", tmp_path), tmp_path / "file" / "out")
    assert code == 2
    assert str(tmp_path / "file") in err
    assert err.count("\n") == 1


def test_debug_shows_the_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["moellava", "convert", "nowhere", str(tmp_path / "out"), "--debug"])
    with pytest.raises(ConversionError):
        main()


@pytest.mark.slow
def test_the_installed_command_prints_one_line(tmp_path):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    change_config(source, model_type="moe_llava_gemma")
    command = [Path(sys.executable).with_name("moellava"), "convert", source, tmp_path / "out"]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "moe_llava_gemma" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["convert"], ["convert", "a"], ["convert", "a", "b", "--bsae", "c"], ["convret", "a", "b"]]
)
def test_mistakes_on_the_command_line_get_one_line(monkeypatch, capsys, arguments):
    monkeypatch.setattr(sys, "argv", ["moellava", *arguments])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err.count("\n") == 1
