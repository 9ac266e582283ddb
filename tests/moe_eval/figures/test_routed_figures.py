"""Figures of experts: their data are those of `routing.json`."""

import numpy as np
import pytest

from moe_eval.figures import expert_load, modality, pathways
from moe_eval.figures.routed import run_name, run_title
from moe_eval.runs.records import DataRecord
from moe_eval.runs.routing import PathRecord, RoutingRecord

DATA = DataRecord(source="mini", version="drawn", fingerprint="sha256:0", samples=2, official=False)


def record(**changes):
    """Layers 0 and 2 with two experts; image tokens go to the first expert of layer 0, text is even."""
    image = [[[8, 0], [0, 8]], [[4, 4], [4, 4]]]
    text = [[[2, 2], [2, 2]], [[1, 3], [3, 1]]]
    paths = [PathRecord(experts=[0, 0], tokens=5), PathRecord(experts=[0, 1], tokens=3)]
    fields = {
        "task": "pope",
        "model": "m",
        "data": DATA,
        "samples": 2,
        "unrecorded": 0,
        "layers": [0, 2],
        "counts": {"image": image, "text": text},
        "dropped": None,
        "paths": {"image": paths, "text": [PathRecord(experts=[1, 1], tokens=4)]},
    }
    return RoutingRecord(**{**fields, **changes})


def test_load_counts_first_choices_of_all_tokens_alike():
    rows = {(row.tokens, row.layer, row.expert): row for row in expert_load.rows(record())}
    assert len(rows) == 3 * 2 * 2
    assert (rows["all", 0, 0].first_choices, rows["all", 0, 0].later_choices) == (10, 2)
    assert rows["all", 0, 0].share == 10 / 12
    assert rows["image", 0, 1].share == 0
    assert rows["text", 2, 1].share == 3 / 4


def test_experts_and_layers_count_from_zero():
    rows = [*expert_load.rows(record()), *modality.rows(record()), *pathways.rows(record())]
    assert {row.layer for row in rows} == {0, 2}
    assert {row.expert for row in rows} == {0, 1}


def test_runs_in_different_settings_have_names_of_their_own():
    one = record(ablation="top_k=1", settings=["noise seed 3"])
    assert run_name(one) == "m top_k=1 noise seed 3 pope"
    assert run_title(one) == "m (top_k=1, noise seed 3), POPE"


def test_preference_gives_both_modalities_the_same_weight():
    rows = {(row.layer, row.expert): row for row in modality.rows(record())}
    assert rows[0, 0].image_preference == pytest.approx(1 / (1 + 0.5))
    assert rows[0, 1].image_preference == 0
    assert rows[2, 1].image_preference == pytest.approx(0.5 / (0.5 + 0.75))


def test_an_expert_without_tokens_prefers_nothing():
    counts = {"image": [[[8, 0]]], "text": [[[3, 0]]]}
    assert [row.image_preference for row in modality.rows(record(layers=[0], counts=counts))] == [0.5, None]


def test_the_first_pathway_is_the_common_way():
    paths = np.array([[0, 1, 2], [0, 1, 1], [2, 0, 0], [1, 2, 2]])
    found = pathways.principal_pathways(paths, np.array([50, 20, 15, 5]), 10)
    assert found[0][0] == 0
    assert len({index for index, _ in found}) == len(found) == 4
    explained = [share for _, share in found]
    assert explained == sorted(explained, reverse=True)
    assert sum(explained) <= 1 + 1e-9


def test_components_are_those_of_the_choices():
    """Two disjoint ways are two components, in the proportion of their tokens."""
    found = pathways.principal_pathways(np.array([[0, 0], [1, 1]]), np.array([3, 1]), 10)
    assert found == [(0, pytest.approx(0.75)), (1, pytest.approx(0.25))]


def test_pathways_do_not_depend_on_the_order_of_the_paths():
    paths, tokens = np.array([[0, 1], [1, 1], [2, 0]]), np.array([4, 3, 2])
    order = np.array([2, 0, 1])
    found = [paths[index].tolist() for index, _ in pathways.principal_pathways(paths, tokens, 3)]
    again = [paths[order][index].tolist() for index, _ in pathways.principal_pathways(paths[order], tokens[order], 3)]
    assert found == again
