"""Convert checkpoints of true size of the compared systems: `python -m bench.peers FOLDER`.

Writes Qwen-VL (ten shards, bfloat16, 19.3 GB) and TinyGPT-V (its four files, 7.9 GB) with made-up weights in their
published layouts to FOLDER, converts each in a process of its own, and prints seconds and peak memory above what Python
and torch take by themselves. Each is removed before the next comes. FOLDER needs 40 GB of disk.
"""

import argparse
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from bench.true_size import measured

ORACLE = Path(__file__).parents[1] / "tests" / "data" / "oracle"
SHARDS = 10
QWEN_SIZES = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "kv_channels": 128,
    "intermediate_size": 22016,
    "vocab_size": 151936,
    "seq_length": 2048,
}
QWEN_VISUAL = {"heads": 16, "image_size": 448, "layers": 48, "output_dim": 4096, "patch_size": 14, "width": 1664}


def source_shapes(shapes: dict[str, torch.Size], origins_of: Callable) -> dict[str, torch.Size]:
    """Shapes of the published tensors that ours come from."""
    from moellava.convert.plan import plan_of

    def part(target: str, index: tuple) -> torch.Tensor:
        return torch.empty(shapes[target], device="meta")[index]

    parts = {
        name: [part(target, origin.target_index) for target, origin in targets]
        for name, targets in plan_of(shapes, origins_of).items()
    }
    return {name: (of_name[0] if len(of_name) == 1 else torch.cat(of_name)).shape for name, of_name in parts.items()}


