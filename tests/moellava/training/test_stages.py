"""Each stage trains what the original trains, starts from what it should, and says in one line what is missing."""

import json
import re
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from moellava import MoELlavaForConditionalGeneration
from moellava.convert import convert
from moellava.training.errors import TrainingError
from moellava.training.recipe import load_recipe
from moellava.training.stages import build_model, is_trained, mark_trained, plan_stage
from tests.tiny_models import tiny_inputs, tiny_model, tiny_processor
from tests.tiny_training import tiny_recipe
from tests.upstream_names import upstream_names

STAGES = {"stage1": "projector", "stage2": "all-but-tower", "stage3": "moe-as-scripted"}
ORACLE = Path(__file__).parents[2] / "data" / "oracle"


@pytest.fixture(scope="module")
def oracle(oracle_case, tmp_path_factory):
    """A case of which the original's trained parameters are recorded, and its model."""
    stages = json.loads((oracle_case / "io.json").read_text()).get("stages", {})
    recorded = {stage: record for stage, record in stages.items() if "trainable" in record}
    if not recorded:
        pytest.skip("what is trained was not recorded for this case")
    model = MoELlavaForConditionalGeneration.from_pretrained(
        convert(oracle_case / "checkpoint", tmp_path_factory.mktemp("stages") / oracle_case.name)
    )
    return recorded, model, upstream_names(oracle_case / "checkpoint", model)


def test_the_same_parameters_are_trained_as_in_the_original(oracle):
    recorded, model, known = oracle
    sparse = bool(model.config.moe.layers)
    for stage, record in recorded.items():
        if (stage == "stage3") == sparse:  # the recorded names of stages 1 and 2 are those of the dense model
            assert set(mark_trained(model, STAGES[stage])) == {
                target for name in record["trainable"] for target, _ in known[name]
            }


def test_the_paper_s_stage_3_trains_the_moe_layers_only():
    names = mark_trained(tiny_model(), "moe-as-paper")
    assert names
    assert all(re.search(r"language_model\.layers\.[02]\.mlp\.(experts|router)\.", name) for name in names)


def test_the_tower_s_own_feed_forward_layers_are_not_mistaken_for_the_language_model_s():
    assert not is_trained("model.vision_tower.encoder.layers.0.mlp.fc1.weight", "moe-as-scripted")


def test_stage_3_starts_as_the_dense_model(tmp_path):
    recipe = load_recipe(tiny_recipe(tmp_path))
    sparse = build_model(recipe, plan_stage(recipe)).eval()
    dense = MoELlavaForConditionalGeneration.from_pretrained(tmp_path / "base").eval()
    inputs = tiny_inputs("clip", "<image>\nWhat is this?")
    with torch.no_grad():
        torch.testing.assert_close(sparse(**inputs).logits, dense(**inputs).logits, atol=1e-5, rtol=1e-5)


def test_routers_come_from_the_seed(tmp_path):
    def router(seed: int) -> torch.Tensor:
        recipe = load_recipe(tiny_recipe(tmp_path), [f"train.seed={seed}"])
        return build_model(recipe, plan_stage(recipe)).model.sparse_blocks()[0].router.weight

    assert torch.equal(router(1), router(1))
    assert not torch.equal(router(1), router(2))


@pytest.fixture
def phi_backbone(tmp_path):
    """A plain Phi with a head bias, as the hub's is, and a tokenizer."""
    config = AutoConfig.for_model(
        "phi", vocab_size=300, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4
    )
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path / "phi")
    processor = tiny_processor()
    processor.tokenizer.save_pretrained(tmp_path / "phi")
    return model


def assembled(tmp_path: Path, *overrides: str):
    tower = ORACLE / "llava-phi" / "openai" / "clip-vit-tiny-patch14-56"
    path = tiny_recipe(tmp_path, stage=1, template="plain", start_from=None, vision_tower=str(tower))
    recipe = load_recipe(path, [f"backbone={tmp_path / 'phi'}", *overrides])
    plan = plan_stage(recipe)
    return build_model(recipe, plan), plan


def test_stage_1_joins_backbone_and_tower_untouched(tmp_path, phi_backbone):
    model, _ = assembled(tmp_path)
    embeddings = phi_backbone.get_input_embeddings().weight
    assert torch.equal(model.get_input_embeddings().weight, embeddings)
    assert torch.equal(model.lm_head.weight, phi_backbone.lm_head.weight)
    assert model.lm_head.bias is None  # upstream drops Phi-2's
    tower = torch.load(
        ORACLE / "llava-phi/openai/clip-vit-tiny-patch14-56/pytorch_model.bin", map_location="cpu", weights_only=True
    )
    for name, value in model.model.vision_tower.state_dict().items():
        assert torch.equal(value, tower[f"vision_model.{name.removeprefix('vision_model.')}"])
    assert not any(parameter.is_meta for parameter in model.parameters())


