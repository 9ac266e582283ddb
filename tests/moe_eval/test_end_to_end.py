"""From a model's name to a table, as a user does it: the embedded models, a hub, a model that is not ours."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from moe_eval.tasks.pope.data import HUB

from moe_eval.runs.records import RunRecord, read_record
from tests.hub_server import HubServer
from tests.tasks.test_pope_hub import write_repository
from tests.tiny_llava import save_tiny_llava

ORACLE = Path(__file__).parents[1] / "data" / "oracle"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def moe_eval(cache: Path, *arguments: object, **environment: str) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "moe_eval", *map(str, arguments)],
        env={**os.environ, "MOELLAVA_CACHE": str(cache), "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_embedded_models_make_a_table(cache, tmp_path):
    runs = tmp_path / "runs"
    printed = moe_eval(cache, "run", "moe-llava-tiny", "llava-tiny", "--tasks", "pope", "--limit", 18, "--out", runs)
    assert printed.count(", 18 questions of mini → ") == 2
    table = moe_eval(cache, "table", runs, "--format", "md", "--published", "all")
    assert re.search(r"\| moe-llava-tiny .*measured, random weights", table)
    assert re.search(r"\| MoE-LLaVA-2\.7Bx4-Top2 .* 86\.3 .*published", table)
    assert "random weights, never trained" in table
    record = read_record(RunRecord, runs / "moe-llava-tiny" / "pope" / "run.json")
    assert record.model.random_weights
    assert record.model.parameters.llm_activated < record.model.parameters.llm_total
    assert "18 of 18 questions" in moe_eval(cache, "score", "pope", runs / "moe-llava-tiny" / "pope")


def test_a_published_model_and_the_papers_questions_come_from_a_hub(cache, tmp_path):
    with HubServer() as hub:
        tower = ORACLE / "moe-llava-phi" / "openai" / "clip-vit-tiny-patch14-56"
        hub.add("model", "LanguageBind/MoE-LLaVA-Phi2-2.7B-4e", ORACLE / "moe-llava-phi" / "checkpoint", "a" * 40)
        hub.add("model", "openai/clip-vit-tiny-patch14-56", tower, "b" * 40)
        hub.add("dataset", "lmms-lab/POPE", write_repository(tmp_path / "POPE"), HUB["old"].revision)
        command = (
            "run",
            "moe-llava-2.7bx4",
            "--tasks",
            "pope",
            "--data",
            "hub",
            "--limit",
            18,
            "--out",
            tmp_path / "runs",
        )
        printed = moe_eval(cache, *command, **hub.environment(tmp_path / "hf"))
        assert "8,910 questions, as the papers score (POPE e3e39262), first 18 of 8,910" in printed
        moe_eval(cache, *command, **hub.environment(tmp_path / "hf"))
        assert len([request for request in hub.requests if request[1].endswith("pytorch_model.bin")]) == 2
    folder = tmp_path / "runs" / "moe-llava-2.7bx4" / "pope"
    record = read_record(RunRecord, folder / "run.json")
    assert [session.answered for session in record.sessions] == [18, 0]
    assert record.model.published_as == "MoE-LLaVA-2.7Bx4-Top2"


def test_any_image_text_to_text_model_of_a_hub_runs(cache, tmp_path):
    with HubServer() as hub:
        hub.add("model", "someone/tiny-llava", save_tiny_llava(tmp_path / "model"), "c" * 40)
        command = (
            "run",
            "hf:someone/tiny-llava",
            "--tasks",
            "pope",
            "--data",
            "mini",
            "--limit",
            18,
            "--out",
            tmp_path / "runs",
        )
        printed = moe_eval(cache, *command, **hub.environment(tmp_path / "hf"))
    assert "18 of 18 questions" in printed
    record = read_record(RunRecord, tmp_path / "runs" / "hf--someone--tiny-llava" / "pope" / "run.json")
    assert record.model.family == "llava"
    assert record.model.parameters.llm_total < record.model.parameters.total
