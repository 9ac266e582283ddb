"""Which figures the report shows, and where."""

from moe_eval.figures.catalogue import FIGURES
from moe_eval.report.figures import AT_ONCE, FAMILIES


def test_every_kind_of_figure_has_its_place():
    assert {*AT_ONCE, *FAMILIES} == set(FIGURES)
