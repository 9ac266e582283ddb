"""Backbones, key names and settings that the recorded cases do not have, made out of those that they have."""

import json
from pathlib import Path

import pytest
import torch

from moellava import MoELlavaConfig, MoELlavaForConditionalGeneration, MoELlavaProcessor
from moellava.convert import convert
from tests.upstream_checkpoints import change_config, change_weights, copy_checkpoint, read_weights, tower_folder

State = dict[str, torch.Tensor]


def converted(source: Path) -> tuple[MoELlavaConfig, State]:
    """Configuration and tensors of the converted form of a checkpoint."""
    folder = source.parent.parent / "converted"
    out = convert(source, folder / str(len(list(folder.glob("*")))))
    return MoELlavaConfig.from_pretrained(out), read_weights(out)


def assert_equal(found: State, expected: State) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def as_qwen1_5(state: State) -> State:
    """Tensors of a first-generation Qwen under the names that Qwen1.5 gives them."""
    renamed = {}
    for name, tensor in state.items():
        name = name.replace("transformer.h.", "model.layers.").replace("transformer.", "model.")
        for old, new in (
            ("model.wte.", "model.embed_tokens."),
            ("model.ln_f.", "model.norm."),
            (".ln_1.", ".input_layernorm."),
            (".ln_2.", ".post_attention_layernorm."),
            (".attn.c_proj.", ".self_attn.o_proj."),
            (".w1.", ".up_proj."),
            (".w2.", ".gate_proj."),
            (".c_proj.", ".down_proj."),
        ):
            name = name.replace(old, new)
        if ".attn.c_attn." in name:
            for letter, part in zip("qkv", tensor.chunk(3), strict=True):
                renamed[name.replace(".attn.c_attn.", f".self_attn.{letter}_proj.")] = part.clone()
        else:
            renamed[name] = tensor
    return renamed


def make_qwen1_5(source: Path, **changes: object) -> None:
    """Turn a copy of moe-llava-qwen into a Qwen1.5 of equal tensors."""
    change_weights(source / "pytorch_model.bin", as_qwen1_5)
    change_config(
        source,
        model_type="moe_llava_qwen1_5",
        intermediate_size=80,
        num_key_value_heads=3,
        rms_norm_eps=1e-6,
        rope_theta=10000.0,
        hidden_act="silu",
        **changes,
    )


def test_qwen_of_both_generations_becomes_one_model(tmp_path):
    source = copy_checkpoint("moe-llava-qwen", tmp_path)
    first_config, first = converted(source)
    make_qwen1_5(source)
    second_config, second = converted(source)
    assert_equal(second, first)
    for key in ("hidden_size", "intermediate_size", "num_key_value_heads", "rms_norm_eps", "rope_parameters"):
        assert getattr(second_config.text_config, key) == getattr(first_config.text_config, key)
    assert second_config.text_config.model_type == first_config.text_config.model_type == "qwen2"


@pytest.mark.parametrize("stored", [False, True])
def test_a_tied_head_is_the_embedding(tmp_path, stored):
    source = copy_checkpoint("moe-llava-qwen", tmp_path)
    make_qwen1_5(source, tie_word_embeddings=True)
    head = "lm_head.weight"

    def tie(state: State) -> None:
        embedding = state["model.embed_tokens.weight"]
        state.pop(head)
        if stored:
            state[head] = embedding

    change_weights(source / "pytorch_model.bin", tie)
    model = MoELlavaForConditionalGeneration.from_pretrained(convert(source, tmp_path / "out"))
    assert model.lm_head.weight is model.get_input_embeddings().weight


def test_a_sparse_llama_differs_from_mistral_in_its_type_only(tmp_path):
    source = copy_checkpoint("moe-llava-mistral", tmp_path)
    _, mistral = converted(source)
    change_config(source, model_type="moe_llava_llama")
    config, llama = converted(source)
    assert config.text_config.model_type == "llama"
    assert_equal(llama, mistral)


def test_older_uploads_of_llava_are_called_llava(tmp_path):
    source = copy_checkpoint("llava-1.5", tmp_path)
    expected_config, expected = converted(source)
    change_config(source, model_type="llava", rope_theta=..., attention_bias=...)
    config, found = converted(source)
    assert_equal(found, expected)
    assert config.text_config.to_dict() == expected_config.text_config.to_dict()
    assert config.codebase == "llava"


def test_a_dense_llama_may_come_from_moe_llava(tmp_path):
    source = copy_checkpoint("llava-1.5", tmp_path)
    _, expected = converted(source)
    tower = json.loads((source / "config.json").read_text())["mm_vision_tower"]
    change_config(source, mm_vision_tower=..., mm_projector_type=..., mm_image_tower=tower)
    change_config(source, image_projector_type="mlp2x_gelu")
    for shard in source.glob("*.bin"):
        change_weights(
            shard,
            lambda state: {
                name.replace("mm_projector.", "mm_projector.image_spatial_proj."): t for name, t in state.items()
            },
        )
    config, found = converted(source)
    assert_equal(found, expected)
    assert config.codebase == "moe-llava"


def test_a_copy_of_the_tower_inside_is_ignored_where_the_tower_lies_beside(tmp_path):
    source = copy_checkpoint("llava-1.5", tmp_path)
    _, expected = converted(source)
    tower = {k: t for k, t in read_weights(tower_folder(source)).items() if k.startswith("vision_model.")}
    copies = {f"model.vision_tower.vision_tower.{name}": torch.zeros_like(tensor) for name, tensor in tower.items()}
    change_weights(next(source.glob("*.bin")), lambda state: {**state, **copies})
    _, found = converted(source)
    assert_equal(found, expected)


def test_layers_may_have_different_numbers_of_experts(tmp_path):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    _, expected = converted(source)
    router = "model.layers.0.mlp.deepspeed_moe.gate.wg.weight"

    def drop_last_expert(state: State) -> State:
        fourth = "model.layers.0.mlp.deepspeed_moe.experts.deepspeed_experts.3."
        kept = {name: tensor for name, tensor in state.items() if not name.startswith(fourth)}
        return {**kept, router: state[router][:3].clone()}

    change_weights(source / "pytorch_model.bin", drop_last_expert)
    change_config(source, moe={"num_experts": [3, 4]})
    config, found = converted(source)
    assert config.moe.experts_per_layer() == {0: 3, 2: 4}
    for name, tensor in found.items():
        smaller = "layers.0.mlp.experts." in name or "layers.0.mlp.router." in name
        assert torch.equal(tensor, expected[name][:3] if smaller else expected[name])


def test_sparse_layers_are_the_listed_ones_whatever_the_mode_says(tmp_path):
    source = copy_checkpoint("moe-llava-mistral", tmp_path)
    change_config(source, moe={"moe_mode": "sparse"})
    config, _ = converted(source)
    assert config.moe.layers == [2, 3]


def test_settings_of_the_routers_are_kept(tmp_path):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    settings = {"capacity_factor": 1.25, "eval_capacity_factor": 3.0, "min_capacity": 4, "router_aux_loss_coef": 0.05}
    change_config(source, moe={**settings, "top_k_experts": 1})
    moe = converted(source)[0].moe
    assert {name: getattr(moe, name) for name in settings} == settings
    assert moe.top_k == 1
    assert not moe.drop_tokens
    assert moe.second_choice == "argmax"


@pytest.mark.parametrize("moe", [{}, {"moe_enable": False, "moe_layers_idx": [0, 2], "num_experts": [4, 4]}])
def test_a_configuration_may_carry_a_moe_block_without_use(tmp_path, moe):
    source = copy_checkpoint("llava-phi", tmp_path)
    change_config(source, moe=moe)
    assert converted(source)[0].moe.layers == []


