"""What `--routing` leaves beside a run: once per question, however often the run was stopped."""

import json
from dataclasses import dataclass, replace

import jsonschema
import pytest
from moe_eval.tasks.pope import TASK

from moe_eval.commands.run_models import run_models
from moe_eval.commands.shown import Shown
from moe_eval.engine.backend import Request, Response, Routing, TokenPath
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.models import ModelSource
from moe_eval.errors import UserError
from moe_eval.runs.routing import RoutingJournal, read_routing, read_sample_routing
from moe_eval.runs.schema_files import SCHEMA_FOLDER
from tests.asking import run_task
from tests.fake_backend import FAKE_MODEL, FakeBackend, KilledError

pytestmark = pytest.mark.usefixtures("one_thread")

DATA = TASK.load("mini").first(36)
RECORD_FILE, LINES_FILE = "routing.json", "routing.jsonl"


def routing_of(sample_id: str) -> Routing:
    """Two layers of three and two experts; another one for every question."""
    number = int(sample_id)
    image = [[[number, 0, 1], [0, number, 1]], [[number, 1], [1, number]]]
    text = [[[2, 1, 0], [1, 2, 0]], [[3, 0], [0, 3]]]
    paths = (TokenPath("image", 0, "<image>", (number % 3, 0)), TokenPath("text", 5, "a", (0, 1)))
    return Routing((0, 2), {"image": image, "text": text}, None, 6, paths)


@dataclass
class RoutedBackend(FakeBackend):
    """Says how its tokens were routed."""

    def generate(self, requests):
        for answer in super().generate(requests):
            yield replace(answer, routing=routing_of(answer.id)) if isinstance(answer, Response) else answer


def run(folder, backend=None, **options):
    return run_task(TASK, "llava", DATA, backend or RoutedBackend(), folder, routing=True, **options)


@pytest.fixture
def whole(tmp_path):
    run(tmp_path / "whole")
    return tmp_path / "whole"


def test_counts_add_up(whole):
    record = read_routing(whole)
    assert (record.samples, record.unrecorded, record.layers) == (36, 0, [0, 2])
    numbers = sum(int(sample.id) for sample in DATA.samples)
    assert record.counts["image"] == [[[numbers, 0, 36], [0, numbers, 36]], [[numbers, 36], [36, numbers]]]
    assert record.tokens("text") == 36 * 3
    assert [path.model_dump() for path in record.paths["text"]] == [{"experts": [0, 1], "tokens": 36}]
    assert [path.tokens for path in record.paths["image"]] == [12, 12, 12]


def test_what_is_written_fits_the_schema(whole):
    schema = json.loads((SCHEMA_FOLDER / "routing.schema.json").read_text())
    jsonschema.validate(json.loads((whole / RECORD_FILE).read_text()), schema)


def test_what_tells_a_run_from_others_is_recorded(tmp_path):
    run(tmp_path, RoutedBackend(info=replace(FAKE_MODEL, router_noise_seed=3)), system="Be brief.")
    assert read_routing(tmp_path).settings == ["noise seed 3", "system 213c22ed"]


@pytest.mark.parametrize("deaths", [(0,), (7,), (7, 7, 20)])
@pytest.mark.parametrize("torn", [b"", b'{"id":"3","rou'])
def test_a_run_that_was_stopped_counts_nothing_twice(tmp_path, whole, deaths, torn):
    folder = tmp_path / "stopped"
    for dies_after in deaths:
        with pytest.raises(KilledError):
            run(folder, RoutedBackend(dies_after=dies_after))
        with (folder / LINES_FILE).open("ab") as stream:
            stream.write(torn)
    run(folder)
    assert (folder / RECORD_FILE).read_bytes() == (whole / RECORD_FILE).read_bytes()


def test_a_line_whose_answer_was_never_written_is_dropped(tmp_path, whole):
    folder = tmp_path / "stopped"
    with pytest.raises(KilledError):
        run(folder, RoutedBackend(dies_after=7))
    answered = [sample.id for sample in read_sample_routing(folder)]
    unanswered = next(sample.id for sample in DATA.samples if sample.id not in answered)
    with RoutingJournal(folder, answered) as routes:
        routes.append(unanswered, routing_of("99"))
    run(folder)
    assert (folder / RECORD_FILE).read_bytes() == (whole / RECORD_FILE).read_bytes()


def test_routing_of_answers_that_were_made_without_is_made_up_for(tmp_path):
    run_task(TASK, "llava", DATA, FakeBackend(), tmp_path)
    before = (tmp_path / "responses.jsonl").read_bytes()
    run(tmp_path)
    assert (tmp_path / "responses.jsonl").read_bytes() == before
    assert (read_routing(tmp_path).samples, read_routing(tmp_path).unrecorded) == (36, 0)


def test_a_stretch_without_routing_is_made_up_for(tmp_path):
    with pytest.raises(KilledError):
        run(tmp_path, RoutedBackend(dies_after=7))
    run_task(TASK, "llava", DATA, FakeBackend(), tmp_path)
    run(tmp_path)
    assert (read_routing(tmp_path).samples, read_routing(tmp_path).unrecorded) == (36, 0)


def test_fresh_throws_routing_away(whole):
    run_task(TASK, "llava", DATA, FakeBackend(), whole, fresh=True)
    assert not (whole / RECORD_FILE).exists()
    assert not (whole / LINES_FILE).exists()


def test_a_broken_line_is_named(whole):
    lines = (whole / LINES_FILE).read_text().splitlines(keepends=True)
    (whole / LINES_FILE).write_text("".join([lines[0], lines[1].replace('"layers"', '"layer"'), *lines[2:]]))
    with pytest.raises(UserError, match=r"routing\.jsonl line 2: "):
        run(whole)


@pytest.fixture(scope="module")
def _zoo_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOELLAVA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


REQUESTS = [Request(sample.id, sample.images, sample.question, max_new_tokens=5) for sample in DATA.samples[:6]]


@pytest.mark.usefixtures("_zoo_cache")
def test_answers_are_the_same_with_and_without_routing():
    source = ModelSource("moe-llava-tiny", device="cpu")
    without = list(GenerateBackend(source, 4).generate(REQUESTS))
    with_routing = list(GenerateBackend(source, 4, routing=True).generate(REQUESTS))
    assert all(answer.routing for answer in with_routing)
    assert [replace(answer, routing=None) for answer in with_routing] == without


@pytest.mark.usefixtures("_zoo_cache")
def test_routing_does_not_depend_on_the_batch():
    source = ModelSource("moe-llava-tiny", device="cpu")
    batched, alone = (list(GenerateBackend(source, size, routing=True).generate(REQUESTS)) for size in (4, 1))
    assert batched == alone


@pytest.mark.usefixtures("_zoo_cache")
def test_routing_of_a_dense_model_is_one_line():
    with pytest.raises(UserError, match=r"llava-tiny: has no sparse layer for --routing to record"):
        GenerateBackend(ModelSource("llava-tiny", device="cpu"), routing=True).describe()


@pytest.mark.usefixtures("_zoo_cache")
def test_of_several_models_the_dense_ones_are_run_without(tmp_path, capsys):
    models = [ModelSource(name, device="cpu") for name in ("llava-tiny", "moe-llava-tiny")]
    run_models(models, ["pope"], Shown(), data="mini", out=tmp_path, limit=4, routing=True)
    assert "llava-tiny: no sparse layer, so there is no routing to record" in capsys.readouterr().out
    assert [path.parts[-3] for path in tmp_path.glob("*/*/routing.json")] == ["moe-llava-tiny"]
