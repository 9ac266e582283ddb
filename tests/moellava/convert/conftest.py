"""A conversion that has to fail, and what it says."""

import sys
from pathlib import Path

import pytest

from moellava.cli import main


@pytest.fixture
def complaint(tmp_path, monkeypatch, capsys):
    """`complaint(source, *options)` is the line that a conversion prints that has to fail, leaving nothing behind."""

    def run(source: Path, *options: object) -> str:
        out = tmp_path / "out" / "converted"
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["moellava", "convert", str(source), str(out), *map(str, options)])
        with pytest.raises(SystemExit) as caught:
            main()
        line = capsys.readouterr().err
        assert caught.value.code == 2
        assert line.startswith("moellava convert: ")
        assert line.count("\n") == 1
        assert left_in(out.parent) == []
        return line

    return run


def left_in(folder: Path) -> list[str]:
    """What lies in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []
