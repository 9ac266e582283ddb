"""Our models in lmms-eval's evaluation."""

import json
import math
import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

pytest.importorskip("lmms_eval", reason="lmms-eval is not installed: make test EXTRAS=lmms")

import torch
from lmms_eval.api.instance import Instance
from PIL import ImageFile

from moe_eval.engine.backend import Request
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.models import ModelSource
from moe_eval.engine.prefix.backend import PrefixBackend
from moe_eval.engine.prompting import encode
from moe_eval.errors import UserError
from moe_eval.lmms.model import MoELlava
from moe_eval.mini.world import make_scenes
from tests.lmms_task import write_task
from tests.tiny_llava import save_tiny_llava

ImageFile.LOAD_TRUNCATED_IMAGES = False  # lmms-eval sets it, for all other tests, too

pytestmark = pytest.mark.usefixtures("one_thread")

SCENES = make_scenes(3, 1, "test")
DOCS = [{"image": scene.open(), "question": f"What, {number}?"} for number, scene in enumerate(SCENES)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_llava(tmp_path_factory.mktemp("tiny-llava"))


@pytest.fixture
def model(folder):
    model = MoELlava.create_from_arg_string(f"pretrained={folder},device=cpu", {"batch_size": "2"})
    model.task_dict = {"task": {"test": DOCS}}
    return model


def request(kind: str, *arguments: object) -> Instance:
    return Instance(kind, arguments, 0, {"task": "task", "doc_id": 0, "repeats": 1})


def show(doc):
    return [doc["image"]]


def test_the_entry_point_names_the_model():
    from lmms_eval.models import get_model

    (point,) = entry_points(group="lmms_eval.models", name="moe_llava")
    assert point.load()().simple_class_path == "moe_eval.lmms.model.MoELlava"
    assert get_model("moe_llava") is MoELlava


def test_answers_are_the_backends(model, folder):
    options = {"max_new_tokens": 6, "until": ["\n\n"], "temperature": 0}
    asked = [request("generate_until", doc["question"], options, show, n, "task", "test") for n, doc in enumerate(DOCS)]
    ours = GenerateBackend(ModelSource(str(folder), device="cpu")).generate(
        Request(str(n), (scene,), DOCS[n]["question"], 6) for n, scene in enumerate(SCENES)
    )
    assert [answer.text for answer in model.generate_until(asked)] == [answer.text for answer in ours]


def test_questions_about_one_picture_are_asked_together(model):
    docs = [*DOCS, {"image": DOCS[0]["image"].copy(), "question": "And what is beside it?"}]
    model.task_dict = {"task": {"test": docs}}
    asked = [request("generate_until", doc["question"], {}, show, n, "task", "test") for n, doc in enumerate(docs)]
    pictures = [one.images for one in model._asked(asked)]
    assert pictures[3] == pictures[0] != pictures[1]
    assert isinstance(model._backend, PrefixBackend)


def test_weights_are_given_free_and_loaded_again(model):
    asked = [request("generate_until", "?", {"max_new_tokens": 3}, show, 0, "task", "test")]
    before = model.generate_until(asked)
    model.clean()
    assert "loaded" not in vars(model._backend)
    assert model.generate_until(asked) == before


def test_likelihood_of_what_the_model_says_is_greedy(model):
    questions = [f"Question {number}?" for number in range(40)]
    asked = [request("generate_until", text, {"max_new_tokens": 1}, show, 0, "task", "test") for text in questions]
    pairs = zip(questions, model.generate_until(asked), strict=True)
    question, said = next((text, answer.text) for text, answer in pairs if answer.text.isalnum())
    ours, other = model.loglikelihood(
        [
            request("loglikelihood", question, said, show, 0, "task", "test"),
            request("loglikelihood", question, lambda doc: doc["question"], show, 0, "task", "test"),
        ]
    )
    assert (ours[1], other[1]) == (True, False)
    assert 0 < ours[0] < other[0] < math.inf


def test_likelihood_is_the_mean_over_the_continuation(model, folder):
    (ours,) = model.loglikelihood([request("loglikelihood", "Well?", "ab", show, 0, "task", "test")])
    loaded, processor = model._backend.loaded
    batch = [(Request("0", (SCENES[0],), "Well?", 1), [DOCS[0]["image"]])]
    inputs = encode(processor, batch, ["ab"])
    with torch.inference_mode():
        logs = loaded(**inputs).logits[0].log_softmax(-1)
    ids = inputs["input_ids"][0]
    expected = -(logs[-3, ids[-2]] + logs[-2, ids[-1]]) / 2  # two bytes, a token each
    assert ours[0] == pytest.approx(expected.item(), rel=1e-5)


def test_rounds_go_on_until_the_task_says_so(model):
    seen = []

    def next_round(doc, previous_output, round_idx, previous_round_info):
        seen.append((list(previous_output), round_idx, previous_round_info))
        return [doc["image"]], f"And {round_idx}?", round_idx == 3, previous_output, round_idx * 10

    options = {"max_new_tokens": 3}
    asked = request("generate_until_multi_round", "First?", options, show, next_round, 0, "task", "test")
    (answers,) = model.generate_until_multi_round([asked])
    assert [(len(given), number, state) for given, number, state in seen] == [(1, 1, None), (2, 2, 10), (3, 3, 20)]
    assert answers == seen[-1][0]


def test_videos_are_refused(model):
    asked = [request("generate_until", "?", {}, lambda doc: ["clip.mp4"], 0, "task", "test")]
    with pytest.raises(UserError, match="shows a str, not a picture; our models see pictures only"):
        model.generate_until(asked)


def test_batch_size_must_be_a_number(folder):
    with pytest.raises(UserError, match="--batch_size is a number of prompts, not 'auto'"):
        MoELlava(str(folder), batch_size="auto")


@pytest.mark.slow
def test_lmms_evals_command_line_and_ours_give_the_same(folder, tmp_path):
    task = write_task(tmp_path, "tiny_own")
    environment = {**os.environ, "LMMS_EVAL_DATASETS_CACHE": str(tmp_path / "datasets"), "HF_HUB_OFFLINE": "1"}
    theirs = ["lmms_eval", "--model", "moe_llava", "--model_args", f"pretrained={folder},device=cpu"]
    theirs += ["--include_path", str(tmp_path), "--tasks", "tiny_own", "--log_samples", "--output_path", "out"]
    ours = ["moe_eval", "run", str(folder), "--device", "cpu", "--tasks", f"lmms:{task}", "--out", "runs"]
    for command in (theirs, ours):
        subprocess.run(
            [sys.executable, "-m", *command], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        )
    (results,) = tmp_path.glob("out/**/*_results.json")
    (samples,) = tmp_path.glob("out/**/*_samples_tiny_own.jsonl")
    (scores,) = (json.loads(path.read_text()) for path in tmp_path.glob("runs/*/*/scores.json"))
    printed = json.loads(results.read_text())["results"]["tiny_own"]
    assert scores["metrics"] == {name: printed[name] for name in ("hit,none", "pairs,none")}
    logged = [json.loads(line) for line in samples.read_text().splitlines()]
    assert {str(one["doc_id"]): one["filtered_resps"] for one in logged} == {
        sample["id"]: sample["prediction"] for sample in scores["samples"]
    }
    assert len(list(tmp_path.glob("out/**/upload.txt"))) == 1