def test_stage_1_s_projector_is_drawn_as_torch_draws_linear_layers(tmp_path, phi_backbone):
    model, _ = assembled(tmp_path)
    weight = model.model.multi_modal_projector.linear_1.weight
    bound = weight.shape[1] ** -0.5
    assert weight.abs().max() <= bound
    assert weight.abs().max() > 0.9 * bound


def test_stage_2_takes_the_projector_to_the_backbone(tmp_path, phi_backbone):
    stage_1, _ = assembled(tmp_path)
    with torch.no_grad():
        stage_1.lm_head.weight.zero_()  # must come from the backbone, not from here
    stage_1.save_pretrained(tmp_path / "stage1")
    stage_2, _ = assembled(
        tmp_path, "stage=2", "trains=all-but-tower", "template=v1", f"start_from={tmp_path / 'stage1'}", "train.seed=7"
    )
    projector = stage_1.model.multi_modal_projector.state_dict()
    for name, value in stage_2.model.multi_modal_projector.state_dict().items():
        assert torch.equal(value, projector[name])
    assert torch.equal(stage_2.lm_head.weight, phi_backbone.lm_head.weight)


def test_a_language_model_from_nothing_is_as_large_as_its_tokenizer(tmp_path):
    tiny_processor().tokenizer.save_pretrained(tmp_path / "tokenizer")
    text = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    vision = {"model_type": "clip_vision_model", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    path = tiny_recipe(
        tmp_path,
        stage=1,
        template="plain",
        start_from=None,
        text_config={**text, "num_attention_heads": 4, "tie_word_embeddings": True},
        tokenizer=str(tmp_path / "tokenizer"),
        vision_config={**vision, "num_attention_heads": 2, "image_size": 28, "patch_size": 14},
    )
    recipe = load_recipe(path)
    plan = plan_stage(recipe)
    model = build_model(recipe, plan)
    assert model.config.text_config.vocab_size == len(plan.processor.tokenizer)
    assert model.lm_head.weight is model.get_input_embeddings().weight


def problem(path: Path, *overrides: str) -> str:
    with pytest.raises(TrainingError) as caught:
        plan_stage(load_recipe(path, overrides))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_missing_predecessor_is_named(tmp_path):
    message = problem(tiny_recipe(tmp_path), f"start_from={tmp_path / 'nothing'}")
    assert "nothing is no finished stage (stage 3 goes on from stage 2)" in message


def test_an_unfinished_predecessor_is_told_apart(tmp_path):
    (tmp_path / "half" / "checkpoint-10").mkdir(parents=True)
    assert "unfinished" in problem(tiny_recipe(tmp_path), f"start_from={tmp_path / 'half'}")


def test_a_stage_cannot_be_left_out(tmp_path):
    path = tiny_recipe(tmp_path)
    (tmp_path / "base" / "training.json").write_text(json.dumps({"recipe": {"stage": 1}}))
    assert "is of stage 1; stage 3 starts from stage 2 (skip_stage_2=true lets it" in problem(path)


def test_stage_2_is_left_out_where_that_is_said(tmp_path):
    path = tiny_recipe(tmp_path)
    (tmp_path / "base" / "training.json").write_text(json.dumps({"recipe": {"stage": 1}}))
    recipe = load_recipe(path, ["skip_stage_2=true"])
    assert plan_stage(recipe).config.moe.layers
    assert recipe.as_record() == load_recipe(path).as_record()


def test_a_sparse_predecessor_is_refused(tmp_path):
    path = tiny_recipe(tmp_path)
    tiny_model().save_pretrained(tmp_path / "sparse")
    assert "sparse already" in problem(path, f"start_from={tmp_path / 'sparse'}")


def test_an_upstream_folder_wants_to_be_converted(tmp_path):
    message = problem(tiny_recipe(tmp_path), f"start_from={ORACLE / 'llava-phi' / 'checkpoint'}")
    assert "convert it first: moellava convert" in message


def test_a_template_that_does_not_fit_the_tokenizer_is_refused(tmp_path):
    message = problem(tiny_recipe(tmp_path, template="openchat"))
    assert "ends answers with <|end_of_turn|>, which the tokenizer" in message
    assert "v1" in message.rpartition("fitting are")[2]


def test_an_unknown_template_is_refused(tmp_path):
    assert "template: 'chatml' is not known" in problem(tiny_recipe(tmp_path, template="chatml"))


def test_missing_data_is_refused(tmp_path):
    path = tiny_recipe(tmp_path)
    assert "data.0.file: " in problem(path, "data.0.file=nothing.json")
    assert "data.0.images: nothing is not a folder" in problem(path, "data.0.images=nothing")


def test_a_layer_that_does_not_exist_cannot_be_sparse(tmp_path):
    assert "moe.layers names [9]; there are 4 layers" in problem(tiny_recipe(tmp_path), "moe.layers=[0, 9]")


def test_a_backbone_that_is_nowhere_is_refused(tmp_path):
    path = tiny_recipe(tmp_path, stage=1, start_from=None, vision_tower="./nothing", template="plain")
    assert "backbone: ./nothing is no folder and no hub id" in problem(path, "backbone=./nothing")
