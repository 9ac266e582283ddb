"""Tasks of lmms-eval in our runs: its data, prompts and scores, our answers."""

import json
import math
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lmms_eval", reason="lmms-eval is not installed: make test EXTRAS=lmms")

from moe_eval.commands.score import score_file
from moe_eval.errors import UserError
from moe_eval.lmms.scoring import storable, stored
from moe_eval.registry import find_task
from moe_eval.runs.plan import run_folder
from moe_eval.runs.records import RunRecord, read_record
from moe_eval.scoring.score import score_answers
from tests.asking import run_task
from tests.fake_backend import FakeBackend
from tests.lmms_task import ANSWERS, write_task


@pytest.fixture(autouse=True, scope="module")
def _data_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LMMS_EVAL_DATASETS_CACHE", str(tmp_path_factory.mktemp("datasets")))
        yield


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_task(tmp_path_factory.mktemp("task"), "tiny_own")


@pytest.fixture(scope="module")
def task(file):
    return find_task(f"lmms:{file}")


def test_samples_are_lmms_evals_documents(task):
    dataset = task.load("lmms")
    assert [sample.question for sample in dataset.samples] == [f"Look! Which animal, {n}?" for n in range(4)]
    assert [sample.gold for sample in dataset.samples] == ANSWERS
    assert (task.name, task.max_new_tokens, dataset.official) == ("lmms:tiny_own", 5, False)
    assert dataset.version == "4 documents of parquet/test, lmms-eval 0.7.3"


def test_pictures_are_those_that_the_task_shows(task):
    shown = [[image.open() for image in sample.images] for sample in task.load("lmms").samples]
    assert [len(images) for images in shown] == [1, 2, 3, 4]
    assert [image.size for image in shown[3][1:]] == [images[0].size for images in shown[:3]]


def test_a_run_is_scored_by_the_tasks_own_functions_and_again_from_its_folder(task, file, tmp_path):
    folder = run_folder(tmp_path, "fake", task.name)
    assert folder.name == "lmms--tiny_own"
    scores = run_task(task, "lmms-eval", task.load("lmms"), FakeBackend(lambda request: "CAT "), folder)
    assert (scores.headline.name, scores.headline.value) == ("hit,none", 0.5)
    assert scores.metrics == {"hit,none": 0.5, "pairs,none": 2 + 1.5 * (0 + 1 + 2 + 3)}
    assert [sample["score"] for sample in scores.samples] == [1, 0, 1, 0]
    assert read_record(RunRecord, folder / "run.json").generation.max_new_tokens == 5
    again = score_file(f"lmms:{file}", folder, None, None, allow_missing=False, as_json=True)
    assert json.loads(again) == json.loads((folder / "scores.json").read_text())


def test_metrics_without_functions_are_lmms_evals(tmp_path):
    task = find_task(f"lmms:{write_task(tmp_path, 'tiny_match', scoring='exact_match')}")
    answers = {str(number): text for number, text in enumerate(["Cat.", " dog", "a cat", ""])}
    scores = score_answers(task, "lmms-eval", task.load("lmms"), answers)
    assert scores.metrics == {"exact_match,none": 0.5}
    assert [sample["exact_match,none"] for sample in scores.samples] == [1, 1, 0, 0]


def test_thoughts_are_taken_out_as_by_its_command_line(task):
    score = task.protocol("lmms-eval").score(task.load("lmms").samples[0], "<think>dog</think> Cat")
    assert score["prediction"] == "Cat"


def test_an_answer_that_the_task_cannot_score_is_named(task, monkeypatch):
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    with pytest.raises(UserError, match=r"lmms:tiny_own: document 1 cannot be scored: ValueError: no such answer"):
        task.protocol("lmms-eval").score(task.load("lmms").samples[1], "make it fail")


def test_broken_pictures_stay_errors(file):
    """In a process of its own, for lmms-eval changes Pillow once, when it is first imported."""
    code = (
        f"from moe_eval.registry import find_task; find_task({f'lmms:{file}'!r}); "
        "from PIL import ImageFile; print(ImageFile.LOAD_TRUNCATED_IMAGES)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.endswith("False\n")


def test_sampling_is_not_silently_replaced(tmp_path):
    task = find_task(f"lmms:{write_task(tmp_path, 'tiny_hot', temperature=0.7)}")
    assert task.load("lmms").version.endswith("answered greedily although the task asks for sampling")


def test_a_task_without_answers_in_words_is_refused(tmp_path):
    path = write_task(tmp_path, "tiny_choice", scoring="choice", output_type="multiple_choice")
    with pytest.raises(UserError, match=r"asks for multiple_choice.*use lmms-eval --model moe_llava .*tiny_choice$"):
        find_task(f"lmms:{path}")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match="there is no such file"):
        find_task(f"lmms:{tmp_path / 'gone.yaml'}")


def test_data_that_are_not_there_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    path = write_task(tmp_path, "tiny_gone")
    (tmp_path / "data.parquet").unlink()
    with pytest.raises(UserError, match=r"lmms-eval cannot load it: FileNotFoundError: ") as caught:
        find_task(f"lmms:{path}")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_installed_names_are_found_and_groups_are_taken_apart():
    with pytest.raises(UserError, match="unknown task of lmms-eval 'popo': did you mean pope"):
        find_task("lmms:popo")
    with pytest.raises(UserError, match="stands for several tasks; name them, separated by commas: mmbench_en_dev, "):
        find_task("lmms:mmbench")


@pytest.mark.parametrize("value", [0, 1.5, None, "a'b", ("a", 1), {7: [None, (1.5,)]}, [True, "\ud800"], -math.inf])
def test_values_come_back_as_they_were(value):
    assert stored(storable(value)) == value


def test_arrays_come_back_as_lists_and_what_is_no_number_as_such():
    back = stored(storable({"a": np.array([1.5, np.nan]), "b": defaultdict(int, {1: np.int64(2)})}))
    assert repr(back) == "{'a': [1.5, nan], 'b': {1: 2}}"
    assert isinstance(storable(np.float32(0.5)), float)


@pytest.mark.parametrize("value", [object(), {"picture": Path("a.jpg")}])
def test_what_cannot_be_stored_is_an_error(value):
    with pytest.raises((ValueError, SyntaxError)):
        storable(value)
