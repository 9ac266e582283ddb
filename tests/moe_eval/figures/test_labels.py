"""Names beside points cover neither each other nor points, and stay inside the frame."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from moe_eval.figures.labels import Box, place_labels

FRAME = Box(0, 0, 1000, 800)
PLACES = st.tuples(st.integers(100, 900), st.integers(100, 700))


@settings(max_examples=8)
@given(points=st.lists(PLACES, min_size=1, max_size=10, unique=True))
def test_names_cover_nothing(points):
    boxes = place_labels(points, [(90, 12)] * len(points), FRAME, gap=6)
    assert all(FRAME.holds(box) for box in boxes)
    assert not any(box.overlap(other) for box in boxes for other in boxes if box is not other)


def test_points_at_one_place_get_different_places():
    one, other = place_labels([(500, 400)] * 2, [(90, 12)] * 2, FRAME, gap=6)
    assert not one.overlap(other)


def test_a_name_stands_close_to_its_point_where_there_is_room():
    (box,) = place_labels([(500, 400)], [(90, 12)], FRAME, gap=6)
    assert math.dist(box.nearest(500, 400), (500, 400)) <= 7


def test_obstacles_stay_visible():
    bar = Box(498, 300, 502, 500)
    (box,) = place_labels([(500, 400)], [(90, 12)], FRAME, gap=6, obstacles=[bar])
    assert not box.overlap(bar)
