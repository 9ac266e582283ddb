"""Engines on a Ray cluster: all is answered once, whatever actor or node is killed in the middle."""

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from moe_eval.engine.backend import Request
from moe_eval.engine.ray import UNIT, RayBackend, units_of
from moe_eval.errors import UserError
from tests.fake_backend import FakeBackend


class Picture:
    """Equal to itself alone, and found again by its name after it was sent to another process."""

    def __init__(self, name: str):
        self.name = name

    def open(self):
        from PIL import Image

        return Image.new("RGB", (2, 2))


REQUESTS = [
    Request(f"{p}.{n}", (picture,), f"What is {n}?", 5)
    for p in range(40)
    for picture in [Picture(str(p))]
    for n in range(8)
]


class Slow(FakeBackend):
    """Writes down the process that answers, for a test to kill; the last unit takes until `processes` have been there."""

    def __init__(self, folder: Path, deadly: bool = False, processes: int = 0):
        super().__init__(answer=lambda request: request.text, seconds=0.05)
        (folder / str(os.getpid())).touch()
        self.folder, self.deadly, self.processes = folder, deadly, processes

    def generate(self, requests):
        if self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        end = time.monotonic() + 200  # two seconds will do, but not on a machine that is busy otherwise
        while (
            requests[-1].id == REQUESTS[-1].id
            and len(list(self.folder.iterdir())) < self.processes
            and time.monotonic() < end
        ):
            time.sleep(0.05)
        self.asked.clear()
        return super().generate(requests)

    def told(self):
        return {"vllm": "0.32.0", "calls": len(self.asked)}


def make(folder: Path, deadly: bool = False, processes: int = 0):
    return Slow(folder, deadly, processes), None


def refuse():
    class Refusing(FakeBackend):
        def generate(self, requests):
            raise UserError("the model is too large")

    return Refusing(), None


def test_units_are_whole_pictures():
    units = list(units_of(REQUESTS))
    assert [request for unit in units for request in unit] == REQUESTS
    assert all(len(unit) == UNIT for unit in units)
    assert [len(unit) for unit in units_of(REQUESTS[:20])] == [16, 4]
    assert [len(unit) for unit in units_of([Request("1", (), "?", 5)] * 30)] == [30]


def test_nothing_to_ask_needs_no_cluster():
    assert list(RayBackend(FakeBackend(), refuse, "nowhere:1").generate([])) == []


def test_without_ray_it_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="--ray: Ray is not installed"):
        list(RayBackend(FakeBackend(), refuse, "local").generate(REQUESTS))


@pytest.fixture(scope="module")
def cluster():
    """A head without cores and two nodes, on this machine."""
    ray = pytest.importorskip("ray", reason="needs the extra [ray]")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        root = str(Path(__file__).parents[3])
        patch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))  # of the actors
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        running = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        running.workers = [running.add_node(num_cpus=1) for _ in range(2)]
        yield running
        ray.shutdown()
        running.shutdown()


def answers_of(cluster, folder: Path, disturb=lambda number: None, processes: int = 0) -> tuple[list, RayBackend]:
    backend = RayBackend(FakeBackend(), partial(make, folder, processes=processes), cluster.address)
    answers = []
    for number, answer in enumerate(backend.generate(REQUESTS)):
        answers.append(answer)
        disturb(number)
    return answers, backend


def check(answers: list) -> None:
    assert sorted(answer.id for answer in answers) == sorted(request.id for request in REQUESTS)
    assert all(answer.text == f"What is {answer.id.partition('.')[2]}?" for answer in answers)


@pytest.mark.slow
def test_every_node_answers_and_nothing_twice(cluster, tmp_path):
    answers, backend = answers_of(cluster, tmp_path, processes=2)
    check(answers)
    assert len(list(tmp_path.iterdir())) == 2
    told = {"vllm": "0.32.0", "calls": len(REQUESTS), "ray": cluster.address, "units dealt again": 0}
    assert backend.told() == told  # of all engines together


@pytest.mark.slow
def test_a_killed_actor_loses_nothing(cluster, tmp_path):
    def kill(number: int) -> None:
        if number == 40:
            os.kill(int(next(tmp_path.iterdir()).name), signal.SIGKILL)

    answers, backend = answers_of(cluster, tmp_path, kill)
    check(answers)
    assert backend.told()["units dealt again"] > 0


@pytest.mark.slow
def test_a_node_that_leaves_loses_nothing_and_one_that_joins_is_used(cluster, tmp_path):
    def change(number: int) -> None:
        if number == 40:
            cluster.remove_node(cluster.workers.pop(), allow_graceful=False)
            cluster.workers.append(cluster.add_node(num_cpus=1))
            time.sleep(1)

    answers, backend = answers_of(cluster, tmp_path, change, processes=3)
    check(answers)
    assert backend.told()["units dealt again"] > 0
    assert len(list(tmp_path.iterdir())) >= 3


def make_one_that_dies(folder: Path):
    """The first actor dies of its first unit; the other is not there before."""
    try:
        (folder / "first").touch(exist_ok=False)
    except FileExistsError:
        while not (folder / "asked").exists():
            time.sleep(0.05)
        time.sleep(0.5)
        return make(folder)

    class Dying(FakeBackend):
        def generate(self, requests):
            (folder / "asked").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return Dying(), None


@pytest.mark.slow
def test_the_last_unit_is_dealt_again_where_nobody_is_there_to_take_it(cluster, tmp_path):
    backend = RayBackend(FakeBackend(), partial(make_one_that_dies, tmp_path), cluster.address)
    answers = list(backend.generate(REQUESTS[:UNIT]))
    assert [answer.id for answer in answers] == [request.id for request in REQUESTS[:UNIT]]
    assert backend.told()["units dealt again"] == 1


@pytest.mark.slow
def test_what_an_engine_cannot_do_is_one_line(cluster):
    with pytest.raises(UserError, match=r"--ray .*: the model is too large"):
        list(RayBackend(FakeBackend(), refuse, cluster.address).generate(REQUESTS))


@pytest.mark.slow
def test_an_engine_that_always_dies_is_not_started_for_ever(cluster, tmp_path):
    backend = RayBackend(FakeBackend(), partial(make, tmp_path, deadly=True), cluster.address)
    with pytest.raises(UserError, match=r"an engine ended 3 times .*what was answered is kept"):
        list(backend.generate(REQUESTS))


@pytest.mark.slow
def test_an_address_without_a_cluster_is_one_line():
    pytest.importorskip("ray", reason="needs the extra [ray]")
    with pytest.raises(UserError, match=r"--ray 127\.0\.0\.1:9: no cluster answers there"):
        list(RayBackend(FakeBackend(), refuse, "127.0.0.1:9").generate(REQUESTS))
