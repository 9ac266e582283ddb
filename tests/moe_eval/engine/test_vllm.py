"""vLLM answers what `generate` answers: the nano model and every backbone, with pictures and without."""

import sys

import pytest

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
def expected(tmp_path_factory) -> dict[str, dict]:
    """What `generate` answers, by the folder of the model; before vLLM is there, which changes transformers' layers."""
    pytest.importorskip("vllm", reason="vLLM is not installed: .ci/vllm makes an environment for it")
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


def here(folder: str):
    return GenerateBackend(ModelSource(folder, dtype="float32", device="cpu"), 1).generate(REQUESTS)


def by_id(answers) -> dict:
    return {answer.id: answer for answer in answers}


@pytest.mark.parametrize("name", ["nano", *BACKBONES])
def test_answers_are_those_of_generate(expected, name: str):
    folder, answers = expected[name]
    source = find_source(f"vllm:{folder}", SMALL, dtype="float32")
    assert by_id(choose_backend(source)[0].generate(REQUESTS)) == answers
    assert len({answer.text for answer in answers.values()}) > 5


def test_a_prompt_that_is_too_long_holds_up_no_other(expected):
    source = find_source("vllm:moe-llava-nano", "max_model_len=120", dtype="float32")
    requests = [REQUESTS[0], Request("long", (), "word " * 500, 5), REQUESTS[1]]
    answers = by_id(choose_backend(source)[0].generate(requests))
    assert isinstance(answers["long"], Unanswered)
    assert "vLLM: " in answers["long"].reason
    assert not any(isinstance(answers[request.id], Unanswered) for request in REQUESTS[:2])


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


def test_routing_is_refused():
    with pytest.raises(UserError, match="vLLM does not tell how tokens of this model are routed"):
        choose_backend(find_source("vllm:moe-llava-nano"), routing=True)


def test_without_vllm_it_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    backend = choose_backend(find_source("vllm:moe-llava-nano"))[0]
    with pytest.raises(UserError, match=r"vllm:moe-llava-nano: vLLM is not installed here .* docs/vllm.md"):
        list(backend.generate(REQUESTS[:1]))
