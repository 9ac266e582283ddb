"""What the driver of `moe-eval run --ray` costs per picture: `python -m bench.ray_driver --out results/bench/ray_driver.json`.

Every actor is a process of its own on a cluster of one node, which is told that it has as many GPUs and cores as there are to
be actors; its engine is scripted: it says "Yes" after `--seconds` per question, which it sleeps. The driver is `RayBackend`,
and every answer goes to a `Journal`. Neither network nor pictures take part: a picture is sent as the path of its file.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from moe_eval.engine.backend import Answer, ModelInfo, Request, Response
from moe_eval.engine.ray import UNIT, RayBackend, units_of
from moe_eval.files.atomic import write_atomically
from moe_eval.images import ImageFile
from moe_eval.runs.journal import Journal

QUESTIONS_PER_PICTURE = 5
"""VQAv2's test-dev has 107,394 questions about 21,435 pictures or so."""


class Scripted:
    """Sleeps `seconds` per question, and says yes."""

    def __init__(self, seconds: float):
        self._seconds = seconds

    def describe(self) -> ModelInfo:
        return ModelInfo("scripted", "scripted", "sha256:0", "scripted", "float32", random_weights=True)

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        unit = list(requests)
        time.sleep(self._seconds * len(unit))
        for request in unit:
            yield Response(request.id, "Yes", tokens=2, finish_reason="stop")


def make_scripted(seconds: float, there: Path) -> tuple[Scripted, None]:
    """What an actor calls; it leaves a file, so that the clock starts when all are there."""
    (there / str(os.getpid())).touch()
    return Scripted(seconds), None


def questions(count: int) -> Iterator[Request]:
    """As VQAv2 asks them, neighbours about one picture."""
    text = "Is there a dog in the picture?\nAnswer the question using a single word or phrase."
    for number in range(count):
        if number % QUESTIONS_PER_PICTURE == 0:
            picture = ImageFile(Path(f"/data/vqav2/test2015/COCO_test2015_{number:012}.jpg"))
        yield Request(f"{number:09}", (picture,), text, max_new_tokens=16)


def when_all_are_there(requests: Iterable[Request], there: Path, actors: int) -> Iterator[Request]:
    """The same requests, but after a few, which the driver needs to hire actors, none before all actors are there."""
    for number, request in enumerate(requests):
        while number == 2 * UNIT and len(list(there.iterdir())) < actors:
            time.sleep(0.2)
        yield request


class Spent:
    """CPU seconds of this thread inside a function, which may be called often."""

    def __init__(self, function: Callable[..., Any]):
        self._function = function
        self.seconds = 0.0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        start = time.thread_time()
        try:
            return self._function(*args, **kwargs)
        finally:
            self.seconds += time.thread_time() - start


def drive(address: str, actors: int, count: int, seconds: float, there: Path, journal: Journal) -> dict[str, Any]:
    """One run's figures; the start of the actors and the first units of each are left out."""
    import ray

    backend, warm_up = RayBackend(Scripted(seconds), partial(make_scripted, seconds, there), address), actors * UNIT * 2
    requests = when_all_are_there(questions(warm_up + count), there, actors)
    parts = {"waiting": Spent(ray.wait), "fetching answers": Spent(ray.get), "journal": Spent(journal.append)}
    plain = ray.wait, ray.get
    ray.wait, ray.get = parts["waiting"], parts["fetching answers"]
    try:
        for number, answer in enumerate(backend.generate(requests)):
            parts["journal"](answer)
            if number == warm_up - 1:
                wall, thread, process = time.perf_counter(), time.thread_time(), time.process_time()
                before = {name: part.seconds for name, part in parts.items()}
        wall, thread = time.perf_counter() - wall, time.thread_time() - thread
        process = time.process_time() - process
    finally:
        ray.wait, ray.get = plain
    assert len(journal.responses) == warm_up + count
    spent = {name: part.seconds - before[name] for name, part in parts.items()}
    spent["dealing and the rest"] = thread - sum(spent.values())
    return {
        "actors": actors,
        "questions": count,
        "seconds per question in an engine": seconds,
        "wall seconds": round(wall, 1),
        "questions per second": round(count / wall),
        "driver's CPU microseconds per question": {
            "main thread": round(thread / count * 1e6, 1),
            "of which": {name: round(part / count * 1e6, 1) for name, part in spent.items()},
            "Ray's threads": round((process - thread) / count * 1e6, 1),
        },
        "main thread's CPU microseconds per picture": round(thread / count * 1e6 * QUESTIONS_PER_PICTURE, 1),
        "questions per second of one core for the main thread": round(count / thread),
    }


def pickled(count: int) -> dict[str, Any]:
    """What pickle alone takes of the dealing, and how large a unit is."""
    from ray import cloudpickle

    units = list(units_of(questions(count)))
    start = time.thread_time()
    size = sum(len(cloudpickle.dumps(unit, protocol=5)) for unit in units)
    spent = time.thread_time() - start
    return {"microseconds per question": round(spent / count * 1e6, 1), "bytes per unit": round(size / len(units))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actors", type=int, nargs="+", default=[64])
    parser.add_argument("--questions", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--seconds", type=float, nargs="+", default=[0.0, 0.02], help="per question, in an engine")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    import ray
    from ray.cluster_utils import Cluster

    figures: dict[str, Any] = {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "ray": ray.__version__,
        "pickle alone": pickled(10_000),
        "runs": [],
    }
    for actors in args.actors:
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": actors, "num_gpus": actors})
        for seconds in args.seconds:
            for count in args.questions:
                with (
                    tempfile.TemporaryDirectory() as there,
                    tempfile.TemporaryDirectory() as run,
                    Journal(Path(run) / "responses.jsonl") as journal,
                ):
                    row = drive(cluster.address, actors, count, seconds, Path(there), journal)
                print(json.dumps(row), flush=True)
                figures["runs"].append(row)
                if args.out:
                    write_atomically(args.out, json.dumps(figures, indent=1) + "\n")
        cluster.shutdown()


if __name__ == "__main__":
    main()
