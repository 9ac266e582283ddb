"""Baselines by name."""

from pathlib import Path

import pytest

from moe_eval.comparison.baselines import find_baseline
from moe_eval.errors import UserError
from moe_eval.runs.stored_run import find_stored_runs

COMMITTED = Path(__file__).parents[3] / "results" / "baselines"


@pytest.mark.parametrize("name", ["moe-llava-nano", "results/baselines/moe-llava-nano"])
def test_a_baseline_is_found_by_its_name_from_any_folder(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert find_baseline(name).samefile(COMMITTED / "moe-llava-nano")
    assert list(find_stored_runs(find_baseline(Path(name) / "pope"))) == ["pope"]


def test_a_folder_of_ones_own_comes_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "moe-llava-nano").mkdir()
    assert find_baseline("moe-llava-nano") == Path("moe-llava-nano")


def test_a_name_that_is_none_names_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="unknown baseline 'moe-lava-nano': did you mean moe-llava-nano"):
        find_baseline("moe-lava-nano")
    with pytest.raises(UserError, match="unknown baseline"):
        find_baseline("../baselines/moe-llava-nano")
