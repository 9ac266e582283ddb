"""The prefix engine gives what `generate` gives, one prompt at a time."""

import json
import random
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moe_eval.engine.backend import Request, Unanswered
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.models import ModelSource
from moe_eval.engine.prefix import backend as module
from moe_eval.engine.prefix.backend import PrefixBackend
from moe_eval.engine.prefix.support import TESTED, why_not
from moe_eval.errors import UserError
from moe_eval.images import NamedImage
from moe_eval.mini.world import make_scenes
from moe_eval.registry import find_task, own_tasks
from moellava.convert import convert
from tests.tiny_architectures import spread_weights, write_tiny
from tests.tiny_llava import save_tiny_llava
from tests.tiny_models import BACKBONES, tiny_model, tiny_processor
from tests.tiny_vlms import ARCHITECTURES, save_tiny
from tests.upstream_checkpoints import ORACLE

pytestmark = pytest.mark.usefixtures("one_thread")

SCENES = make_scenes(4, 1, "test")
TEXTS = ("Is there a cat?", "Is there a dog in it?", "What is it?\nAnswer shortly, please.", "?", "Is there a cat?")
REQUESTS = [
    *(
        Request(f"{scene.name}.{number}", (scene,), text, max_new_tokens=3 + 2 * number)
        for number, text in enumerate(TEXTS)
        for scene in SCENES
    ),
    *(Request(f"text{number}", (), f"No picture {'here ' * number}", 6) for number in range(4)),
    Request("two", tuple(SCENES[:2]), "Both?", 6),
    Request("two again", tuple(SCENES[:2]), "Both of them?", 6),
]


def by_id(answers) -> dict:
    return {answer.id: answer for answer in answers}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return ModelSource(str(save_tiny_llava(tmp_path_factory.mktemp("tiny-llava"))), device="cpu")


@pytest.fixture(scope="module")
def alone(source):
    return by_id(GenerateBackend(source, batch_size=1).generate(REQUESTS))


def test_answers_are_those_of_one_prompt_at_a_time(source, alone):
    assert by_id(PrefixBackend(source).generate(REQUESTS)) == alone
    assert len({answer.text for answer in alone.values()}) > 5


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), slots=st.sampled_from([1, 40, 120, 5_000]), count=st.integers(1, len(REQUESTS)))
def test_order_budget_and_neighbours_do_not_matter(source, alone, seed, slots, count):
    some = random.Random(seed).sample(REQUESTS, count)
    answers = by_id(PrefixBackend(source, slots=slots).generate(some))
    assert answers == {request.id: alone[request.id] for request in some}


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("layers", [(0, 2), (0,), ()])
def test_every_backbone(backbone, layers, tmp_path):
    tiny_model(backbone=backbone, layers=layers).save_pretrained(tmp_path)
    tiny_processor().save_pretrained(tmp_path)
    source = ModelSource(str(tmp_path), device="cpu")
    assert by_id(PrefixBackend(source).generate(REQUESTS)) == by_id(GenerateBackend(source, 1).generate(REQUESTS))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_architectures_of_transformers(architecture, tmp_path):
    source = ModelSource(str(save_tiny(architecture, tmp_path)), device="cpu")
    assert why_not(source.config, source.generation_config) is None
    alone = by_id(GenerateBackend(source, 1).generate(REQUESTS))
    assert by_id(PrefixBackend(source).generate(REQUESTS)) == alone
    assert len({answer.text for answer in alone.values()}) > 5


@pytest.mark.parametrize("architecture", sorted({*TESTED} - {"moe_llava", "tinygpt_v", *ARCHITECTURES}))
def test_further_architectures_of_transformers(architecture, tmp_path):
    """With weights so far apart that answers differ, which those of a fresh model hardly do."""
    spread_weights(write_tiny(architecture, tmp_path))
    source = ModelSource(str(tmp_path), device="cpu")
    assert why_not(source.config, source.generation_config) is None
    asked = [request for request in REQUESTS if request.images][::2]
    alone = by_id(GenerateBackend(source, 1).generate(asked))
    assert by_id(PrefixBackend(source).generate(asked)) == alone
    assert len({answer.text for answer in alone.values()}) > 4


def test_tinygpt_v(tmp_path):
    source = ModelSource(str(convert(ORACLE / "tinygpt-v" / "checkpoint", tmp_path / "tinygpt-v")), device="cpu")
    assert why_not(source.config, source.generation_config) is None
    alone = by_id(GenerateBackend(source, 1).generate(REQUESTS))
    assert by_id(PrefixBackend(source).generate(REQUESTS)) == alone
    assert len({answer.text for answer in alone.values()}) > 5


