"""MME, ScienceQA, MMBench and MM-Vet from a hub, in the schemas of lmms-lab's data sets, over a loopback server."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moe_eval.tasks.mmbench import data as mmbench_data
from moe_eval.tasks.mme import data as mme_data
from PIL import Image

from tests.hub_server import HubServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PINNED = {where.repository: where.revision for where in (mme_data.HUB["test"], mmbench_data.HUB["dev"])}
TEXT = pa.string()
IMAGE = pa.struct([("bytes", pa.binary()), ("path", TEXT)])

DESCRIBE = """
import json, sys
from moe_eval.errors import UserError
from moe_eval.registry import find_task
task = find_task(sys.argv[1])
try:
    data = task.load(sys.argv[2])
except UserError as error:
    sys.exit(str(error))
samples = [
    {"id": s.id, "prompt": task.protocol("llava").prompt(s), "gold": s.gold, "group": s.group,
     "sizes": [image.open().size for image in s.images]}
    for s in data.samples
]
print(json.dumps({"source": data.source, "version": data.version, "samples": samples}))
"""


def picture(colour: str) -> dict:
    stream = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(stream, "PNG")
    return {"bytes": stream.getvalue(), "path": None}


def write(folder: Path, file: str, schema: dict, rows: list[list]) -> None:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    records = [dict(zip(schema, row, strict=True)) for row in rows]
    pq.write_table(pa.Table.from_pylist(records, pa.schema(list(schema.items()))), path, row_group_size=2)


MME = {"question_id": TEXT, "image": IMAGE, "question": TEXT, "answer": TEXT, "category": TEXT}
SCIENCEQA = {
    **{"image": IMAGE, "question": TEXT, "choices": pa.list_(TEXT), "answer": pa.int8(), "hint": TEXT, "task": TEXT},
    **dict.fromkeys(["grade", "subject", "topic", "category", "skill", "lecture", "solution"], TEXT),
}
MMBENCH = {
    **{"index": pa.int64(), "question": TEXT, "hint": TEXT, "answer": TEXT, "A": TEXT, "B": TEXT, "C": TEXT, "D": TEXT},
    **{"category": TEXT, "image": IMAGE, "source": TEXT, "L2-category": TEXT, "comment": TEXT, "split": TEXT},
}
MMVET = dict.fromkeys(["question_id", "image", "question", "answer", "image_source", "capability"], TEXT) | {
    "image": IMAGE
}


def mmbench_rows(answers: str | None) -> list[list]:
    """A question of three options in its three rotations; what is missing is written "nan", as on the hub."""
    rows = []
    for rotation, options in enumerate(("xyz", "zxy", "yzx")):
        answer = answers[rotation] if answers else None
        kind = ["ocr", picture("red"), "s", "coarse_perception", "nan", "dev" if answers else "test"]
        rows.append([5 + rotation * 1_000_000, "Which?", "nan", answer, *options, "nan", *kind])
    return rows


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("hub")
    mme = [
        ["OCR/1.jpg", picture("red"), f"Is it {word}? Please answer yes or no.", answer, "OCR"]
        for word, answer in (("A", "Yes"), ("B", "No"))
    ]
    write(root / "MME", "data/test-00000-of-00001.parquet", MME, mme)
    kinds = ["closed choice", "grade3", "social science", *["t"] * 5]
    science = [
        [picture("red"), "Which?", ["x", "y"], 1, "A hint.", *kinds],
        [None, "What?", ["x", "y", "z"], 0, "", *kinds],
        [picture("blue"), "Who?", ["x", "y"], 0, "", *kinds],
    ]
    write(root / "ScienceQA", "ScienceQA-FULL/test-00000-of-00001.parquet", SCIENCEQA, science)
    write(root / "ScienceQA", "ScienceQA-IMG/test-00000-of-00001.parquet", SCIENCEQA, [science[0], science[2]])
    write(root / "MMBench_EN", "data/dev-00000-of-00001.parquet", MMBENCH, mmbench_rows("ABC"))
    write(root / "MMBench", "en/dev-00000-of-00001.parquet", MMBENCH, mmbench_rows("ABC")[:2])
    write(root / "MMBench", "en/test-00000-of-00001.parquet", MMBENCH, mmbench_rows(None))
    write(root / "MMBench", "cn/dev-00000-of-00001.parquet", MMBENCH, mmbench_rows("ABC"))
    write(
        root / "MMVet",
        "data/test-00000-of-00001.parquet",
        MMVET,
        [["v1_0", picture("red"), "x?", "-1<AND>-5", "s", "ocr,math"]],
    )
    with HubServer() as server:
        for name in ("MME", "ScienceQA", "MMBench_EN", "MMBench", "MMVet"):
            server.add("dataset", f"lmms-lab/{name}", root / name, PINNED.get(f"lmms-lab/{name}", COMMIT))
        yield server


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hf_home")


def load(hub: HubServer, home: Path, task: str, source: str) -> dict | str:
    """What the source gives in a fresh process, or its one line of error."""
    command = [sys.executable, "-c", DESCRIBE, task, source]
    environment = {**os.environ, **hub.environment(home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def test_mme(hub, home):
    data = load(hub, home, "mme", "hub")
    assert data["source"] == f"hub@{mme_data.HUB['test'].revision}"
    first, second = data["samples"]
    assert first["prompt"] == "Is it A?\nAnswer the question using a single word or phrase."
    assert (first["id"], first["gold"], second["gold"]) == ("OCR/1.jpg: Is it A?", "yes", "no")
    assert first["sizes"] == [[8, 6]]


def test_scienceqa_has_questions_without_picture(hub, home):
    samples = load(hub, home, "scienceqa", "hub")["samples"]
    assert [one["sizes"] for one in samples] == [[[8, 6]], [], [[8, 6]]]
    assert [one["gold"] for one in samples] == ["B", "A", "A"]
    assert samples[0]["prompt"].startswith("Context: A hint.\nWhich?\nA. x\nB. y\n")
    assert len(load(hub, home, "scienceqa", f"hub:img@{COMMIT}")["samples"]) == 2


def test_mmbench(hub, home):
    data = load(hub, home, "mmbench", "hub")
    assert [(one["id"], one["gold"]) for one in data["samples"]] == [("5", "A"), ("1000005", "B"), ("2000005", "C")]
    assert data["samples"][0]["prompt"].startswith("Which?\nA. x\nB. y\nC. z\nAnswer")
    assert data["samples"][0]["sizes"] == [[8, 6]]


def test_mmbench_test_hides_its_answers(hub, home):
    assert {one["gold"] for one in load(hub, home, "mmbench", "hub:test")["samples"]} == {None}


def test_mmbench_in_chinese_is_asked_in_chinese(hub, home):
    assert load(hub, home, "mmbench", "hub:cn-dev")["samples"][0]["prompt"].endswith("请直接回答选项字母。")


def test_mmbench_without_a_rotation_is_one_line(hub, home):
    message = load(hub, home, "mmbench", "hub:dev-new")
    assert "question 5 has 2 of 3 rotations; row 2000005 is missing" in message


def test_mmvet(hub, home):
    (one,) = load(hub, home, "mmvet", "hub")["samples"]
    assert (one["id"], one["prompt"], one["gold"], one["sizes"]) == ("v1_0", "x?", "-1<AND>-5", [[8, 6]])


@pytest.mark.parametrize("task", ["mme", "scienceqa", "mmbench", "mmvet"])
def test_a_renamed_column_is_one_line(tmp_path, task):
    repository, file, schema = {
        "mme": ("MME", "data/test-0.parquet", MME),
        "scienceqa": ("ScienceQA", "ScienceQA-FULL/test-0.parquet", SCIENCEQA),
        "mmbench": ("MMBench_EN", "data/dev-0.parquet", MMBENCH),
        "mmvet": ("MMVet", "data/test-0.parquet", MMVET),
    }[task]
    renamed = {("prompt" if name == "question" else name): kind for name, kind in schema.items()}
    write(tmp_path / "repository", file, renamed, [])
    with HubServer() as server:
        name = f"lmms-lab/{repository}"
        server.add("dataset", name, tmp_path / "repository", PINNED.get(name, COMMIT))
        message = load(server, tmp_path / "home", task, "hub")
    assert f"{Path(file).name}: no column question (it has " in message
