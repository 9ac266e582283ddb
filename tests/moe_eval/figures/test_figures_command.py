"""`moe-eval figures`: files from runs and published numbers, one line for what cannot be drawn."""

import csv
import io
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from moe_eval.tasks.pope import TASK

from moe_eval.cli import main
from moe_eval.figures.catalogue import FIGURES, make_drawings
from moe_eval.runs.plan import run_folder
from moe_eval.table.published import read_published
from tests.asking import run_task
from tests.fake_backend import FAKE_MODEL, FakeBackend
from tests.moe_eval.runs.test_routing import RoutedBackend
from tests.run_folders import OTHER_DATA, write_run

SVG = "http://www.w3.org/2000/svg"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    data = TASK.load("mini").first(36)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("moe_eval.runs.environment.git_commit", lambda: "0" * 40)
        patch.setattr("moe_eval.runs.environment.hardware", dict)
        run_task(TASK, "llava", data, RoutedBackend(), run_folder(out, "sparse", "pope"), routing=True)
        run_task(TASK, "llava", data, FakeBackend(), run_folder(out, "dense", "pope"))
        grey = run_folder(out, "dense", "pope", "image=grey")
        run_task(TASK, "llava", data, FakeBackend(lambda request: "No"), grey, ablation="image=grey")
        run_task(TASK, "likelihood", data, FakeBackend(), run_folder(out, "dense", "pope", "likelihood"))
    return out


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        main(["figures", *map(str, arguments)])
    shown = capsys.readouterr()
    return int(caught.value.code or 0), shown.out, shown.err


@pytest.mark.parametrize("name", [name for name in FIGURES if name != "params"])
def test_every_figure_of_a_run_has_its_data_beside_it(capsys, runs, tmp_path, name):
    code, out, _ = call(capsys, runs, "--out", tmp_path, "--figure", name, "--no-published")
    assert code == 0
    (svg,) = tmp_path.glob("*.svg")
    assert SVG in svg.read_text()
    assert list(csv.DictReader(io.StringIO(svg.with_suffix(".csv").read_text())))
    assert str(svg) in out


@pytest.mark.parametrize(("kind", "magic"), [("pdf", b"%PDF"), ("png", b"\x89PNG")])
def test_other_formats(capsys, runs, tmp_path, kind, magic):
    code, _, _ = call(capsys, runs, "--out", tmp_path, "--figure", "expert-load", "--format", kind)
    assert code == 0
    assert next(tmp_path.glob(f"*.{kind}")).read_bytes().startswith(magic)


def test_no_date_and_no_random_id_gets_into_a_file(runs):
    def saved():
        (drawing,) = make_drawings([runs / "sparse" / "pope"], ["expert-load"])
        return [drawing.save(kind) for kind in ("svg", "pdf")]

    assert saved() == saved()


def test_published_numbers_alone_make_figure_1():
    drawings = {drawing.name: drawing for drawing in make_drawings([], ["params"])}
    assert {"params-pope", "params-gqa", "params-mme"} <= drawings.keys()
    rows = {row.model: row for row in drawings["params-pope"].rows}
    assert (rows["MoE-LLaVA-2.7B×4"].value, rows["MoE-LLaVA-2.7B×4"].activated) == (86.3, 3.6e9)
    assert rows["MoE-LLaVA-2.7B×4"].sparse
    assert not rows["LLaVA-1.5-7B"].sparse


def test_names_of_figure_1_do_not_cover_each_other():
    """On the figure with most names."""
    drawing = max(make_drawings([], ["params"]), key=lambda drawing: len(drawing.rows))
    figure = drawing.figure
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == len(drawing.rows) > 10
    assert not any(one.overlaps(other) for one in boxes for other in boxes if one is not other)


def test_doubted_numbers_are_not_drawn():
    doubted = {(number.model, number.value) for number in read_published() if number.doubted}
    shown = {(row.model, row.yes_ratio) for row in make_drawings([], ["pope-yes-ratio"])[0].rows}
    assert doubted
    assert not doubted & shown


