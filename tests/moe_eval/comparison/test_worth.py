"""What a part of a model is worth."""

from pathlib import Path

import pytest
from moe_eval.tasks.pope import TASK

from moe_eval.comparison.worth import as_data, as_markdown, compare_without
from moe_eval.runs.records import DataRecord
from moe_eval.runs.routing import RoutingRecord
from moe_eval.runs.stored_run import StoredRun
from tests.asking import run_task
from tests.fake_backend import FakeBackend

DATA = TASK.load("mini").first(180)
RIGHT = {sample.id: sample.gold for sample in DATA.samples}


@pytest.fixture(autouse=True, scope="module")
def _quick_environment():
    """Describing the machine asks git and imports torch; the runs of these tests need neither."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("moe_eval.runs.environment.git_commit", lambda: "0" * 40)
        patch.setattr("moe_eval.runs.environment.hardware", dict)
        yield


def stored(folder: Path, wrong: int, ablation: str | None = None) -> StoredRun:
    """A run whose first answers are wrong."""
    ids = [sample.id for sample in DATA.samples][:wrong]
    other = {"yes": "No", "no": "Yes"}
    backend = FakeBackend(
        lambda request: other[RIGHT[request.id]] if request.id in ids else RIGHT[request.id].capitalize()
    )
    run_task(TASK, "llava", DATA, backend, folder, ablation=ablation)
    return StoredRun.read(folder)


def routing(counts: list[list[list[int]]]) -> RoutingRecord:
    none = [[[0] * len(choice) for choice in layer] for layer in counts]
    return RoutingRecord(
        task="pope",
        model="sparse",
        data=DataRecord.of(DATA),
        samples=1,
        unrecorded=0,
        layers=[0, 2],
        counts={"image": counts, "text": none},
        dropped=None,
        paths={"image": [], "text": []},
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, StoredRun]:
    folder = tmp_path_factory.mktemp("worth")
    return {
        "whole": stored(folder / "whole", 5),
        "expert=2:1": stored(folder / "needed", 90, "expert=2:1"),
        "expert=0:0": stored(folder / "idle", 5, "expert=0:0"),
    }


def test_an_expert_without_which_answers_are_wrong_is_worth_something(runs):
    needed, idle = compare_without(
        {"pope": runs["whole"]}, {name: {"pope": runs[name]} for name in ("expert=2:1", "expert=0:0")}
    )
    lost = needed.comparisons["pope"]
    assert lost.difference.value < -20
    assert lost.adjusted == pytest.approx(2 * lost.test.p_value)  # Holm: two differences
    assert idle.comparisons["pope"].difference.value == 0
    text = as_markdown([needed, idle]).splitlines()
    assert [line.split("|")[1].strip() for line in text[2:5]] == ["nothing", "expert=2:1", "expert=0:0"]
    assert "*" in text[3]
    assert "*" not in text[4]


def test_the_share_is_that_of_its_layers_choices(runs):
    recorded = routing([[[5, 5], [5, 5]], [[1, 3], [3, 3]]])
    (row,) = compare_without({"pope": runs["whole"]}, {"expert=2:1": {"pope": runs["expert=2:1"]}}, [recorded])
    assert row.share == pytest.approx(6 / 10)
    assert as_data([row])[0]["share"] == row.share


def test_several_experts_have_no_share(runs):
    recorded = routing([[[5, 5], [5, 5]], [[1, 3], [3, 3]]])
    (row,) = compare_without({"pope": runs["whole"]}, {"top_k=1": {"pope": runs["expert=0:0"]}}, [recorded])
    assert row.share is None