@pytest.mark.parametrize(
    ("case", "key", "changed", "expected"),
    [
        ("moe-llava-stablelm", "rope_pct", 0.5, ("partial_rotary_factor", 0.5)),
        ("moe-llava-stablelm", "rope_theta", 5e5, ("rope_theta", 5e5)),
        ("moe-llava-qwen", "rotary_emb_base", 5e5, ("rope_theta", 5e5)),
        ("moe-llava-phi", "partial_rotary_factor", 0.25, ("partial_rotary_factor", 0.25)),
        ("llava-1.5", "rope_scaling", {"type": "linear", "factor": 2.0}, ("factor", 2.0)),
    ],
)
def test_rotary_settings_are_read_under_every_name(tmp_path, case, key, changed, expected):
    source = copy_checkpoint(case, tmp_path)
    change_config(source, **{key: changed})
    rope = converted(source)[0].text_config.rope_parameters
    name, value = expected
    assert rope[name] == value


@pytest.mark.parametrize(
    ("case", "key", "ours", "value"),
    [
        ("moe-llava-stablelm", "norm_eps", "layer_norm_eps", 0.5),
        ("moe-llava-qwen", "layer_norm_epsilon", "rms_norm_eps", 0.5),
        ("moe-llava-mistral", "rms_norm_eps", "rms_norm_eps", 0.5),
        ("moe-llava-phi", "resid_pdrop", "resid_pdrop", 0.5),
        ("moe-llava-mistral", "sliding_window", "sliding_window", 64),
    ],
)
def test_settings_are_read_under_every_name(tmp_path, case, key, ours, value):
    source = copy_checkpoint(case, tmp_path)
    change_config(source, **{key: value})
    assert getattr(converted(source)[0].text_config, ours) == value


@pytest.mark.parametrize(("aspect_ratio", "do_pad"), [("pad", True), ("square", False), (..., False)])
def test_pictures_are_padded_if_the_checkpoint_was_trained_so(tmp_path, aspect_ratio, do_pad):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    change_config(source, image_aspect_ratio=aspect_ratio)
    processor = MoELlavaProcessor.from_pretrained(convert(source, tmp_path / "out"))
    assert processor.image_processor.do_pad is do_pad


@pytest.mark.parametrize(
    ("case", "end"),
    [
        ("moe-llava-phi", "<|endoftext|>"),
        ("moe-llava-stablelm", "<|endoftext|>"),
        ("moe-llava-qwen", "<|endoftext|>"),
        ("moe-llava-mistral", "<|end_of_turn|>"),
        ("llava-1.5", "</s>"),
    ],
)
def test_generation_is_greedy_and_stops_at_the_end_marker(tmp_path, case, end):
    out = convert(copy_checkpoint(case, tmp_path), tmp_path / "out")
    generation = MoELlavaForConditionalGeneration.from_pretrained(out).generation_config
    tokenizer = MoELlavaProcessor.from_pretrained(out).tokenizer
    assert tokenizer.convert_tokens_to_ids(end) in generation.eos_token_id
    assert not generation.do_sample
    assert not generation.num_beams or generation.num_beams == 1
    assert generation.pad_token_id == tokenizer.pad_token_id


@pytest.mark.parametrize("case", ["moe-llava-phi", "moe-llava-stablelm", "moe-llava-qwen"])
def test_ids_that_upstream_cuts_off_never_come_out(tmp_path, case):
    out = convert(copy_checkpoint(case, tmp_path), tmp_path / "out")
    model = MoELlavaForConditionalGeneration.from_pretrained(out).float()
    processor = MoELlavaProcessor.from_pretrained(out)
    length = processor.tokenizer.convert_tokens_to_ids("<image>")  # added last, at upstream's length
    with torch.no_grad():
        model.lm_head.weight[length:] *= 1000
    inputs = processor(text="What?", return_tensors="pt")
    ids = model.generate(**inputs, min_new_tokens=16, max_new_tokens=16, pad_token_id=0)
    assert model.config.text_config.vocab_size > length
    assert ids.max() < length
