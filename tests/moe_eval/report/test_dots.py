"""The dot plot of headline numbers."""

from hypothesis import given
from hypothesis import strategies as st

from moe_eval.report.dots import nice_ends, plot_dots

NUMBERS = st.floats(-1e4, 1e4).map(lambda value: round(value, 3))


@given(st.lists(NUMBERS, min_size=1))
def test_the_scale_holds_all_values_with_room(values):
    low, high = nice_ends(values)
    assert low <= min(values)
    assert max(values) < high


@given(st.lists(NUMBERS.map(abs), min_size=1))
def test_no_negative_scale_for_what_is_never_negative(values):
    assert nice_ends(values)[0] >= 0


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS).map(sorted), min_size=1))
def test_larger_numbers_stand_further_right(triples):
    plot = plot_dots([(middle, (low, high)) for low, middle, high in triples])
    assert all(0 <= dot.low <= dot.at <= dot.high <= 100 for dot in plot.dots)
    by_value = sorted(zip([middle for _, middle, _ in triples], plot.dots, strict=True), key=lambda pair: pair[0])
    places = [dot.at for _, dot in by_value]
    assert places == sorted(places)


def test_a_pending_number_has_no_dot():
    assert plot_dots([(1.0, None), (None, None), (2.0, None)]).dots[1] is None


def test_numbers_that_show_nothing_are_not_drawn():
    assert plot_dots([(50.0, None)]) is None
    assert plot_dots([(0.0, None), (0.0, None)]) is None
    assert plot_dots([(None, None)]) is None
