"""Comparison tables: what stands in them, and how the four formats look (golden files)."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from moe_eval.errors import UserError
from moe_eval.runs.records import GenerationRecord
from moe_eval.table.build import build_rows
from moe_eval.table.comparison import compare_rows, format_parameters
from moe_eval.table.formats import FORMATS, render
from moe_eval.table.layouts import MAIN, POPE, POPE_SPLITS
from moe_eval.table.measured import find_runs
from moe_eval.table.published import PublishedNumber, published_rows, read_published
from moe_eval.table.rows import rank_rows
from tests.fake_backend import FAKE_MODEL
from tests.run_folders import OTHER_DATA, write_run

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


MEAN_F1 = next(column for column in POPE.columns if column.name == "mean F1")

PUBLISHED = [
    number("Sparse & <Co>", POPE_SPLITS, "mean_f1", 86.3, "paper, Table 3"),
    number("Sparse & <Co>", "adversarial", "f1", 84.9, "paper, Table 4", note="looks swapped"),
    number("Sparse & <Co>", "adversarial", "f1", 84.86, "repository"),
    number("Sparse & <Co>", "adversarial", "f1", 80.0, "blog"),
    number("Dense", POPE_SPLITS, "mean_f1", 85.9, "paper, Table 3"),
    number("Dense", "adversarial", "yes_ratio_percent", 99.0, "paper, Table 4"),
]


ALWAYS_YES = {
    "categories": {
        name: {"accuracy": 50.0, "f1": 200 / 3, "yes_ratio": 100.0} for name in ("adversarial", "popular", "random")
    }
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One run of an untrained model that always says yes, on generated data."""
    out = tmp_path_factory.mktemp("runs")
    info = replace(FAKE_MODEL, name="mine_1", published_as="Sparse & <Co>")
    write_run(out / "mine_1" / "pope", "pope", 200 / 3, model=info, data=OTHER_DATA, metrics=ALWAYS_YES)
    return out


@pytest.fixture(scope="module")
def rows(runs):
    return build_rows(find_runs([runs]), PUBLISHED, POPE)


@pytest.mark.parametrize("format_name", FORMATS)
def test_formats_look_as_reviewed(rows, format_name):
    """After a wanted change: write what `render` gives to the golden file, and look at it."""
    assert render(compare_rows(rows, POPE), format_name) == (GOLDEN / f"pope.{format_name}").read_text()


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
    assert rank_rows(rows, column["mean F1"]) == {1: "best"}
    assert rank_rows(rows, column["adversarial F1"]) == {}
    assert rank_rows(rows, column["adversarial Yes"]) == {}


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
    assert rank_rows(rows, column) == {0: "best", 1: "best"}


def test_the_second_best_is_marked_where_somebody_is_third():
    numbers = [number(name, POPE_SPLITS, "mean_f1", value, "paper") for name, value in (("a", 1), ("b", 3), ("c", 2))]
    assert rank_rows(published_rows(numbers, POPE), MEAN_F1) == {1: "best", 2: "second"}


def test_a_doubted_number_is_shown_and_never_wins():
    numbers = [
        number(name, POPE_SPLITS, "mean_f1", value, "paper") for name, value in (("a", 99.0), ("b", 80.0), ("c", 70.0))
    ]
    rows = published_rows([numbers[0].model_copy(update={"doubted": True}), *numbers[1:]], POPE)
    assert rank_rows(rows, MEAN_F1) == {1: "best"}
    assert rows[0].values["mean F1"] == 99.0


def test_numbers_that_papers_doubt_are_marked_in_the_committed_file():
    doubted = [entry for entry in read_published() if entry.doubted]
    assert {entry.model for entry in doubted} == {
        "IDEFICS-80B",
        "IDEFICS-9B",
        "MoE-LLaVA-1.6Bx4-Top2",
        "MoE-LLaVA-1.6Bx4-Top2-384",
        "MoE-LLaVA-2.7Bx4-Top2-384",
    }
    assert all(entry.note for entry in doubted)


def test_numbers_of_another_benchmark_have_a_footnote():
    """IDEFICS's "GQA" is OK-VQA in its model card."""
    rows = {row.model: row for row in build_rows([], read_published(), MAIN)}
    for model, value in (("IDEFICS-80B", 45.2), ("IDEFICS-9B", 38.4)):
        (name,) = rows[model].doubted
        assert rows[model].values[name] == value
        assert "OK-VQA number of its model card" in rows[model].value_notes[name]


