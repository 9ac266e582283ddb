"""Convert, load and ask a checkpoint of true size: MoE-LLaVA-2.7B x 4 with random bfloat16 weights, in upstream's layout.

`python -m bench.true_size FOLDER` writes the 11 GB checkpoint to FOLDER (once), then converts it and answers one POPE
question about a 336-pixel picture, each in a process of its own, and prints seconds and peak memory above what Python
and torch take by themselves. `--out` writes the figures as JSON. FOLDER needs 23 GB of disk.
"""

import argparse
import json
import multiprocessing
import platform
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path

ORACLE = Path(__file__).parents[1] / "tests" / "data" / "oracle" / "moe-llava-phi"
QUESTION = "Is there a dog in the image?\nAnswer the question using a single word or phrase."


def write_checkpoint(folder: Path) -> dict:
    """A stage-3 checkpoint as upstream leaves it: one `pytorch_model.bin`, tower inside, and the hub's tower beside.

    The tokenizer is the tiny one of the tests with the vocabulary rows of Phi-2.
    """
    import torch
    from transformers import CLIPVisionModel

    from moellava import zoo
    from moellava.convert.families import FAMILIES, origins
    from moellava.modeling import MoELlavaForConditionalGeneration

    config = zoo.architecture("moe-llava-2.7bx4")
    with torch.device("meta"):
        state = MoELlavaForConditionalGeneration(config).state_dict()
    generator = torch.Generator().manual_seed(0)
    tensors: dict[str, torch.Tensor] = {}
    for target, tensor in state.items():
        shape = tuple(tensor.shape)
        for origin in origins(target, shape, FAMILIES["phi"], "model.mm_projector.image_spatial_proj.", TOWER):
            part = torch.empty(shape, device="meta")[origin.target_index].shape
            values = torch.empty(part, dtype=torch.bfloat16).normal_(0.0, 0.02, generator=generator)
            norm = "norm" in origin.source and origin.source.endswith("weight")
            tensors[origin.source] = values + 1 if norm else values
    checkpoint = folder / "checkpoint"
    shutil.copytree(ORACLE / "checkpoint", checkpoint, ignore=shutil.ignore_patterns("*.bin"))
    torch.save(tensors, checkpoint / "pytorch_model.bin")
    upstream = json.loads((ORACLE / "checkpoint" / "config.json").read_text())
    text = config.text_config
    for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size"):
        upstream[key] = getattr(text, key)
    upstream |= {"num_key_value_heads": text.num_key_value_heads, "mm_hidden_size": config.vision_config.hidden_size}
    upstream["mm_image_tower"] = TOWER_NAME
    upstream["moe"] |= {"moe_layers_idx": list(config.moe.layers), "num_experts": [4] * len(config.moe.layers)}
    (checkpoint / "config.json").write_text(json.dumps(upstream, indent=1))
    tower = folder / TOWER_NAME
    CLIPVisionModel(config.vision_config).bfloat16().save_pretrained(tower)
    preprocessor = json.loads((next((ORACLE / "openai").iterdir()) / "preprocessor_config.json").read_text())
    (tower / "preprocessor_config.json").write_text(json.dumps(preprocessor | {"size": 336, "crop_size": 336}))
    return {"bytes": (checkpoint / "pytorch_model.bin").stat().st_size}


TOWER = "model.image_tower.image_tower.vision_model."
TOWER_NAME = "openai/clip-vit-large-patch14-336"


def convert_checkpoint(folder: Path) -> dict:
    """Convert it; the figure that must stay below 4 GB is the peak memory of this step."""
    from moellava.convert import convert

    shutil.rmtree(folder / "converted", ignore_errors=True)
    convert(folder / "checkpoint", folder / "converted")
    return {"bytes": sum(path.stat().st_size for path in (folder / "converted").iterdir())}


def ask(folder: Path) -> dict:
    """Load in bfloat16 and answer one POPE question about one picture, at most 8 new tokens."""
    import torch

    from moellava import MoELlavaForConditionalGeneration, MoELlavaProcessor

    start = time.perf_counter()
    model = MoELlavaForConditionalGeneration.from_pretrained(folder / "converted", dtype=torch.bfloat16).eval()
    processor = MoELlavaProcessor.from_pretrained(folder / "converted")
    loaded = time.perf_counter()
    content = [{"type": "image"}, {"type": "text", "text": QUESTION}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(images=picture(), text=prompt, return_tensors="pt")
    inputs["pixel_values"] = inputs["pixel_values"].to(torch.bfloat16)
    with torch.inference_mode():
        output = model.generate(**inputs, max_new_tokens=8, output_logits=True, return_dict_in_generate=True)
    return {
        "load_seconds": loaded - start,
        "answer_seconds": time.perf_counter() - loaded,
        "prompt_tokens": inputs["input_ids"].shape[1],
        "new_tokens": len(output.logits),
        "finite": bool(torch.isfinite(torch.stack(output.logits)).all()),
    }


def picture():
    """A drawn scene, its longer side 336 pixels."""
    from moe_eval.mini.world import make_scenes

    image = make_scenes(1, 0, "test")[0].open()
    scale = 336 / max(image.size)
    return image.resize((round(image.width * scale), round(image.height * scale)))


def measured(step: Callable[[Path], dict], folder: Path) -> dict:
    """Run a step in a fresh process: its own figures, seconds, and peak memory above the imported libraries."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(step, folder, sender))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        raise SystemExit(f"{step.__name__}: the process ended with code {process.exitcode}") from None


def _run(step: Callable[[Path], dict], folder: Path, sender) -> None:
    import moellava.convert  # noqa: F401  (what is imported is not counted)

    def peak_bytes() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    baseline, start = peak_bytes(), time.perf_counter()
    figures = step(folder)
    figures |= {"seconds": time.perf_counter() - start, "peak_bytes_above_baseline": peak_bytes() - baseline}
    sender.send(figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    figures: dict = {"command": "python -m bench.true_size FOLDER", "machine": platform.machine()}
    steps = [("convert", convert_checkpoint), ("ask", ask)]
    if not (arguments.folder / "checkpoint" / "pytorch_model.bin").exists():
        steps.insert(0, ("write", write_checkpoint))
    for name, step in steps:
        figures[name] = measured(step, arguments.folder)
        print(name, json.dumps(figures[name]), flush=True)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
