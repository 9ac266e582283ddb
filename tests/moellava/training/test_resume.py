"""A run that is killed goes on as if nothing had happened, on one process and on several; several equal one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch

from moellava.training.recipe import load_recipe
from moellava.training.run import train_stage
from tests.tiny_training import log_of, tiny_recipe

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[3]
TIMEOUT = 900  # seconds; a busy machine is not a failure
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": ""}
FSDP2 = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
}
ONE = [sys.executable, "-m", "moellava.train"]
TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
DDP = [*TWO, "-m", "moellava.train"]
FSDP = [*TWO, str(Path(__file__).with_name("fsdp_on_cpu.py"))]
LAUNCHERS = {"one": (ONE, {}), "ddp": (DDP, {}), "fsdp2": (FSDP, FSDP2)}


def start(launcher: str, recipe: Path, *overrides: str) -> subprocess.Popen:
    command, environment = LAUNCHERS[launcher]
    return subprocess.Popen(
        [*command, str(recipe), *overrides],
        cwd=REPOSITORY,
        env={**os.environ, **ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen) -> None:
    output, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, output[-3000:]


def kill_after(process: subprocess.Popen, sign: Path) -> None:
    """kill -9 for the process and its workers as soon as the path is there."""
    end = time.monotonic() + TIMEOUT
    while not sign.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    assert sign.exists(), process.communicate()[0][-3000:]
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in [process.pid, *map(int, workers)]:
        os.kill(pid, signal.SIGKILL)
    process.communicate()


def test_kill_9_and_resume_give_the_bytes_of_an_uninterrupted_run(tmp_path):
    recipe = tiny_recipe(tmp_path, train={"max_steps": 12})
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train_stage(load_recipe(recipe, [f"output={whole}"]))
    kill_after(start("one", recipe, f"output={killed}"), killed / "checkpoint-4")
    assert not (killed / "training.json").exists()
    finish(start("one", recipe, f"output={killed}"))
    assert log_of(killed) == log_of(whole)
    assert (killed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.parametrize("launcher", ["ddp", "fsdp2"])
def test_two_processes_give_the_losses_of_one(tmp_path, launcher):
    recipe = tiny_recipe(tmp_path, train={"per_device_batch_size": 2})
    one, two = tmp_path / "one", tmp_path / "two"
    train_stage(load_recipe(recipe, [f"output={one}", "train.gradient_accumulation_steps=2"]))
    if launcher == "fsdp2":  # whose checkpoints are of another kind
        kill_after(start(launcher, recipe, f"output={two}"), two / "checkpoint-4")
    finish(start(launcher, recipe, f"output={two}"))
    for line, other in zip(log_of(one), log_of(two), strict=True):
        assert other["loss"] == pytest.approx(line["loss"], rel=1e-5)
        assert other["aux_loss"] == pytest.approx(line["aux_loss"], rel=1e-5)
        assert other["load/layer0/expert1"] == pytest.approx(line["load/layer0/expert1"], abs=1e-6)
    expected = safetensors.torch.load_file(one / "model.safetensors")
    for name, value in safetensors.torch.load_file(two / "model.safetensors").items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6)
