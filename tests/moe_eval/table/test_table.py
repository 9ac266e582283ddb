"""Comparison tables: what stands in them, and how the four formats look (golden files)."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from moe_eval.errors import UserError
from moe_eval.run import run_task
from moe_eval.table.build import build_rows
from moe_eval.table.formats import FORMATS, render
from moe_eval.table.layouts import POPE, POPE_SPLITS
from moe_eval.table.measured import find_runs
from moe_eval.table.published import PublishedNumber, published_rows, read_published
from moe_eval.table.rows import best_rows
from moe_eval.table.text import format_parameters
from tasks.pope import TASK
from tests.fake_backend import FAKE_MODEL, FakeBackend

GOLDEN = Path(__file__).parent / "golden"


def number(model: str, split: str, metric: str, value: float, source: str, note: str | None = None):
    return PublishedNumber(
        model=model,
        llm="Phi_2",
        params_total_b=5.3,
        params_activated_b=None if source == "blog" else 3.6,
        image_size=336,
        benchmark="POPE",
        split=split,
        metric=metric,
        value=value,
        source=source,
        note=note,
    )


PUBLISHED = [
    number("Sparse & <Co>", POPE_SPLITS, "mean_f1", 86.3, "paper, Table 3"),
    number("Sparse & <Co>", "adversarial", "f1", 84.9, "paper, Table 4", note="looks swapped"),
    number("Sparse & <Co>", "adversarial", "f1", 84.86, "repository"),
    number("Sparse & <Co>", "adversarial", "f1", 80.0, "blog"),
    number("Dense", POPE_SPLITS, "mean_f1", 85.9, "paper, Table 3"),
    number("Dense", "adversarial", "yes_ratio_percent", 99.0, "paper, Table 4"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One run of an untrained model that always says yes, on `mini`."""
    out = tmp_path_factory.mktemp("runs")
    info = replace(FAKE_MODEL, name="mine_1", published_as="Sparse & <Co>")
    run_task(TASK, "llava", TASK.load("mini").first(180), FakeBackend(info=info), out / "mine_1" / "pope")
    return out


@pytest.fixture(scope="module")
def rows(runs):
    return build_rows(find_runs([runs]), PUBLISHED, POPE)


@pytest.mark.parametrize("format_name", FORMATS)
def test_formats_look_as_reviewed(rows, format_name):
    """After a wanted change: write what `render` gives to the golden file, and look at it."""
    assert render(rows, POPE, format_name) == (GOLDEN / f"pope.{format_name}").read_text()


def test_the_published_row_stands_next_to_the_measured_one(rows):
    assert [(row.model, row.origin) for row in rows] == [
        ("mine_1", "measured"),
        ("Sparse & <Co>", "published"),
        ("Dense", "published"),
    ]


def test_random_weights_and_other_data_are_said_plainly(rows):
    assert rows[0].remark == "random weights"
    assert any("do not compare" in note for note in rows[0].notes)


def test_contradicting_sources_are_told_and_agreeing_ones_are_not(rows):
    note = rows[1].value_notes["adversarial F1"]
    assert note == "looks swapped. Sparse & <Co>, adversarial F1: 84.9 here (paper, Table 4), elsewhere 80 (blog)"


def test_every_source_shown_is_named_with_its_columns(rows):
    assert rows[1].notes == ("adversarial F1: paper, Table 4", "mean F1: paper, Table 3")


def test_best_is_marked_among_rows_about_the_same_questions(rows):
    column = {column.name: column for column in POPE.columns}
    assert best_rows(rows, column["mean F1"]) == {1}
    assert best_rows(rows, column["adversarial F1"]) == set()
    assert best_rows(rows, column["adversarial Yes"]) == set()


def test_values_that_print_equal_are_equally_good():
    rows = published_rows(
        [
            number("Exact", POPE_SPLITS, "mean_f1", 85.946, "here"),
            number("Rounded", POPE_SPLITS, "mean_f1", 85.9, "paper"),
            number("Worse", POPE_SPLITS, "mean_f1", 85.8, "paper"),
        ],
        POPE,
    )
    column = next(column for column in POPE.columns if column.name == "mean F1")
    assert best_rows(rows, column) == {0, 1}


@pytest.mark.parametrize(("published", "models"), [("own", ["mine_1", "Sparse & <Co>"]), ("none", ["mine_1"])])
def test_published_rows_can_be_left_out(runs, published, models):
    assert [row.model for row in build_rows(find_runs([runs]), PUBLISHED, POPE, published)] == models


def test_csv_keeps_full_precision(rows):
    lines = list(csv.DictReader(io.StringIO(render(rows, POPE, "csv"))))
    assert float(lines[0]["mean F1"]) == pytest.approx(200 / 3, abs=1e-12)
    assert lines[0]["params_total"] == "1500000"


def test_committed_published_numbers_make_a_table():
    rows = published_rows(read_published(), POPE)
    by_model = {row.model: row for row in rows}
    row = by_model["MoE-LLaVA-2.7Bx4-Top2"]
    assert (row.values["mean F1"], row.values["adversarial Acc"], row.params_activated) == (86.3, 85.9, 3.6e9)
    assert "elsewhere 84.5" in by_model["LLaVA-1.5-13B"].value_notes["adversarial F1"]
    assert all(row.notes for row in rows)


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, ""), (5.3e9, "5.3B"), (13e9, "13B"), (1.5e6, "1.5M"), (412_345, "412.3K"), (12, "12")],
)
def test_parameters_are_short(count, text):
    assert format_parameters(count) == text


def test_published_file_with_a_wrong_field_is_named(tmp_path):
    path = tmp_path / "published.json"
    path.write_text('[{"model": "a"}]')
    with pytest.raises(UserError, match=r"published\.json: 0\.llm: Field required"):
        read_published(path)
