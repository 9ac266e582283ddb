"""The committed JSON Schemas and the models describe the same files."""

import json

import jsonschema
import pytest

from moe_eval.errors import UserError
from moe_eval.records import SCHEMA_FOLDER, RunRecord, ScoresRecord, read_record, write_schemas
from moe_eval.run import run_task
from tasks.pope import TASK
from tests.fake_backend import FakeBackend


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    run_task(TASK, "llava", TASK.load("mini").first(18), FakeBackend(), folder)
    return folder


def test_committed_schemas_are_those_of_the_models(tmp_path):
    write_schemas(tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_text() == (SCHEMA_FOLDER / path.name).read_text(), "run: python -m moe_eval.records"


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


def test_cut_off_file_is_named(run, tmp_path):
    path = tmp_path / "run.json"
    path.write_text((run / "run.json").read_text()[:100])
    with pytest.raises(UserError, match=r"run\.json: the file: Invalid JSON"):
        read_record(RunRecord, path)
