"""The plain backend on a model that is not ours."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from moe_eval.engine.backend import Request, Response, Unanswered
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.models import ModelSource
from moe_eval.errors import UserError
from moe_eval.images import NamedImage
from moe_eval.mini.world import make_scenes
from tests.tiny_llava import save_tiny_llava

pytestmark = pytest.mark.usefixtures("one_thread")

SCENES = make_scenes(3, 1, "test")
REQUESTS = [
    Request(f"{scene.name}.{number}", (scene,), text, max_new_tokens=6)
    for scene in SCENES
    for number, text in enumerate(["Is there a cat?", "What is it?\nAnswer shortly, please.", "?"])
] + [Request("text", (), "No picture here.", max_new_tokens=6), Request("two", tuple(SCENES[:2]), "Both?", 6)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_llava(tmp_path_factory.mktemp("tiny-llava"))


@pytest.fixture(scope="module")
def source(folder):
    return ModelSource(str(folder), device="cpu")


def test_answers_do_not_depend_on_the_batch(source):
    alone = list(GenerateBackend(source, batch_size=1).generate(REQUESTS))
    for batch_size in (2, 4, 16):
        assert list(GenerateBackend(source, batch_size).generate(REQUESTS)) == alone


def test_pictures_and_questions_matter(source):
    texts = [answer.text for answer in GenerateBackend(source).generate(REQUESTS)]
    assert len(set(texts)) > 5


def test_an_answer_ends_where_the_model_stops_or_at_the_limit(source, monkeypatch):
    requests = [replace(request, max_new_tokens=limit) for request in REQUESTS[:3] for limit in (3, 40)]
    answers = list(GenerateBackend(source, batch_size=4).generate(requests))
    assert [answer.id for answer in answers] == [request.id for request in requests]
    for request, answer in zip(requests, answers, strict=True):
        assert isinstance(answer, Response)
        assert answer.tokens <= request.max_new_tokens
        assert answer.finish_reason == "stop" or answer.tokens == request.max_new_tokens


def test_unreadable_pictures_are_reported_and_the_rest_is_answered(source):
    requests = [REQUESTS[0], Request("broken", (NamedImage("gone.jpg"),), "?", 4), REQUESTS[1]]
    answers = list(GenerateBackend(source, batch_size=2).generate(requests))
    assert {answer.id for answer in answers} == {request.id for request in requests}
    assert [answer.id for answer in answers if isinstance(answer, Unanswered)] == ["broken"]


def test_no_question_loads_no_model():
    assert list(GenerateBackend(ModelSource("hf:no/such")).generate([])) == []


@pytest.fixture(scope="module")
def zoo_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOELLAVA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def texts_of(requests, **options):
    source = ModelSource("moe-llava-tiny", device="cpu", **options)
    return [answer.text for answer in GenerateBackend(source, batch_size=4).generate(requests)]


@pytest.mark.usefixtures("zoo_cache")
def test_router_noise_follows_its_seed():
    requests = REQUESTS[:4]
    assert texts_of(requests, router_noise_seed=1) == texts_of(requests, router_noise_seed=1)
    assert texts_of(requests, router_noise_seed=1) != texts_of(requests, router_noise_seed=2)
    assert texts_of(requests) == texts_of(requests)


@pytest.mark.usefixtures("zoo_cache")
def test_padding_is_the_requests_choice():
    wide = next(scene for scene in make_scenes(30, 1, "test") if scene.width > scene.height)
    padded = [Request("a", (wide,), "What is it?", max_new_tokens=8)]
    assert texts_of(padded) != texts_of([replace(padded[0], pad_images=False)])


@pytest.mark.usefixtures("zoo_cache")
def test_a_model_is_described_without_loading_it(monkeypatch):
    monkeypatch.setattr(ModelSource, "load", lambda self: pytest.fail("loaded"))
    info = GenerateBackend(ModelSource("moe-llava-tiny", device="cpu")).describe()
    assert (info.family, info.dtype, info.image_size, info.random_weights) == ("moe-llava", "float32", 56, True)


@pytest.mark.usefixtures("zoo_cache")
def test_a_checkpoint_of_the_original_code_is_converted_on_the_way():
    name = str(Path(__file__).parents[2] / "data" / "oracle" / "moe-llava-phi" / "checkpoint")
    assert ModelSource(name).fingerprint == ModelSource("moe-llava-tiny").fingerprint


@pytest.mark.usefixtures("zoo_cache")
def test_router_noise_of_a_dense_model_is_an_error():
    with pytest.raises(UserError, match=r"llava-tiny: has no sparse layer for --router-noise"):
        ModelSource("llava-tiny", device="cpu", router_noise_seed=1).describe("generate")


def spoiled(folder, tmp_path, change):
    """A copy of the model whose weights went through `change`."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    weights = load_file(copy / "model.safetensors")
    change(weights)
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    return ModelSource(str(copy), device="cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop(min(weights)), "1 missing keys, such as"),
        (
            lambda weights: weights.update(extra=next(iter(weights.values())).clone()),
            "1 unexpected keys, such as extra",
        ),
        (lambda weights: weights.update({max(weights): weights[max(weights)][:1].clone()}), "mismatch"),
    ],
)
def test_weights_that_do_not_fit_are_named(folder, tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        spoiled(folder, tmp_path, change).load()


def test_truncated_weights_are_one_line(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UserError, match="copy") as caught:
        ModelSource(str(copy), device="cpu").load()
    assert "\n" not in str(caught.value)


def test_an_empty_folder_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"no config\.json in it"):
        ModelSource(str(tmp_path), device="cpu").load()


def test_a_folder_without_a_model_is_one_line(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no_such_model"}))
    with pytest.raises(UserError, match="no_such_model"):
        ModelSource(str(tmp_path), device="cpu").load()


@pytest.mark.parametrize("device", ["cuda:7", "gpu"])
def test_a_device_that_is_not_there_is_one_line(device):
    with pytest.raises(UserError, match=f"device '{device}' cannot be used"):
        _ = ModelSource("any", device=device).torch_device
