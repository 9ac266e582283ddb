"""POPE from a hub: the questions that papers score, on pictures downloaded from a loopback server."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moe_eval.tasks.pope import TASK
from moe_eval.tasks.pope.data import HUB
from PIL import Image

from tests.hub_server import HubServer

DESCRIBE = """
import sys
from moe_eval.tasks.pope import TASK
data = TASK.load(sys.argv[1])
picture = data.samples[-1].images[0].open()
print(data.source, len(data.samples), data.official, data.fingerprint, picture.mode, picture.size)
"""


def write_repository(folder: Path) -> Path:
    """lmms-lab/POPE in small: its 9,000 questions in three files of true schema, each picture 16 pixels wide."""
    (folder / "data").mkdir(parents=True)
    stream = io.BytesIO()
    Image.new("RGB", (16, 12), "red").save(stream, "JPEG")
    samples = TASK.load("official:new").samples
    for part in range(3):
        rows = [
            {
                "id": str(3000 * part + number),
                "question_id": str(int(sample.id) % 10_000_000),
                "question": sample.question,
                "answer": sample.gold,
                "image_source": Path(sample.images[0].name).stem,
                "image": {"bytes": stream.getvalue(), "path": sample.images[0].name},
                "category": sample.meta["category"],
            }
            for number, sample in enumerate(samples[3000 * part : 3000 * (part + 1)])
        ]
        pq.write_table(
            pa.Table.from_pylist(rows), folder / f"data/test-0000{part}-of-00003.parquet", row_group_size=500
        )
    (folder / "README.md").write_text("not asked for")
    return folder


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory):
    with HubServer() as server:
        server.add("dataset", "lmms-lab/POPE", write_repository(tmp_path_factory.mktemp("POPE")), HUB["old"].revision)
        yield server


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hf_home")


def describe(source: str, hub: HubServer, home: Path, **environment: str) -> str:
    """What the source gives in a fresh process, or its one line of error."""
    done = subprocess.run(
        [sys.executable, "-c", DESCRIBE, source],
        env={**os.environ, **hub.environment(home), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_hub_gives_the_papers_questions_on_its_pictures(hub, home):
    expected = TASK.load("official")
    assert describe("hub", hub, home) == (
        f"hub:old@{HUB['old'].revision} 8910 True {expected.fingerprint} RGB (16, 12)"
    )
    assert not any("README" in path for _, path in hub.requests)


def test_hub_new_gives_its_own_questions_from_the_cache_when_offline(hub, home):
    describe("hub:new", hub, home)
    expected = TASK.load("official:new")
    assert describe("hub:new", hub, home, HF_HUB_OFFLINE="1") == (
        f"hub:new@{HUB['old'].revision} 9000 False {expected.fingerprint} RGB (16, 12)"
    )


def test_unknown_revision_is_one_line(hub, home):
    message = describe("hub@" + "0" * 40, hub, home)
    assert "lmms-lab/POPE at 000000000000: the hub answers 404" in message


def test_no_network_and_empty_cache_is_one_line(hub, tmp_path):
    message = describe("hub", hub, tmp_path, HF_HUB_OFFLINE="1")
    assert "not in the cache and the hub cannot be reached" in message


def test_renamed_column_is_named(tmp_path):
    pq.write_table(pa.table({"question_id": ["1"], "question": ["?"]}), tmp_path / "a.parquet")
    from moe_eval.errors import UserError
    from moe_eval.sources.parquet import read_parquet

    with pytest.raises(UserError, match=r"a\.parquet: no column answer, image \(it has question_id, question\)"):
        list(read_parquet("pope", [tmp_path / "a.parquet"], ["question", "answer"], heavy=["image"]))
