"""A plan in words: what would be fetched, from where, how much, before anything is."""

import os
import subprocess
import sys

from moe_eval.engine.whereabouts import whereabouts
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


def test_a_checkpoint_in_several_places_is_told_with_all_that_are_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("MOELLAVA_CACHE", str(tmp_path))
    folder = tmp_path / "parts" / "tinygpt-v"
    folder.mkdir(parents=True)
    told = whereabouts("tinygpt-v")
    assert told.startswith(
        "to be downloaded from Tyrannosaurus/TinyGPT-V:TinyGPT-V_for_Stage4.pth, susnato/phi-2, https"
    )
    assert told.endswith(f"into {folder}, and converted into {tmp_path}")
    for part in ("TinyGPT-V_for_Stage4.pth", "phi-2", "eva_vit_g.pth"):
        (folder / part).touch()
    assert "susnato" not in whereabouts("tinygpt-v")
    (folder / "blip2_pretrained_flant5xxl.pth").touch()
    assert whereabouts("tinygpt-v") == f"{folder}, here already"