def test_measured_on_other_questions_stands_alone(runs):
    drawings = {drawing.name: drawing for drawing in make_drawings([runs / "dense" / "pope"], ["pope-yes-ratio"])}
    assert {row.origin for row in drawings["pope-yes-ratio"].rows} == {"published"}
    assert {row.origin for row in drawings["pope-yes-ratio-mini"].rows} == {"measured"}
    assert "mini, 36 questions" in drawings["pope-yes-ratio-mini"].title


def test_figures_of_runs_show_no_models_but_theirs_unless_asked(runs):
    drawings = make_drawings([runs / "dense" / "pope"])
    assert drawings
    assert all(drawing.measured for drawing in drawings)
    assert not all(drawing.measured for drawing in make_drawings([runs / "dense" / "pope"], ["params"]))
    assert {drawing.name for drawing in make_drawings([])} >= {"params-pope", "pope-yes-ratio"}


def test_models_that_activate_as_many_parameters_make_no_figure_1(tmp_path):
    for name, value in (("one", 60.0), ("other", 70.0)):
        write_run(tmp_path / name / "gqa", "gqa", value, model=replace(FAKE_MODEL, name=name), data=OTHER_DATA)
    folders = [tmp_path / "one" / "gqa", tmp_path / "other" / "gqa"]
    assert [drawing.name for drawing in make_drawings(folders, published=False)] == ["tasks-mini"]


def test_mme_is_in_percent_of_what_its_subtasks_can_give(tmp_path):
    """On six subtasks 900 points are three quarters."""
    metrics = {"percent_of_maximum": {"perception": 75.0}}
    folder = write_run(
        tmp_path / "mme", "mme", 900.0, data=OTHER_DATA, metrics=metrics, headline="perception (max 2000)"
    )
    other = write_run(tmp_path / "pope", "pope", 60.0, data=OTHER_DATA)
    (drawing,) = make_drawings([folder, other], ["tasks"], published=False)
    assert {row.benchmark: (row.percent(row.value), row.maximum) for row in drawing.rows} == {
        "MME": (75.0, 1200.0),
        "POPE": (60.0, 100.0),
    }


def test_figures_of_equal_names_do_not_overwrite_each_other(runs, tmp_path):
    again = shutil.copytree(runs / "sparse" / "pope", tmp_path / "pope")
    one, other = make_drawings([runs / "sparse" / "pope", again], ["expert-load"])
    assert other.name == f"{one.name}-2"


def test_every_figure_of_a_kind_has_one_size():
    sizes = {tuple(drawing.figure.get_size_inches()) for drawing in make_drawings([], ["params"])}
    assert len(sizes) == 1


def test_an_ablated_run_is_named_as_such(runs):
    folders = [runs / "dense" / "pope", runs / "dense--image=grey" / "pope"]
    (drawing,) = make_drawings(folders, ["tasks"], published=False)
    assert sorted({row.model for row in drawing.rows}) == [
        "fake (random weights)",
        "fake (random weights, image=grey)",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--figure", "expert-lode"], "did you mean expert-load"),
        (["--format", "jpeg"], "unknown format 'jpeg'"),
        (["nowhere"], "nowhere: no finished run"),
        (
            ["RUNS/dense", "--figure", "expert-load"],
            "made with `moe-eval run --routing` (a dense model has no routing)",
        ),
        (["RUNS/dense", "--figure", "pathways"], "figure pathways: needs a run of a sparse model"),
        (["RUNS/dense", "--figure", "params", "--no-published"], "figure params: needs two or more models"),
        (["RUNS/dense", "--out", "/dev/null/x"], "cannot be created"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(capsys, runs, arguments, message):
    code, _, err = call(capsys, *(argument.replace("RUNS", str(runs)) for argument in arguments))
    assert code == 2
    assert re.fullmatch(r"moe-eval: [^\n]+\n", err)
    assert message in err


def test_matplotlib_is_imported_only_to_draw():
    code = "import sys, moe_eval.figures.catalogue, moe_eval.cli; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