def test_sequences_beyond_a_sliding_window_are_left_to_generate(tmp_path):
    folder = save_tiny("gemma3", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["sliding_window"] = 50  # some of the prompts are longer
    (folder / "config.json").write_text(json.dumps(config))
    source = ModelSource(str(folder), device="cpu")
    asked = [request for request in REQUESTS if not request.images] + REQUESTS[:12]
    assert by_id(PrefixBackend(source).generate(asked)) == by_id(GenerateBackend(source, 1).generate(asked))


def test_routing_is_that_of_questions_asked_alone(tmp_path):
    tiny_model(layers=(0, 2)).save_pretrained(tmp_path)
    tiny_processor().save_pretrained(tmp_path)
    source = ModelSource(str(tmp_path), device="cpu")
    recorded = by_id(GenerateBackend(source, 1, routing=True).generate(REQUESTS))
    assert by_id(PrefixBackend(source, routing=True).generate(REQUESTS)) == recorded
    assert all(answer.routing for answer in recorded.values())


def test_unreadable_pictures_are_reported_and_the_rest_is_answered(source, alone):
    broken = [Request(f"broken{number}", (NamedImage("gone.jpg"),), "?", 4) for number in range(2)]
    answers = by_id(PrefixBackend(source).generate([broken[0], *REQUESTS, broken[1]]))
    assert {name for name, answer in answers.items() if isinstance(answer, Unanswered)} == {"broken0", "broken1"}
    assert {name: answer for name, answer in answers.items() if name in alone} == alone


def test_no_question_loads_no_model():
    assert list(PrefixBackend(ModelSource("hf:no/such")).generate([])) == []


@pytest.mark.parametrize("fits", [3, 1])
def test_where_memory_is_short_less_is_computed_at_once(source, alone, monkeypatch, fits):
    """A device that can take only so many rows, or fails in the middle of an answer."""
    real, sizes = module.answer_pack, []

    def answer_pack(model, pack, *others):
        sizes.append(sum(len(row.branches) for row in pack.rows))
        answers = real(model, pack, *others)
        yield next(answers)
        if sizes[-1] > fits:
            raise torch.OutOfMemoryError("no memory")
        yield from answers

    monkeypatch.setattr(module, "answer_pack", answer_pack)
    backend = PrefixBackend(source)
    answers = list(backend.generate(REQUESTS))
    assert len(answers) == len(REQUESTS)
    assert by_id(answers) == alone
    assert max(sizes) > fits


def test_too_little_memory_for_one_question_is_an_error(source, monkeypatch):
    def answer_pack(*_):
        raise torch.OutOfMemoryError("no memory")
        yield

    monkeypatch.setattr(module, "answer_pack", answer_pack)
    with pytest.raises(UserError, match="too little memory for a single question"):
        list(PrefixBackend(source).generate(REQUESTS[:1]))


@pytest.mark.slow
@pytest.mark.parametrize("name", own_tasks())
def test_the_nano_model_on_every_task(name):
    source = ModelSource("moe-llava-nano", device="cpu")
    task = find_task(name)
    prompt = task.protocol("llava").prompt
    asked = [
        Request(sample.id, sample.images, prompt(sample), min(task.max_new_tokens, 64))
        for sample in task.load("mini").first(60).samples
    ]
    assert by_id(PrefixBackend(source).generate(asked)) == by_id(GenerateBackend(source, 1).generate(asked))


def test_logits_are_those_of_one_prompt(source):
    """Within 1e-5 of a plain forward pass over each prompt, after which the answer begins."""
    from moe_eval.engine.prefix import passes
    from moe_eval.engine.prefix.encoding import Encoder, pack_inputs
    from moe_eval.engine.prefix.packing import Pack
    from moe_eval.engine.prompting import encode

    model, processor = source.load()
    group = [
        replace(request, id=str(number)) for number, request in enumerate(REQUESTS) if request.images == (SCENES[0],)
    ]
    image = SCENES[0].open()
    (row,) = Encoder(processor).rows(group, [image])
    seen = {}
    real = passes._branch_pass

    def keep(*arguments):
        seen["logits"] = real(*arguments)
        return seen["logits"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "_branch_pass", keep)
        list(passes.answer_pack(model, Pack([row]), pack_inputs(Pack([row]), model.device, model.dtype), frozenset()))
    for number, branch in enumerate(row.branches):
        inputs = encode(processor, [(branch.requests[0], [image])])
        with torch.inference_mode():
            plain = model(**inputs).logits[0, -1]
        torch.testing.assert_close(seen["logits"][0, number, -1], plain, atol=1e-5, rtol=0)