def test_marks_are_explained_as_far_as_there_are_any():
    def remarks(*values: float) -> str:
        numbers = [number(str(place), POPE_SPLITS, "mean_f1", value, "paper") for place, value in enumerate(values)]
        return " ".join(compare_rows(published_rows(numbers, POPE), POPE).remarks)

    assert "Best in bold, second best underlined" in remarks(1, 3, 2)
    assert "Best in bold, among" in remarks(1, 3)
    assert "Best" not in remarks(1)


def test_a_title_does_not_promise_the_papers_questions(runs):
    own = compare_rows(build_rows(find_runs([runs]), PUBLISHED, POPE, "none"), POPE)
    assert own.title.endswith("on other questions than the papers'")
    assert compare_rows(build_rows(find_runs([runs]), PUBLISHED, POPE), POPE).title == POPE.title


@pytest.mark.parametrize(("published", "models"), [("own", ["mine_1", "Sparse & <Co>"]), ("none", ["mine_1"])])
def test_published_rows_can_be_left_out(runs, published, models):
    assert [row.model for row in build_rows(find_runs([runs]), PUBLISHED, POPE, published)] == models


def test_csv_keeps_full_precision(rows):
    lines = list(csv.DictReader(io.StringIO(render(compare_rows(rows, POPE), "csv"))))
    assert float(lines[0]["mean F1"]) == pytest.approx(200 / 3, abs=1e-12)
    assert lines[0]["params_total"] == "1500000"


def test_committed_published_numbers_make_a_table():
    rows = published_rows(read_published(), POPE)
    by_model = {row.model: row for row in rows}
    row = by_model["MoE-LLaVA-2.7Bx4-Top2"]
    assert (row.values["mean F1"], row.values["adversarial Acc"], row.params_activated) == (86.3, 85.9, 3.6e9)
    assert "elsewhere 84.5" in by_model["LLaVA-1.5-13B"].value_notes["adversarial F1"]
    assert all(row.notes for row in rows)


@pytest.mark.parametrize(("table", "layout"), [("Table 3", MAIN), ("Table 4", POPE), ("Table 7", MAIN)])
def test_every_row_of_the_papers_tables_is_there(table, layout):
    """With every number that the paper prints in it, from the first source or told beside it."""
    numbers = read_published()
    rows = {row.model: row for row in build_rows([], numbers, layout, "paper")}
    columns = {column.published: column.name for column in layout.columns}
    printed = [entry for entry in numbers if entry.cited == f"MoE-LLaVA paper arXiv 2401.15947 {table}"]
    assert len({entry.model for entry in printed}) == {"Table 3": 12, "Table 4": 8, "Table 7": 3}[table]
    for entry in printed:
        row, name = rows[entry.model], columns[entry.key]
        told = (row.value_notes or {}).get(name, "")
        assert abs(row.values[name] - entry.value) <= entry.rounding + 1e-9 or f"{entry.value} (" in told


def test_the_other_models_of_the_field_are_there():
    models = {row.model for row in build_rows([], read_published(), MAIN)}
    assert models >= {"IDEFICS-9B", "IDEFICS-80B", "BLIP-2", "InstructBLIP-7B", "InstructBLIP-13B", "Qwen-VL-Chat"}


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


def test_answers_that_are_not_greedy_have_rows_of_their_own(tmp_path):
    drawn = GenerationRecord(max_new_tokens=16, pad_images=True, do_sample=True, temperature=0.5, samples=3, seed=0)
    folders = [
        write_run(tmp_path / "greedy" / "pope", "pope", 80.0, data=OTHER_DATA),
        write_run(tmp_path / "greedy" / "gqa", "gqa", 60.0, data=OTHER_DATA),
        write_run(tmp_path / "drawn" / "gqa", "gqa", 59.0, data=OTHER_DATA, generation=drawn),
        write_run(tmp_path / "measured" / "mme", "mme", 900.0, data=OTHER_DATA, protocol="likelihood"),
    ]
    found = {row.remark: set(row.values) for row in build_rows(folders, [], MAIN)}
    assert found == {
        "": {"Toolkit POPE", "Image QA GQA"},
        "3 answers drawn at temperature 0.5": {"Image QA GQA"},
        "likelihood": {"Toolkit MME"},
    }
