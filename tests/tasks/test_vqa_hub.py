"""VQAv2, GQA, VizWiz and TextVQA from a hub: parquet files in the true schemas, from a loopback server."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moe_eval.tasks.gqa import data as gqa_data

from tests.hub_server import HubServer
from tests.tables import encoded_picture

COMMIT = "c0ffee" + "0" * 34
PINNED = {"lmms-lab/GQA": gqa_data.HUB["testdev-balanced"].revision}

DESCRIBE = """
import importlib, json, sys
task = importlib.import_module(f"moe_eval.tasks.{sys.argv[1]}").TASK
data = task.load(sys.argv[2])
first, last = data.samples[0], data.samples[-1]
print(json.dumps({
    "source": data.source, "version": data.version, "samples": len(data.samples), "official": data.official,
    "id": first.id, "question": first.question, "gold": first.gold, "group": first.group, "meta": dict(first.meta),
    "prompt": task.protocol("llava").prompt(first), "picture": last.images[0].open().size,
}))
"""

TEXT, IMAGE = pa.string(), pa.struct({"bytes": pa.binary(), "path": pa.string()})

VQAV2 = pa.schema(
    {
        "question_type": TEXT,
        "multiple_choice_answer": TEXT,
        "answers": pa.list_(pa.struct({"answer": TEXT, "answer_confidence": TEXT, "answer_id": pa.int64()})),
        "image_id": pa.int64(),
        "answer_type": TEXT,
        "question_id": pa.int64(),
        "question": TEXT,
        "image": IMAGE,
    }
)
VIZWIZ = pa.schema({"question_id": TEXT, "image": IMAGE, "question": TEXT, "answers": pa.list_(TEXT), "category": TEXT})
TEXTVQA = pa.schema(
    {
        "image_id": TEXT,
        "question_id": pa.int32(),
        "question": TEXT,
        "question_tokens": pa.list_(TEXT),
        "image": IMAGE,
        "image_width": pa.int32(),
        "image_height": pa.int32(),
        "flickr_original_url": TEXT,
        "flickr_300k_url": TEXT,
        "answers": pa.list_(TEXT),
        "image_classes": pa.list_(TEXT),
        "set_name": TEXT,
        "ocr_tokens": pa.list_(TEXT),
    }
)
GQA = pa.schema(
    {
        "id": TEXT,
        "imageId": TEXT,
        "question": TEXT,
        "answer": TEXT,
        "fullAnswer": TEXT,
        "isBalanced": pa.bool_(),
        "groups": pa.struct({"global": TEXT, "local": TEXT}),
        "entailed": TEXT,
        "equivalent": TEXT,
        "types": pa.struct({"structural": TEXT, "semantic": TEXT, "detailed": TEXT}),
        "annotations": pa.list_(pa.struct({"question": TEXT})),
        "semantic": pa.list_(pa.struct({"operation": TEXT, "argument": TEXT, "dependencies": pa.list_(pa.int32())})),
        "semanticStr": TEXT,
    }
)
GQA_IMAGES = pa.schema({"id": TEXT, "image": IMAGE})

PICTURE = {"bytes": encoded_picture(), "path": "a.jpg"}
ANSWERS = ["cat"] * 9 + ["dog"]


def vqav2_rows(answered: bool) -> list[dict]:
    answers = [{"answer": a, "answer_confidence": "yes", "answer_id": n} for n, a in enumerate(ANSWERS, start=1)]
    row = {"image_id": 42, "question": "Is it on?", "image": PICTURE}
    if answered:
        row |= {"answers": answers, "question_type": "is it", "answer_type": "yes/no", "multiple_choice_answer": "cat"}
    return [{**row, "question_id": 42000 + number} for number in range(3)]


def gqa_row(**change: object) -> dict:
    row = {
        "id": "201307251",
        "imageId": "n161313",
        "question": "Is it overcast?",
        "answer": "no",
        "isBalanced": True,
        "groups": {"global": None, "local": "13-weather"},
        "entailed": "['201307252', '201307253']",
        "equivalent": "['201307251']",
        "types": {"structural": "verify", "semantic": "global", "detailed": "weatherVerify"},
        "semantic": [{"operation": "verify weather", "argument": "overcast", "dependencies": [0]}],
    }
    return {**row, **change}


VIZWIZ_ROW = {"question_id": "VizWiz_val_00000003", "image": PICTURE, "question": "What is this?", "category": "other"}
TEXTVQA_ROW = {"image_id": "003a8ae2", "question_id": 34602, "question": "What brand?", "image": PICTURE}


class Hub:
    """A loopback hub and a cache for it, both fresh."""

    def __init__(self, server: HubServer, folder: Path):
        self.server, self.folder = server, folder

    def add(self, name: str, path: str, schema: pa.Schema, rows: list[dict]) -> None:
        """A Parquet file in the data set of that name."""
        file = self.folder / name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), file, row_group_size=2)
        self.server.add("dataset", name, self.folder / name, PINNED.get(name, COMMIT))

    def run(self, code: str, *arguments: str) -> str:
        """What a fresh process prints, or its one line of error."""
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={**os.environ, **self.server.environment(self.folder / "home")},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.strip() or done.stderr.strip().splitlines()[-1]

    def describe(self, task: str, source: str) -> dict:
        return json.loads(self.run(DESCRIBE, task, source))


@pytest.fixture
def hub(tmp_path: Path):
    with HubServer() as server:
        yield Hub(server, tmp_path)


def test_vqav2_is_test_dev_without_answers(hub):
    hub.add("lmms-lab/VQAv2", "data/testdev-00000-of-00001.parquet", VQAV2, vqav2_rows(answered=False))
    hub.add("lmms-lab/VQAv2", "data/test-00000-of-00001.parquet", VQAV2, [])
    data = hub.describe("vqav2", "hub")
    assert (data["source"], data["samples"], data["official"]) == (f"hub:testdev@{COMMIT}", 3, False)
    assert (data["id"], data["gold"], data["group"]) == ("42000", None, "COCO_test2015_000000000042.jpg")
    assert data["prompt"] == "Is it on?\nAnswer the question using a single word or phrase."
    assert data["picture"] == [16, 12]
    assert not any("data/test-" in path for _, path in hub.server.requests)


def test_vqav2_validation_has_answers_and_kinds(hub):
    hub.add("lmms-lab/VQAv2", "data/validation-00000-of-00001.parquet", VQAV2, vqav2_rows(answered=True))
    data = hub.describe("vqav2", f"hub:validation@{COMMIT}")
    assert (data["gold"], data["group"]) == (ANSWERS, "COCO_val2014_000000000042.jpg")
    assert data["meta"] == {"question_type": "is it", "answer_type": "yes/no"}


def test_vizwiz_is_the_test_split_without_answers(hub):
    row = {**VIZWIZ_ROW, "question_id": "VizWiz_test_00000003", "answers": None, "category": None}
    hub.add("lmms-lab/VizWiz-VQA", "data/test-00000-of-00001.parquet", VIZWIZ, [row])
    data = hub.describe("vizwiz", "hub")
    assert (data["source"], data["id"], data["gold"]) == (f"hub:test@{COMMIT}", "VizWiz_test_00000003", None)
    assert "hidden" in data["version"]


def test_vizwiz_validation_has_answers_and_kinds(hub):
    hub.add("lmms-lab/VizWiz-VQA", "data/val-00000-of-00001.parquet", VIZWIZ, [{**VIZWIZ_ROW, "answers": ANSWERS}])
    data = hub.describe("vizwiz", "hub:val")
    assert (data["gold"], data["meta"], data["group"]) == (ANSWERS, {"answer_type": "other"}, "VizWiz_val_00000003.jpg")


def test_textvqa_is_validation_with_ocr_tokens(hub):
    row = {**TEXTVQA_ROW, "answers": ANSWERS, "ocr_tokens": ["DAKOTA", "Single-Use"]}
    hub.add("lmms-lab/textvqa", "data/validation-00000-of-00001.parquet", TEXTVQA, [row])
    data = hub.describe("textvqa", "hub")
    assert (data["source"], data["id"]) == (f"hub:validation@{COMMIT}", "003a8ae2:what brand?")
    assert data["prompt"].split("\n")[1] == "Reference OCR token: DAKOTA, Single-Use"


def test_textvqa_test_is_hidden(hub):
    row = {**TEXTVQA_ROW, "answers": [""] * 10, "ocr_tokens": []}
    hub.add("lmms-lab/textvqa", "data/test-00000-of-00001.parquet", TEXTVQA, [row])
    assert hub.describe("textvqa", "hub:test")["gold"] is None


def test_gqa_questions_are_joined_to_pictures(hub):
    add_gqa(hub, gqa_row())
    data = hub.describe("gqa", "hub")
    assert (data["source"], data["id"], data["gold"]) == (
        f"hub@{gqa_data.HUB['testdev-balanced'].revision}",
        "201307251",
        "no",
    )
    assert (data["group"], data["picture"]) == ("n161313.jpg", [16, 12])
    assert data["meta"]["question"] == {
        "question_id": "201307251",
        "balanced": 1,
        "structural": "verify",
        "semantic": "global",
        "words": 3,
        "steps": 1,
        "global_group": "",
        "entailed": "201307252 201307253",
    }


def add_gqa(hub: Hub, *rows: dict, schema: pa.Schema = GQA) -> None:
    hub.add("lmms-lab/GQA", "testdev_balanced_instructions/testdev-00000-of-00001.parquet", schema, list(rows))
    images = [{"id": "n161313", "image": PICTURE}]
    hub.add("lmms-lab/GQA", "testdev_balanced_images/testdev-00000-of-00001.parquet", GQA_IMAGES, images)


def test_gqa_question_about_a_missing_picture_is_named(hub):
    add_gqa(hub, gqa_row(), gqa_row(id="2", imageId="n1"))
    message = hub.run(DESCRIBE, "gqa", "hub")
    assert "testdev-00000-of-00001.parquet row 2: picture n1 is not in testdev_balanced_images" in message


def test_renamed_column_is_named(hub):
    renamed = pa.schema([field.with_name("prompt") if field.name == "question" else field for field in VQAV2])
    hub.add("lmms-lab/VQAv2", "data/testdev-00000-of-00001.parquet", renamed, [])
    message = hub.run(DESCRIBE, "vqav2", "hub")
    assert "testdev-00000-of-00001.parquet: no column question (it has question_type" in message


def test_row_without_ten_answers_is_named(hub):
    rows = [{**VIZWIZ_ROW, "answers": ANSWERS}, {**VIZWIZ_ROW, "answers": ANSWERS[:9]}]
    hub.add("lmms-lab/VizWiz-VQA", "data/val-00000-of-00001.parquet", VIZWIZ, rows)
    message = hub.run(DESCRIBE, "vizwiz", "hub:val")
    assert "val-00000-of-00001.parquet row 2: answers holds 9 answers" in message


@pytest.mark.parametrize(
    ("task", "source", "message"),
    [
        ("vqav2", "hub:val", "unknown split of vqav2 'val': there are test, testdev, validation"),
        ("vizwiz", "hub:validation", "unknown split of vizwiz"),
        ("gqa", "hub:val", "unknown split of gqa 'val'"),
    ],
)
def test_unknown_split_is_one_line(hub, task, source, message):
    assert message in hub.run(DESCRIBE, task, source)


def test_pictures_stay_on_disk_until_they_are_opened(hub):
    """200 pictures of 100 kB: loading them takes no room for the pictures."""
    rows = [
        {
            **VIZWIZ_ROW,
            "question_id": f"VizWiz_val_{number:08d}",
            "answers": ANSWERS,
            "image": {"bytes": os.urandom(100_000)},
        }
        for number in range(200)
    ]
    hub.add("lmms-lab/VizWiz-VQA", "data/val-00000-of-00001.parquet", VIZWIZ, rows)
    code = """