def filled(shapes: dict[str, torch.Size], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Weights that repeat one stretch of random numbers: what they are does not matter here."""
    stretch = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0)).mul_(0.02).to(dtype)
    return {
        name: stretch.repeat(-(-shape.numel() // len(stretch)))[: shape.numel()].view(shape).clone()
        for name, shape in shapes.items()
    }


def write_qwen_vl(folder: Path) -> dict:
    from moellava.peers import QwenVLForConditionalGeneration
    from moellava.peers.qwen_vl import convert

    shutil.copytree(ORACLE / "qwen-vl" / "checkpoint", folder / "checkpoint", ignore=shutil.ignore_patterns("*.bin"))
    path = folder / "checkpoint" / "config.json"
    config = json.loads(path.read_text()) | QWEN_SIZES
    config["visual"] |= QWEN_VISUAL
    path.write_text(json.dumps(config))
    model_config = convert.configuration_of(config, convert.load_tokenizer(path.parent, config))
    with torch.device("meta"):
        ours = {name: t.shape for name, t in QwenVLForConditionalGeneration(model_config).state_dict().items()}
    heads = QWEN_VISUAL["heads"]
    shapes = source_shapes(ours, lambda target, shape: convert.origins_of(target, shape, heads))
    return write_shards(path.parent, shapes)


def write_shards(folder: Path, shapes: dict[str, torch.Size]) -> dict:
    names = list(shapes)
    weight_map = {}
    for number in range(SHARDS):
        of_shard = names[number * len(names) // SHARDS : (number + 1) * len(names) // SHARDS]
        file = f"pytorch_model-{number + 1:05d}-of-{SHARDS:05d}.bin"
        torch.save(filled({name: shapes[name] for name in of_shard}, torch.bfloat16), folder / file)
        weight_map |= dict.fromkeys(of_shard, file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return {"bytes": sum(path.stat().st_size for path in folder.glob("*.bin"))}


def write_tinygpt_v(folder: Path) -> dict:
    checkpoint = folder / "checkpoint"
    skipped = shutil.ignore_patterns("*.pth", "*.safetensors", "dimensions.json")
    shutil.copytree(ORACLE / "tinygpt-v" / "checkpoint", checkpoint, ignore=skipped)
    path = checkpoint / "phi-2" / "config.json"
    sizes = {"hidden_size": 2560, "intermediate_size": 10240, "num_attention_heads": 32, "num_hidden_layers": 32}
    path.write_text(json.dumps(json.loads(path.read_text()) | sizes | {"vocab_size": 51200}))
    phi = {f"model.layers.{layer}.{name}": shape for layer in range(32) for name, shape in PHI_LAYER.items()}
    phi |= {"model.embed_tokens.weight": (51200, 2560), "lm_head.weight": (51200, 2560), "lm_head.bias": (51200,)}
    phi |= {"model.final_layernorm.weight": (2560,), "model.final_layernorm.bias": (2560,)}
    eva = {f"blocks.{block}.{name}": shape for block in range(40) for name, shape in EVA_BLOCK.items()}
    eva |= {"cls_token": (1, 1, 1408), "pos_embed": (1, 257, 1408)}
    eva |= {"patch_embed.proj.weight": (1408, 3, 14, 14), "patch_embed.proj.bias": (1408,)}
    former = dict(qformer())
    prefix = "llama_model.base_model.model.model.layers."
    trained = {f"{prefix}{layer}.{name}": shape for layer in range(32) for name, shape in TRAINED_LAYER.items()}
    trained |= {"llama_proj.weight": (4096, 768), "llama_proj.bias": (4096,)}
    trained |= {"llama_proj2.weight": (2560, 4096), "llama_proj2.bias": (2560,)}
    torch.save(filled(as_sizes(phi), torch.float16), checkpoint / "phi-2" / "pytorch_model.bin")
    torch.save(filled(as_sizes(eva), torch.float16), checkpoint / "eva_vit_g.pth")
    vision = {"ln_vision.weight": (1408,), "ln_vision.bias": (1408,)}
    torch.save(
        {"model": filled(as_sizes(former | vision), torch.float32)}, checkpoint / "blip2_pretrained_flant5xxl.pth"
    )
    torch.save({"model": filled(as_sizes(former | trained), torch.float32)}, checkpoint / "TinyGPT-V_for_Stage4.pth")
    return {"bytes": sum(path.stat().st_size for path in checkpoint.rglob("*") if path.is_file())}


def as_sizes(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Size]:
    return {name: torch.Size(shape) for name, shape in shapes.items()}


PHI_LAYER: dict[str, tuple[int, ...]] = {
    "self_attn.query_key_value.weight": (7680, 2560),
    "self_attn.query_key_value.bias": (7680,),
    "self_attn.dense.weight": (2560, 2560),
    "self_attn.dense.bias": (2560,),
    "mlp.fc1.weight": (10240, 2560),
    "mlp.fc1.bias": (10240,),
    "mlp.fc2.weight": (2560, 10240),
    "mlp.fc2.bias": (2560,),
    "input_layernorm.weight": (2560,),
    "input_layernorm.bias": (2560,),
}
EVA_BLOCK: dict[str, tuple[int, ...]] = {
    "norm1.weight": (1408,),
    "norm1.bias": (1408,),
    "attn.q_bias": (1408,),
    "attn.v_bias": (1408,),
    "attn.qkv.weight": (4224, 1408),
    "attn.proj.weight": (1408, 1408),
    "attn.proj.bias": (1408,),
    "norm2.weight": (1408,),
    "norm2.bias": (1408,),
    "mlp.fc1.weight": (6144, 1408),
    "mlp.fc1.bias": (6144,),
    "mlp.fc2.weight": (1408, 6144),
    "mlp.fc2.bias": (1408,),
}
TRAINED_LAYER: dict[str, tuple[int, ...]] = {
    "self_attn.query_key_value.lora_A.weight": (64, 2560),
    "self_attn.query_key_value.lora_B.weight": (7680, 64),
    "self_attn.dense.lora_A.weight": (64, 2560),
    "self_attn.dense.lora_B.weight": (2560, 64),
    "self_attn.q_layernorm.weight": (80,),
    "self_attn.k_layernorm.weight": (80,),
    "input_layernorm.weight": (2560,),
    "post_layernorm.weight": (2560,),
}


def qformer() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the Q-Former."""
    from transformers import Blip2QFormerConfig, Blip2QFormerModel

    with torch.device("meta"):
        state = Blip2QFormerModel(Blip2QFormerConfig()).state_dict()
    yield "query_tokens", (1, 32, 768)
    for name, tensor in state.items():
        name = name.replace("attention.attention.", "attention.self.")
        name = name.replace("layernorm.", "embeddings.LayerNorm.") if name.startswith("layernorm.") else name
        yield f"Qformer.bert.{name}", tuple(tensor.shape)


def convert_checkpoint(folder: Path) -> dict:
    """Convert it; the figure that must stay below 4 GB is the peak memory of this step."""
    from moellava.convert import convert

    convert(folder / "checkpoint", folder / "converted")
    return {"bytes": sum(path.stat().st_size for path in (folder / "converted").iterdir() if path.is_file())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    figures: dict = {"command": "python -m bench.peers FOLDER"}
    for name, write in (("qwen-vl", write_qwen_vl), ("tinygpt-v", write_tinygpt_v)):
        folder = arguments.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for step, function in (("write", write), ("convert", convert_checkpoint)):
            figures[f"{name} {step}"] = measured(function, folder)
            print(name, step, json.dumps(figures[f"{name} {step}"]), flush=True)
        shutil.rmtree(folder)
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
