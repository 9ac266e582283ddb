"""`--dry-run`: what a stage would do, from its recipe, configurations and data alone; no weight is read.

Memory per GPU, in bytes, of N parameters of which T are trained, on G GPUs (AdamW's two moments are float32):

    DDP      4 N + 4 T + 8 T, and T * 4 of communication buckets: float32 weights, bfloat16 arithmetic by autocast,
             which keeps a bfloat16 copy (2 N) of the weights during the step
    FSDP2    (4 N + 4 T + 8 T) / G, and two gathered units in bfloat16
    ZeRO-3   (2 N + 2 T + 12 T) / G, and two gathered units in bfloat16: DeepSpeed keeps the weights in bfloat16 and a
             float32 copy of what is trained beside the moments

plus activations: with gradient checkpointing 4 H bytes per token and layer and one layer's 34 H bytes per token
(Korthikanti et al. 2022, equation 2, without attention scores, which SDPA does not keep), without it 34 H in every layer;
and 10 V bytes per token for logits, their float32 copy and gradient. In a sparse layer a token passes top_k experts.
Fragmentation, CUDA's context and the tower's passing activations come on top: about 2 GB.
"""

from collections import Counter

from tabulate import tabulate

from moellava.accounting import Shapes, parameter_shapes, part_of
from moellava.configuration import MoELlavaConfig
from moellava.training.errors import TrainingError
from moellava.training.recipe import Recipe
from moellava.training.stages import is_trained, plan_stage

__all__ = ["activation_bytes", "memory_per_gpu", "training_plan"]

SAMPLE = 64  # items that are looked at for the number of tokens
STRATEGIES = ("DDP", "FSDP2", "ZeRO-3")


def training_plan(recipe: Recipe, num_gpus: int = 8) -> str:
    """The plan as text: parameters by part, data, steps, tokens, and memory for `num_gpus` GPUs.

    Raises:
        TrainingError: as for `stages.plan_stage`, or no usable item.
    """
    from moellava.training.run import load_dataset

    plan = plan_stage(recipe)
    shapes = parameter_shapes(plan.config)
    dataset = load_dataset(recipe, plan)
    chosen = range(0, len(dataset), max(1, len(dataset) // SAMPLE))
    try:
        lengths = [sum(len(conversation) for conversation in dataset[index].conversations) for index in chosen]
    except OSError as error:
        raise TrainingError(f"a picture cannot be read: {error}") from error
    train = recipe.train
    rows = train.per_device_batch_size * train.gradient_accumulation_steps * num_gpus
    steps = train.max_steps or max(1, round(train.epochs * len(dataset) / rows))
    mean = sum(lengths) / len(lengths)
    row = mean if recipe.packing else max(lengths)  # unpacked, rows are padded to the longest
    lines = [
        f"stage {recipe.stage}: trains {recipe.trains}"
        + (f", through LoRA of rank {recipe.lora.rank}" if recipe.lora else ""),
        _parts(shapes, recipe.trains),
        f"{len(dataset):,} items; {num_gpus} GPUs x batch {train.per_device_batch_size} x accumulation "
        f"{train.gradient_accumulation_steps} = {rows:,} items per step; {steps:,} steps",
        f"about {rows * mean:,.0f} tokens per step, picture rows included ({len(lengths)} items looked at, the longest of "
        f"{max(lengths):,} tokens)",
        _memory(recipe, plan.config, shapes, round(train.per_device_batch_size * row), num_gpus),
    ]
    return "\n\n".join(lines)


def memory_per_gpu(shapes: Shapes, trains: str, num_gpus: int) -> dict[str, float]:
    """Bytes for weights, gradients and optimizer by strategy, without activations; formulas above."""
    total = sum(shape.numel() for shape in shapes.values())
    trained = sum(shape.numel() for name, shape in shapes.items() if is_trained(name, trains))
    gathered = 2 * 2 * _largest_unit(shapes)
    return {
        "DDP": 4 * total + 12 * trained + 4 * trained + 2 * total,
        "FSDP2": (4 * total + 12 * trained) / num_gpus + gathered,
        "ZeRO-3": (2 * total + 14 * trained) / num_gpus + gathered,
    }


def activation_bytes(config: MoELlavaConfig, tokens: int, checkpointing: bool) -> float:
    """Bytes of activations of one micro-batch of `tokens` tokens; formulas above."""
    text = config.get_text_config()
    layers, width = text.num_hidden_layers, text.hidden_size
    sparse = len(config.moe.layers)
    feed_forward = 19 * (config.moe.top_k - 1) * width  # of 34, what a further expert adds
    per_layer = 34 * width
    kept = 4 * width * layers + per_layer + (feed_forward if sparse else 0)
    every = per_layer * layers + feed_forward * sparse
    return tokens * ((kept if checkpointing else every) + 10 * text.vocab_size)


def _largest_unit(shapes: Shapes) -> int:
    """Parameters of the largest layer, or of what lies outside the layers (embeddings, head)."""
    units: Counter[str] = Counter()
    for name, shape in shapes.items():
        head, marker, tail = name.partition(".layers.")
        units[f"{head}{marker}{tail.split('.')[0]}" if marker else "outside"] += shape.numel()
    return max(units.values())


def _parts(shapes: Shapes, trains: str) -> str:
    total: Counter[str] = Counter()
    trained: Counter[str] = Counter()
    for name, shape in shapes.items():
        total[part_of(name)] += shape.numel()
        trained[part_of(name)] += shape.numel() * is_trained(name, trains)
    rows = [[part, f"{count:,}", f"{trained[part]:,}"] for part, count in total.items()]
    rows.append(["all", f"{total.total():,}", f"{trained.total():,}"])
    headers = ["parameters of", "total", "trained"]
    return tabulate(rows, headers=headers, disable_numparse=True, colalign=["left", "right", "right"])


def _memory(recipe: Recipe, config: MoELlavaConfig, shapes: Shapes, tokens: int, num_gpus: int) -> str:
    states = memory_per_gpu(shapes, recipe.trains, num_gpus)
    activations = activation_bytes(config, tokens, recipe.train.gradient_checkpointing)
    rows = [
        [name, *(f"{value / 1e9:.1f} GB" for value in (states[name], activations, states[name] + activations))]
        for name in STRATEGIES
    ]
    headers = [f"per GPU, of {num_gpus}", "weights, gradients, AdamW", "activations", "together"]
    note = "Estimates, for bfloat16 with AdamW; how they are made: moellava/training/plan.py."
    if recipe.lora:
        note += " LoRA needs less: the first column counts what it adapts as trained."
    return tabulate(rows, headers=headers, colalign=["left", *["right"] * 3]) + f"\n{note}"
