"""Sparse vision-language models of transformers answer questions with pictures, and their routing comes along."""

from pathlib import Path

import pytest
from moe_eval.tasks.pope import TASK

from moe_eval.engine.backend import Request, Response
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.models import ModelSource
from moe_eval.errors import UserError
from tests.tiny_architectures import write_tiny
from tests.tiny_sparse import SPECIAL, byte_tokenizer, tiny_sparse_model

pytestmark = pytest.mark.usefixtures("one_thread")


def requests(count: int) -> list[Request]:
    samples = TASK.load("mini").samples[:count]
    return [Request(s.id, s.images, TASK.protocol("llava").prompt(s), max_new_tokens=3) for s in samples]


NEWER_SPARSE = ("gemma4", "deepseek_ocr2", "dots3_note", "ernie4_5_vl_moe", "glm5_next", "qwen4_exp")


@pytest.mark.parametrize("architecture", [*SPECIAL, *NEWER_SPARSE])
def test_questions_are_answered_and_the_routing_is_recorded(architecture: str, tmp_path: Path):
    source = ModelSource(str(write_tiny(architecture, tmp_path)))
    backend = GenerateBackend(source, routing=True)
    described = backend.describe().parameters
    assert described is not None
    assert described.activated < described.total
    answers = list(backend.generate(requests(2)))
    for answer in answers:
        assert isinstance(answer, Response)
        of_layers = [[sum(map(sum, layer)) for layer in answer.routing.counts[m]] for m in ("image", "text")]
        tokens = answer.routing.prompt_tokens + answer.tokens - 1
        assert {image + text for image, text in zip(*of_layers, strict=True)} == {2 * tokens}
        assert min(of_layers[0]) > 0


def test_a_processor_that_needs_torchvision_is_one_line(tmp_path: Path):
    tiny_sparse_model("llama4").save_pretrained(tmp_path)
    byte_tokenizer(("<|image_start|>", "<|image_end|>", "<|image|>"), {}).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"image_processor_type": "Llama4ImageProcessor"}')
    (tmp_path / "processor_config.json").write_text('{"processor_class": "Llama4Processor"}')
    with pytest.raises(UserError, match=r"(?i)torchvision") as error:
        ModelSource(str(tmp_path)).load()
    assert "\n" not in str(error.value)