import pyarrow
from moe_eval.tasks.vizwiz import TASK
data = TASK.load("hub:val")
print(len(data.samples), pyarrow.default_memory_pool().max_memory() < 2e6)
"""
    assert hub.run(code) == "200 True"


@pytest.fixture
def mine(hub):
    """A data set of somebody's own on the hub, with the columns of VQAv2's."""
    hub.add("me/mine", "data/validation-00000-of-00001.parquet", VQAV2, vqav2_rows(answered=True))
    return hub


def test_any_data_set_with_the_columns_is_read_through_datasets(mine):
    described = mine.describe("vqav2", "hf:me/mine")
    assert described["source"] == f"hf:me/mine@{COMMIT}:validation"
    assert described["gold"] == ANSWERS
    assert described["picture"] == [16, 12]
    assert not described["official"]
    assert mine.describe("vqav2", described["source"]) == described
    offline = json.loads(mine.run("import os; os.environ['HF_HUB_OFFLINE'] = '1'" + DESCRIBE, "vqav2", "hf:me/mine"))
    assert offline == described


@pytest.mark.parametrize(
    ("task", "source", "message"),
    [
        ("vqav2", "hf:me/mine:train", "unknown split of me/mine 'train': there are validation"),
        ("vqav2", "hf:me/none", "vqav2: data set me/none: DatasetNotFoundError"),
        ("textvqa", "hf:me/mine", "textvqa: data set me/mine has no column ocr_tokens"),
        ("textvqa", "hf:", "hf:ORG/NAME"),
    ],
)
def test_what_is_wrong_with_a_data_set_is_one_line(mine, task, source, message):
    assert message in mine.run(DESCRIBE, task, source)
