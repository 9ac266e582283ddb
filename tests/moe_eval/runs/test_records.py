"""The committed JSON Schemas and the models describe the same files."""

import gzip
import json
from pathlib import Path

import jsonschema
import pytest
from moe_eval.tasks.pope import TASK

from moe_eval.errors import UserError
from moe_eval.runs.records import RunRecord, ScoresRecord, read_record
from moe_eval.runs.schema_files import SCHEMA_FOLDER, write_schemas
from tests.asking import run_task
from tests.fake_backend import FakeBackend


def answer_by_id(request) -> str:
    return "No" if int(request.id) % 7 < 4 else "Yes"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    run_task(TASK, "llava", TASK.load("mini").first(90), FakeBackend(answer_by_id), folder)
    return folder


def test_committed_schemas_are_those_of_the_models(tmp_path):
    write_schemas(tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_text() == (SCHEMA_FOLDER / path.name).read_text(), "run: python -m moe_eval.runs.schema_files"


@pytest.mark.parametrize("name", ["run", "scores"])
def test_what_a_run_writes_fits_its_schema(run, name):
    schema = json.loads((SCHEMA_FOLDER / f"{name}.schema.json").read_text())
    jsonschema.validate(json.loads((run / f"{name}.json").read_text()), schema)


@pytest.mark.parametrize(
    ("name", "kind", "spoil"),
    [
        ("run", RunRecord, lambda record: record.pop("model")),
        ("run", RunRecord, lambda record: record.update(schema_version=2)),
        ("scores", ScoresRecord, lambda record: record.update(headlines=1)),
        ("scores", ScoresRecord, lambda record: record["headline"].update(value="high")),
    ],
)
def test_what_the_schema_refuses_the_model_refuses(run, tmp_path, name, kind, spoil):
    record = json.loads((run / f"{name}.json").read_text())
    spoil(record)
    schema = json.loads((SCHEMA_FOLDER / f"{name}.schema.json").read_text())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(record, schema)
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match=rf"{name}\.json: .*written by another version"):
        read_record(kind, path)


def rewritten(run, tmp_path, change) -> Path:
    """The run's scores with their plain data changed and written without any care."""
    record = json.loads((run / "scores.json").read_text())
    change(record)
    path = tmp_path / "scores.json"
    path.write_text(json.dumps(record))
    return path


def test_scores_are_read_whatever_their_layout(run, tmp_path):
    path = rewritten(run, tmp_path, lambda record: record.update(task=record.pop("task")))
    assert read_record(ScoresRecord, path) == read_record(ScoresRecord, run / "scores.json")


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["headline"].update(value=99.9),
        lambda record: record["intervals"]["headline"].update(low=0.0),
        lambda record: record["samples"][0].update(correct=1 - record["samples"][0]["correct"]),
        lambda record: record.pop("checksum"),
    ],
    ids=["headline", "interval", "sample", "checksum"],
)
def test_scores_that_were_changed_by_hand_are_refused(run, tmp_path, change):
    path = rewritten(run, tmp_path, change)
    with pytest.raises(UserError, match=r"scores\.json: was changed by hand.*`moe-eval score TASK RUN --write`"):
        read_record(ScoresRecord, path)


def to_version_1(record: dict) -> None:
    record["schema_version"] = 1
    for name in ("intervals", "interval_method", "checksum"):
        del record[name]


def test_scores_of_version_1_get_their_intervals_from_their_samples(run, tmp_path):
    path = rewritten(run, tmp_path, to_version_1)
    assert read_record(ScoresRecord, path) == read_record(ScoresRecord, run / "scores.json")


def test_scores_of_version_1_whose_task_is_gone_are_refused(run, tmp_path):
    path = rewritten(run, tmp_path, lambda record: to_version_1(record) or record.update(task="gone"))
    with pytest.raises(UserError, match=r"scores\.json: unknown task 'gone'"):
        read_record(ScoresRecord, path)


def test_scores_of_a_later_version_are_refused(run, tmp_path):
    path = rewritten(run, tmp_path, lambda record: record.update(schema_version=3))
    with pytest.raises(UserError, match=r"schema_version: .* written by another version"):
        read_record(ScoresRecord, path)


def test_a_damaged_gzip_is_named(run, tmp_path):
    path = tmp_path / "scores.json.gz"
    path.write_bytes(gzip.compress((run / "scores.json").read_bytes())[:200])
    with pytest.raises(UserError, match=r"scores\.json\.gz: cannot be read"):
        read_record(ScoresRecord, path)


def test_cut_off_file_is_named(run, tmp_path):
    path = tmp_path / "run.json"
    path.write_text((run / "run.json").read_text()[:100])
    with pytest.raises(UserError, match=r"run\.json: the file: Invalid JSON"):
        read_record(RunRecord, path)
