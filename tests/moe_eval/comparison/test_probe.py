"""What a probe says of a model that sees, and of the leanings of its answers."""

from dataclasses import replace

import pytest
from moe_eval.tasks.scienceqa import TASK as SCIENCEQA
from scipy.special import ndtri

from moe_eval.comparison.probe import letter_bias, probe_tasks, yes_bias
from moe_eval.comparison.probe_text import as_markdown
from moe_eval.comparison.text import number
from moe_eval.engine.ablation import OTHER_ORDER, find_ablation
from moe_eval.engine.backend import Request
from moe_eval.images import NamedImage
from moe_eval.runs.stored_run import find_stored_runs
from tests.asking import run_task
from tests.fake_backend import FakeBackend
from tests.moe_eval.comparison.runs import make_run
from tests.moe_eval.test_cli import call


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that is right, and says yes to everything with another's picture."""
    out = tmp_path_factory.mktemp("runs")
    make_run(out / "fake--image=shuffled", lambda number, sample: sample.gold == "no")
    return make_run(out / "fake")


def test_the_share_that_is_seeing_is_what_another_picture_loses(folder):
    blinded = find_stored_runs(folder.with_name("fake--image=shuffled"))
    (probe,) = probe_tasks(find_stored_runs(folder), {"image=shuffled": blinded})
    difference = probe.ablated["image=shuffled"].difference
    assert (difference.second, probe.seeing) == (100, pytest.approx(100 - difference.first))
    text = as_markdown([probe])
    assert f"{probe.seeing:.0f} %" in text
    assert "Leaning to yes" in text


def test_the_command_takes_runs_that_are_there(folder, capsys):
    code, out, err = call(capsys, "probe", folder)
    assert code == 0, err
    assert "How much of the score of fake is seeing" in out


def test_a_run_without_blinded_ones_is_one_line(folder, capsys):
    code, _, err = call(capsys, "probe", folder.with_name("fake--image=shuffled"))
    assert code == 2
    assert "has no ablated runs beside it" in err


def test_yes_bias_is_that_of_signal_detection():
    """Hits 30 of 40, false alarms 10 of 40, each with half an answer more."""
    rows = [{"group": str(n), "gold": "yes", "prediction": "yes" if n < 30 else "no"} for n in range(40)]
    rows += [{"group": str(n), "gold": "No", "prediction": "yes" if n < 10 else "no"} for n in range(40)]
    bias = yes_bias(rows)
    hits, false_alarms = ndtri(30.5 / 41), ndtri(10.5 / 41)
    assert bias.sensitivity == pytest.approx(hits - false_alarms)
    assert bias.criterion == pytest.approx(-(hits + false_alarms) / 2, abs=1e-9)
    assert bias.intervals["headline"].low < bias.sensitivity < bias.intervals["headline"].high
    assert bias.yes_ratio == 50


def test_always_yes_leans_to_yes_and_tells_nothing_apart():
    rows = [{"group": str(n), "gold": ("yes", "no")[n % 2], "prediction": "yes"} for n in range(40)]
    bias = yes_bias(rows)
    assert (bias.sensitivity, bias.criterion < -1) == (0, True)


def test_scores_without_yes_and_no_have_no_yes_bias():
    assert yes_bias([{"group": "1", "gold": "red", "prediction": "red"}]) is None
    assert yes_bias([{"group": "1", "gold": "yes", "prediction": "yes"}]) is None


def test_letters_are_counted_where_they_are_right_and_where_they_are_chosen():
    rows = [{"gold": "AB"[n % 2], "prediction": "A", "correct": int(n % 2 == 0)} for n in range(10)]
    assert [(one.letter, one.gold, one.chosen, one.accuracy) for one in letter_bias(rows)] == [
        ("A", 50, 100, 100),
        ("B", 50, 0, 0),
    ]


def test_a_letter_is_held_against_the_same_questions_with_the_right_option_elsewhere():
    """B is right in 10 questions as asked, in 10 others in the other order, and right half as often as A in both."""
    golds = [("B", "A")] * 10 + [("A", "B")] * 10 + [("B", "B")] * 5
    rows = [
        [
            {
                "id": str(n),
                "group": str(n),
                "gold": gold[way],
                "prediction": "A",
                "correct": int(gold[way] == "A" or n % 2),
            }
            for n, gold in enumerate(golds)
        ]
        for way in (0, 1)
    ]
    bias = {one.letter: one.moved for one in letter_bias(*rows)}
    assert (bias["B"].first, bias["B"].second, bias["B"].value) == (100, 50, -50)
    assert bias["B"].low < -50 < bias["B"].high < 0
    assert bias["A"].value == 50


def test_the_order_of_options_has_a_table_of_its_own(tmp_path):
    data = SCIENCEQA.load("mini").first(12)
    for name, ablation in (("fake", None), (f"fake--{OTHER_ORDER}", OTHER_ORDER)):
        run_task(SCIENCEQA, "llava", data, FakeBackend(lambda request: "A"), tmp_path / name, ablation=ablation)
    seen, other = (find_stored_runs(tmp_path / name) for name in ("fake", f"fake--{OTHER_ORDER}"))
    (probe,) = probe_tasks(seen, {OTHER_ORDER: other})
    table = as_markdown([probe]).split("Options in another order")[1].split("Leaning to a letter")
    accuracy = [number(runs["scienceqa"].scores.headline.value) for runs in (seen, other)]
    assert [cell.strip() for cell in table[0].splitlines()[4].split("|")][3:5] == accuracy
    assert "than elsewhere" in table[1]


def test_shuffled_gives_every_question_another_picture_and_the_same_to_all_about_one():
    images = [NamedImage(f"{number}.jpg") for number in range(5)]
    ablate = find_ablation("image=shuffled", [*images, *images])
    request = Request(id="1", images=(images[0],), text="What?", max_new_tokens=4)
    given = [ablate(replace(request, images=(image,))).images[0].name for image in images]
    assert sorted(given) == [image.name for image in images]
    assert all(new != image.name for new, image in zip(given, images, strict=True))
    assert ablate(request).images[0].name == given[0]
