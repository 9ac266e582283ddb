"""Runs as the hub's evaluation files, shown, written to a folder, and sent to a loopback hub."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries

from moe_eval.commands.import_answers import import_answers
from moe_eval.commands.publish import publish_runs
from moe_eval.errors import UserError
from tests.hub_server import HubServer
from tests.moe_eval.comparison.runs import make_run

ANSWERS = Path(__file__).parents[2] / "data" / "llava15_13b" / "pope.jsonl.gz"


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A model's runs: on POPE's official questions, and on generated ones of another task."""
    out = tmp_path_factory.mktemp("runs")
    import_answers("pope", [ANSWERS], "llava-1.5-13b", None, None, None, out, False, False)
    return out / "llava-1.5-13b"


def test_files_are_what_the_hub_reads(runs, tmp_path):
    (tmp_path / "README.md").write_text("---\nlicence: other\n---\n# My model\n", encoding="utf-8")
    printed = publish_runs([runs], None, tmp_path, False)
    assert ".eval_results/pope.yaml" in printed
    (entry,) = parse_eval_result_entries(yaml.safe_load((tmp_path / ".eval_results" / "pope.yaml").read_text()))
    assert (entry.dataset_id, entry.task_id) == ("lmms-lab/POPE", "pope")
    assert entry.value == pytest.approx(85.95, abs=0.01)
    assert "mean F1 (%); 95 % interval [84.61, 87.19]; protocol llava; 8,910 of 8,910 questions" in entry.notes
    card = ModelCard.load(tmp_path / "README.md")
    (result,) = card.data.eval_results
    assert result.metric_value == entry.value
    assert result.metric_args["protocol"] == "llava"
    assert result.metric_args["interval_95"] == pytest.approx([84.61, 87.19], abs=0.01)
    assert card.text.strip() == "# My model"
    assert card.data.to_dict()["licence"] == "other"


def test_a_dry_run_shows_everything_and_writes_nothing(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed = publish_runs([runs], "me/mine", None, True)
    assert "# .eval_results/pope.yaml" in printed
    assert "nothing was written; this would go into a pull request to me/mine" in printed
    assert not list(tmp_path.iterdir())


def test_generated_data_are_not_called_the_benchmark(tmp_path):
    make_run(tmp_path / "mine")
    printed = publish_runs([tmp_path], None, None, True)
    assert ".eval_results" not in printed.replace("model-index only", "")
    assert "type: pope:mini" in printed
    assert "1 of 1 runs are not about a whole data set of the hub" in printed


CODE = """
import sys
from pathlib import Path
from moe_eval.commands.publish import publish_runs
print(publish_runs([Path(sys.argv[1])], sys.argv[2], None, False))
"""


def test_a_pull_request_is_opened(runs, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "README.md").write_text("---\nlanguage: en\n---\n# Served\n", encoding="utf-8")
    with HubServer() as hub:
        hub.add("model", "me/mine", tmp_path / "model", "a" * 40)

        def run(name: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-c", CODE, str(runs), name],
                env={**os.environ, **hub.environment(tmp_path / "home"), "HF_TOKEN": "hf_loopback"},
                capture_output=True,
                text=True,
                check=False,
            )

        done = run("me/mine")
        assert "discussions/1" in done.stdout, done.stderr
        ((name, files),) = hub.commits
        assert name == "models/me/mine"
        assert sorted(files) == [".eval_results/pope.yaml", "README.md"]
        assert ModelCard(files["README.md"]).data.to_dict()["language"] == "en"
        assert "# Served" in files["README.md"]
        refused = run("me/none")
        assert "the hub answers 404 for me/none" in refused.stderr


@pytest.mark.parametrize(
    ("to", "out", "message"),
    [(None, None, "say where to"), ("me/mine", Path("x"), "say where to")],
)
def test_where_to_must_be_said(runs, to, out, message):
    with pytest.raises(UserError, match=message):
        publish_runs([runs], to, out, False)


def test_several_models_at_once_are_refused(runs, tmp_path):
    make_run(tmp_path / "mine")
    with pytest.raises(UserError, match="runs are of 2 models"):
        publish_runs([runs, tmp_path], None, None, True)
