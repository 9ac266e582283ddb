"""The workflow of docs/ci.md is valid YAML that calls what there is."""

import re
from pathlib import Path

import yaml

PAGE = (Path(__file__).parents[2] / "docs" / "ci.md").read_text(encoding="utf-8")


def workflow() -> dict:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    return yaml.safe_load(text)


def test_the_workflow_runs_make_check():
    steps = workflow()["jobs"]["check"]["steps"]
    assert any(step.get("run", "").startswith("make check") for step in steps)
    assert all(("uses" in step) != ("run" in step) for step in steps)


def test_what_it_caches_by_is_there():
    (cached,) = re.findall(r"cache-dependency-path: (\S+)", PAGE)
    assert (Path(__file__).parents[2] / cached).is_file()
