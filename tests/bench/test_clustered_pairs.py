"""Simulated decisions are those that the library takes of the same pair of runs."""

import numpy as np
import pytest

from bench.clustered_pairs import DRAWS, TOLERANCE, decisions, pairs
from moe_eval.comparison.gate import decide
from moe_eval.statistics.paired import PairedScores, differences, paired_test

PER_CATEGORY = 4


@pytest.mark.parametrize("name", ["macro-average of 5 categories", "MME, perception", "MMBench, circular"])
def test_many_data_sets_at_a_time_are_decided_as_one_is(name):
    pair = pairs(name, 0.05)
    chosen = np.arange(10 * PER_CATEGORY)  # categories come in turn, so there are as many groups of each
    at = [place for place, cluster in enumerate(pair.first.clusters) if cluster < len(chosen)]
    ours, theirs = ([one.scores[place] for place in at] for one in (pair.first, pair.second))
    one = PairedScores(ours, theirs, [str(score["group"]) for score in ours], (pair.world.aggregate,) * 2)
    difference, test = differences(one, DRAWS)["headline"], paired_test(one, DRAWS)

    found = decisions(pair, np.stack([chosen[::-1], chosen]))
    scale = 100 / pair.world.maximum
    told = (found.values[1], found.lows[1], found.highs[1], found.p_values[1])
    wanted = (scale * difference.value, scale * difference.low, scale * difference.high, test.p_value)
    assert told == pytest.approx(wanted)
    flipped = bool(test.won or test.lost)
    assert found.verdicts[1] == decide(scale * difference.value, wanted[1], test.p_value, flipped, TOLERANCE)


def test_two_models_that_are_equally_good_have_no_difference_at_all():
    assert pairs("MMBench, circular", 0.0).drop == pytest.approx(0, abs=1e-9)
