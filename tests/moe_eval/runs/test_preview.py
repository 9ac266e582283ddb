"""A plan in words: what would be fetched, from where, how much, before anything is."""

import os
import subprocess
import sys

from tests.hub_server import HubServer


def test_a_plan_tells_sizes_and_fetches_nothing(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(bytes(30_000_000))
    (tmp_path / "data" / "data").mkdir(parents=True)
    (tmp_path / "data" / "data" / "testdev-00000-of-00001.parquet").write_bytes(bytes(20_000_000))
    (tmp_path / "data" / "data" / "test-00000-of-00001.parquet").write_bytes(bytes(10_000_000))
    command = ["run", "hf:me/mine", "--tasks", "vqav2", "--plan"]
    with HubServer() as hub:
        hub.add("model", "me/mine", tmp_path / "model", "a" * 40)
        hub.add("dataset", "lmms-lab/VQAv2", tmp_path / "data", "b" * 40)
        environment = {**os.environ, **hub.environment(tmp_path / "home")}
        done = subprocess.run(
            [sys.executable, "-m", "moe_eval", *command], env=environment, capture_output=True, text=True, check=True
        )
        assert "hf:me/mine: 0.03 GB to be downloaded from me/mine" in done.stdout
        assert "vqav2: --data hub: 0.02 GB to be downloaded from lmms-lab/VQAv2" in done.stdout
        assert "its configuration is here" in done.stdout
        assert not [
            path for _, path in hub.requests if "/resolve/" in path and path.endswith((".parquet", ".safetensors"))
        ]
    offline = subprocess.run(
        [sys.executable, "-m", "moe_eval", *command],
        env={**environment, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "hf:me/mine: to be downloaded from me/mine" in offline.stdout
    assert "how much, the hub cannot be asked" in offline.stdout
