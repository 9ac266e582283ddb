"""An engine on every GPU of a Ray cluster, `--ray ADDRESS`: pictures are dealt in small units, and a lost unit is dealt again.

The driver hands answers over as they come, so its run has one bar and one journal, and goes on like any other. Actors need
the same installation on every node, and the model and the data where the driver has them.
"""

import logging
import os
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any

from moe_eval.engine.backend import Answer, Backend, ModelInfo, Request, Telling
from moe_eval.errors import UserError

__all__ = ["RayBackend", "units_of"]

UNIT = 16
"""Questions after which a unit ends with the picture."""
IN_HAND = 2
"""Units that an actor has, so that it need not wait for the next one."""
TRIES = 3
"""So often a unit may be lost with its actor."""
SECONDS = 1.0
"""Between two looks for new nodes."""

Unit = tuple[Request, ...]
Told = dict[str, str | int]
MakeBackend = Callable[[], tuple[Backend, str | None]]


class Actor:
    """One engine, in a process of its own."""

    def __init__(self, make: MakeBackend):
        self._backend = make()[0]

    def ready(self) -> tuple[list[Answer], Told]:
        """No answers; comes back when the actor has found its place."""
        return [], {}

    def answer(self, unit: Unit) -> tuple[list[Answer], Told]:
        """The answers to a unit, and what the engine tells of itself and of what they cost."""
        answers = list(self._backend.generate(unit))
        return answers, self._backend.told() if isinstance(self._backend, Telling) else {}


class RayBackend:
    """Answers of a backend that every actor makes for itself.

    Args:
        described: the same backend here, which says what answers and loads nothing.
        make: makes the backend in an actor; sent there by pickle.
        address: of a cluster, such as `auto` or `ray://host:10001`; `local`: one that is started here.
    """

    def __init__(self, described: Backend, make: MakeBackend, address: str):
        self._described = described
        self._make = make
        self._address = address
        self._lost = 0
        self._told: Told = {}

    def describe(self) -> ModelInfo:
        """What answers in each actor."""
        return self._described.describe()

    def told(self) -> Told:
        """What the engines told, their counts summed, and how many units were lost with their actors and dealt again."""
        return {**self._told, "ray": self._address, "units dealt again": self._lost}

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answers unit by unit, in the order in which they come back.

        Raises:
            UserError: for a cluster that is not there, what an engine cannot do, and a unit that was lost again and again.
        """
        self._lost, self._told = 0, {}
        units, again = units_of(requests), deque[Unit]()
        first = next(units, None)
        if first is None:  # all is answered: no cluster is needed
            return
        again.append(first)
        ray, exhausted = _connected(self._address), False
        look_at = 0.0  # on the monotonic clock: asking the cluster costs more than dealing a unit
        losses: Counter[str] = Counter()  # by the unit's first question
        actors: dict[Any, int] = {}  # to the units in its hand; those that are not there yet have theirs full
        working: dict[Any, tuple[Any, Unit]] = {}  # by the reference to what comes back
        try:
            while True:
                if time.monotonic() >= look_at:
                    look_at = time.monotonic() + SECONDS
                    for actor in self._hired(ray, len(actors)):
                        actors[actor] = IN_HAND
                        working[actor.ready.remote()] = actor, ()
                for actor in [one for one, in_hand in actors.items() for _ in range(IN_HAND - in_hand)]:
                    unit = again.popleft() if again else next(units, None)
                    exhausted = unit is None
                    if unit is not None:
                        actors[actor] += 1
                        working[actor.answer.remote(unit)] = actor, unit
                if exhausted and not again and not any(unit for _, unit in working.values()):
                    return
                for reference in _ready(ray, list(working)):
                    actor, unit = working.pop(reference)
                    try:
                        answers, told = ray.get(reference)
                    except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError) as error:
                        actors.pop(actor, None)
                        look_at = 0.0
                        name = unit[0].id if unit else ""
                        losses[name] += 1
                        if losses[name] >= TRIES:
                            raise UserError(
                                f"--ray {self._address}: an engine ended {TRIES} times ({_first_line(error)}); "
                                "what was answered is kept, and the same command goes on"
                            ) from error
                        if unit:
                            self._lost += 1
                            again.append(unit)
                        continue
                    except ray.exceptions.RayTaskError as error:
                        raise UserError(f"--ray {self._address}: {_first_line(error.cause)}") from error
                    if actor in actors:
                        actors[actor] = actors[actor] - 1 if unit else 0
                    self._told = _together(self._told, told) if told else self._told
                    yield from answers
        finally:
            ray.shutdown()

    def _hired(self, ray: Any, there: int) -> list[Any]:
        """New actors, one for each GPU (without GPUs: for each node) that has none; a node that joins gets its own."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        gpus = int(sum(resources.get("GPU", 0) for resources in nodes))
        places = gpus or sum(resources.get("CPU", 0) >= 1 for resources in nodes)
        if not places:
            raise UserError(f"--ray {self._address}: there is no node with a GPU or a core that is free for work")
        kind = ray.remote(num_cpus=1, num_gpus=1 if gpus else 0, scheduling_strategy="SPREAD")(Actor)
        return [kind.remote(self._make) for _ in range(places - there)]


def units_of(requests: Iterable[Request]) -> Iterator[Unit]:
    """Neighbouring requests, whole pictures, in units of about `UNIT`."""
    unit: list[Request] = []
    for _, group in groupby(requests, key=lambda request: request.images):
        unit += group
        if len(unit) >= UNIT:
            yield tuple(unit)
            unit = []
    if unit:
        yield tuple(unit)


def _together(told: Told, more: Told) -> Told:
    """Counts summed, words side by side.

    >>> _together({"server": "a", "calls": 2}, {"server": "b", "calls": 3})
    {'server': 'a, b', 'calls': 5}
    """
    found = dict(told)
    for name, value in more.items():
        if isinstance(value, int):
            found[name] = int(found.get(name, 0)) + value
        else:
            found[name] = ", ".join(dict.fromkeys([*str(found.get(name, value)).split(", "), value]))
    return found


def _ready(ray: Any, references: list[Any]) -> list[Any]:
    """All that have come back, as soon as there is one, or none after `SECONDS`: with many actors, several are there at a time."""
    ray.wait(references, timeout=SECONDS)
    return ray.wait(references, num_returns=len(references), timeout=0)[0]


def _connected(address: str) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # what is evaluated here is nobody else's business
    try:
        import ray
    except ImportError as error:
        raise UserError("--ray: Ray is not installed: pip install 'moe-llava-eval[ray]'") from error
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, ignore_reinit_error=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"--ray {address}: no cluster answers there ({_first_line(error)})") from error
    return ray


def _knock(address: str) -> None:
    """OSError: nobody is there; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
