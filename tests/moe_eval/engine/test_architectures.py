"""Every architecture that docs/models.md says runs: questions of all nine tasks in batches, several pictures, none."""

import re
from pathlib import Path

import pytest
from transformers import AutoConfig, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from moe_eval.engine.architectures import REFUSED, needs_torchvision
from moe_eval.engine.backend import Request, Response
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.models import ModelSource
from moe_eval.errors import UserError
from moe_eval.registry import find_task
from tests.tiny_architectures import ARCHITECTURES, ONE_PICTURE, PICTURES_ONLY, write_tiny

pytestmark = pytest.mark.usefixtures("one_thread")
TASKS = ("vqav2", "gqa", "vizwiz", "scienceqa", "textvqa", "pope", "mme", "mmbench", "mmvet")
TABLE = Path(__file__).parents[3] / "docs" / "models.md"


@pytest.fixture(scope="module")
def requests() -> list[Request]:
    """A question of each task, one about two pictures, and one about none."""
    asked = []
    for name in TASKS:
        task = find_task(name)
        sample = task.load("mini").samples[0]
        asked.append(Request(name, sample.images, task.protocol("llava").prompt(sample), max_new_tokens=2))
    two = Request("two", asked[0].images + asked[5].images, "What differs?", max_new_tokens=2)
    return [*asked, two, Request("none", (), "Name two colours.", max_new_tokens=2)]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_questions_are_answered(architecture: str, tmp_path: Path, requests: list[Request]):
    backend = GenerateBackend(ModelSource(str(write_tiny(architecture, tmp_path))), batch_size=4)
    asked = [request for request in requests if request.images or architecture not in PICTURES_ONLY]
    asked = [request for request in asked if len(request.images) < 2 or architecture not in ONE_PICTURE]
    answers = list(backend.generate(asked))
    assert [answer.id for answer in answers] == [request.id for request in asked]
    assert all(isinstance(answer, Response) and answer.tokens for answer in answers)


@pytest.mark.parametrize("architecture", PICTURES_ONLY)
def test_a_model_that_needs_a_picture_says_so_in_one_line(architecture: str, tmp_path: Path, requests: list[Request]):
    backend = GenerateBackend(ModelSource(str(write_tiny(architecture, tmp_path))))
    with pytest.raises(UserError, match=r"cannot prepare none") as error:
        list(backend.generate(requests[-1:]))
    assert "\n" not in str(error.value)


def test_the_table_of_architectures_is_complete():
    ours = {"moe_llava", "qwen_vl", "tinygpt_v"}
    rows = _rows()
    assert rows.keys() == {*MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES} | ours
    assert {name for name, (state, _) in rows.items() if state == "runs"} == {*ARCHITECTURES} | ours


def test_what_does_not_run_is_refused_for_the_reason_in_the_table():
    reasons = {name: reason for name, (state, reason) in _rows().items() if state != "runs"}
    assert {name: reasons[name] for name in REFUSED} == REFUSED
    for name in reasons.keys() - REFUSED.keys():
        if needs_torchvision(PreTrainedConfig(model_type=name)) and name != "perception_lm":
            assert reasons[name].startswith("its pictures need torchvision"), name
        else:
            assert reasons[name] in {"its processor needs torchvision", "needs the package timm"}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("florence2", r"architecture florence2 is refused: encoder and decoder"),
        ("blip", r"architecture blip has no place for a picture in a prompt"),
        ("llama", r"of type 'llama' answers no questions about pictures"),
        ("cohere2_vision", r"architecture cohere2_vision: its pictures need torchvision, .*\[vision\]"),
    ],
)
def test_a_model_that_cannot_answer_is_refused_in_one_line_before_its_weights_are_read(
    kind, message, tmp_path, monkeypatch
):
    monkeypatch.setattr("transformers.utils.is_torchvision_available", lambda: False)
    AutoConfig.for_model(kind).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        ModelSource(str(tmp_path)).load()
    assert "\n" not in str(error.value)


def _rows() -> dict[str, tuple[str, str]]:
    """State and reason by architecture."""
    found = re.findall(r"^\| `([\w.-]+)` \| (\w+) \| ?(.*?) ?\|$", TABLE.read_text(), flags=re.MULTILINE)
    return {name: (state, reason) for name, state, reason in found}
