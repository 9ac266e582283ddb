"""The generated test sets are the ones that models were measured on: same seed, same questions, on every machine."""

import subprocess
import sys

import pytest

from moe_eval.registry import find_task

FINGERPRINTS = {
    "pope": "142ef6be65c78b7d",
    "mme": "f375bc29e83ad3f1",
    "mmbench": "7e705d05992bb6f7",
    "scienceqa": "288695eca0182d0f",
    "mmvet": "1f75f60d026bd3f4",
}


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_a_change_of_the_questions_is_made_on_purpose(name):
    """A change here changes every number measured on `mini`."""
    assert find_task(name).load("mini").fingerprint.removeprefix("sha256:")[:16] == FINGERPRINTS[name]


def test_the_order_of_hashes_changes_nothing():
    """Sets of strings are ordered differently in every process; no question may depend on that."""
    code = "from moe_eval.registry import find_task\n" + "\n".join(
        f"dataset = find_task({name!r}).load('mini:train:20'); print(dataset.fingerprint, [s.meta for s in dataset.samples])"
        for name in FINGERPRINTS
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
