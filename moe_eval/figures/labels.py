"""Names beside points so that no name covers another, a point, or the frame.

Every name tries places around its point, near ones first, and takes the cheapest; after all have one, each may improve
in view of the others. Pure geometry in pixels, no chance: the same points give the same picture.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Box", "place_labels"]

DIRECTIONS = [(math.cos(turn * math.pi / 8), math.sin(turn * math.pi / 8)) for turn in range(16)]
DISTANCES = (1.0, 1.8, 2.8, 4.0, 5.5, 7.5, 10.0, 13.0)
ROUNDS = 4
COVERS = 1000.0
"""What it costs to cover something, against the distance in pixels."""


@dataclass(frozen=True)
class Box:
    """A rectangle: its left, bottom, right and top."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: "Box") -> float:
        """Area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)

    def holds(self, other: "Box") -> bool:
        """Whether the other one lies inside."""
        return (
            self.left <= other.left
            and self.bottom <= other.bottom
            and self.right >= other.right
            and self.top >= other.top
        )

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """The point of the box that is nearest to another one."""
        return min(max(x, self.left), self.right), min(max(y, self.bottom), self.top)


def place_labels(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    frame: Box,
    gap: float,
    obstacles: Sequence[Box] = (),
) -> list[Box]:
    """A box for each name.

    Args:
        points: (x, y) in pixels.
        sizes: (width, height) of each name.
        frame: where names may stand.
        gap: room around a point that stays free; the unit of all distances.
        obstacles: what names shall not cover beside the points.
    """
    marks = [Box(x - gap * 0.7, y - gap * 0.7, x + gap * 0.7, y + gap * 0.7) for x, y in points]
    boxes: dict[int, Box] = {}
    crowded = sorted(range(len(points)), key=lambda index: (-_neighbours(points, index, 8 * gap), index))
    for _ in range(ROUNDS):
        for index in crowded:
            others = [box for other, box in boxes.items() if other != index]
            links = [(points[other], box.nearest(*points[other])) for other, box in boxes.items() if other != index]
            rivals = [point for other, point in enumerate(points) if other != index]
            taken = [*obstacles, *(mark for other, mark in enumerate(marks) if other != index)]
            best = math.inf
            for box in _candidates(points[index], sizes[index], gap):
                if _distance(box, points[index]) / gap < best:  # another place cannot cost less than its distance
                    cost = _cost(box, points[index], rivals, frame, taken, others, links, gap)
                    if cost < best:
                        best, boxes[index] = cost, box
    return [boxes[index] for index in range(len(points))]


def _candidates(point: tuple[float, float], size: tuple[float, float], gap: float) -> list[Box]:
    """Boxes around a point, near ones first, and to the right before elsewhere."""
    x, y = point
    width, height = size
    boxes = []
    for distance in DISTANCES:
        for dx, dy in DIRECTIONS:
            centre_x = x + dx * (gap * distance + width / 2)
            centre_y = y + dy * (gap * distance + height / 2)
            boxes.append(Box(centre_x - width / 2, centre_y - height / 2, centre_x + width / 2, centre_y + height / 2))
    return boxes


def _cost(
    box: Box,
    point: tuple[float, float],
    rivals: Sequence[tuple[float, float]],
    frame: Box,
    taken: Sequence[Box],
    others: Sequence[Box],
    links: Sequence[tuple[tuple[float, float], tuple[float, float]]],
    gap: float,
) -> float:
    end, away = box.nearest(*point), _distance(box, point)
    cost = away / gap
    cost += 0.0 if frame.holds(box) else 10 * COVERS
    cost += sum(COVERS for other in others if box.overlap(other))
    cost += sum(COVERS / 2 for other in taken if box.overlap(other))
    # A name nearer to another point than to its own would be read as that one's.
    cost += sum(4.0 for rival in rivals if math.dist(rival, box.nearest(*rival)) < min(away, 2 * gap))
    if away > 2 * gap:  # it gets a line to its point, which shall cross neither names, points nor other lines
        cost += sum(COVERS / 10 for other in (*others, *taken) if _crosses(point, end, other))
    cost += sum(COVERS / 10 for start, stop in links if math.dist(start, stop) > 2 * gap and _crosses(start, stop, box))
    cost += sum(COVERS / 20 for start, stop in links if away > 2 * gap and _cross(point, end, start, stop))
    return cost


def _distance(box: Box, point: tuple[float, float]) -> float:
    return math.dist(point, box.nearest(*point))


def _neighbours(points: Sequence[tuple[float, float]], index: int, radius: float) -> int:
    return sum(math.dist(points[index], point) < radius for point in points)


def _crosses(start: tuple[float, float], stop: tuple[float, float], box: Box) -> bool:
    """Whether a line goes through a box: of both axes, the stretches of the line inside must meet (Liang and Barsky)."""
    enters, leaves = 0.0, 1.0
    for begin, end, low, high in (
        (start[0], stop[0], box.left, box.right),
        (start[1], stop[1], box.bottom, box.top),
    ):
        if begin == end:
            if not low < begin < high:
                return False
            continue
        first, last = sorted(((low - begin) / (end - begin), (high - begin) / (end - begin)))
        enters, leaves = max(enters, first), min(leaves, last)
    return leaves - enters > 1e-9


def _cross(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float], d: tuple[float, float]) -> bool:
    """Whether two lines cross."""

    def side(p: tuple[float, float], q: tuple[float, float], r: tuple[float, float]) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
