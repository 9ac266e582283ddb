"""The layout `params`: counts of models that are here, and of runs whose model is not."""

import pytest

from moe_eval.table.parameters import parameter_facts, parameters_table
from moe_eval.table.published import read_published
from tests.run_folders import write_run


def row_of(grid, model):
    row = next(row for row in grid.rows if row[0].text == model)
    return {heading.full: cell for heading, cell in zip(grid.headings, row, strict=True)}


def test_a_model_of_the_zoo_stands_beside_what_was_published():
    row = row_of(parameters_table([], ["moe-llava-1.6bx4"], read_published()), "moe-llava-1.6bx4")
    assert (row["LLM act."].value, row["LLM act."].text) == (2_059_849_728, "2.06B")
    assert row["All total"].value == 3_200_124_928
    assert row["Published act."].text == "2.0B"


def test_stages_train_what_upstream_trains():
    """Stage 3 as scripted: feed-forward parts of all layers, routers and projector; as the paper says: MoE layers."""
    fact = parameter_facts("moe-llava-2.7bx4")
    parts, trained = fact["parts"], fact["trained"]
    assert trained["1"] == parts["projector"]
    assert trained["3, paper"] == parts["experts"] + parts["router"]
    assert trained["3, scripts"] == trained["3, paper"] + parts["dense FFN"] + parts["projector"]
    dense = parameter_facts("llava-phi2-2.7b")
    assert trained["2"] == dense["all"]["total"] - dense["parts"]["vision tower"]


def test_the_model_of_a_run_that_is_not_here_is_counted_from_the_run(tmp_path):
    row = row_of(parameters_table([write_run(tmp_path / "run", "gqa", 1.0)], [], []), "fake")
    assert (row["LLM total"].value, row["All act."].value) == (1_500_000, 1_300_000)
    assert row["Model"].notes == ("fake: the model is not here; from its run's record",)


@pytest.mark.parametrize("name", ["moe-llava-1.8bx4", "llava-1.5-7b"])
def test_parts_add_up_to_the_total(name):
    fact = parameter_facts(name)
    assert sum(fact["parts"].values()) == fact["all"]["total"]
