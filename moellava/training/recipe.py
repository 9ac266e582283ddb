"""What one training stage is: a YAML file, checked key by key before anything is loaded.

A recipe may start from another one (`extends: FILE`, relative to its own folder) and be changed on the command line
(`train.learning_rate=1e-5`, `data.0.file=...`). Mappings are merged, everything else is replaced.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from moellava.configuration import MoEConfig
from moellava.training.errors import TrainingError

__all__ = [
    "DataRecipe",
    "LoraRecipe",
    "MoERecipe",
    "PackingRecipe",
    "Recipe",
    "TrainRecipe",
    "Trains",
    "find_recipe",
    "load_recipe",
    "recipe_names",
]

Trains = Literal["projector", "all-but-tower", "all", "moe-as-scripted", "moe-as-paper"]
LayerChoice = Literal["alternate", "all", "first_half", "second_half"]


def _path(value: object) -> object:
    return Path(value).expanduser() if isinstance(value, str) and value else value


AnyPath = Annotated[Path, BeforeValidator(_path)]


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class DataRecipe(_Section):
    """One data file in LLaVA's format (JSON or JSONL) and the folder that its picture names start from."""

    file: AnyPath
    images: AnyPath | None = None


class LoraRecipe(_Section):
    """Low-rank adapters (PEFT) beside the linear layers of the language model's attention and feed-forward parts.

    The projector, and in stage 3 the routers, are trained in full. The adapters are merged when the stage is saved.
    """

    rank: int = Field(default=128, gt=0)
    alpha: int = Field(default=256, gt=0)
    dropout: float = Field(default=0.05, ge=0, lt=1)


class PackingRecipe(_Section):
    """All conversations of a batch in one row without padding, each attending to itself.

    With `share_prefix` the rounds of one item (`split_rounds`) hold their common beginning, the picture, once.
    """

    share_prefix: bool = False


class MoERecipe(_Section):
    """Stage 3's sparse layers; the keys are those of `moellava.MoEConfig`, the defaults those of the scripts, except
    that nothing is dropped and routing is deterministic."""

    num_experts: int = Field(default=4, ge=1)
    top_k: int = Field(default=2, ge=1)
    layers: LayerChoice | list[int] = "alternate"
    router_aux_loss_coef: float = Field(default=0.01, ge=0)
    drop_tokens: bool = False
    capacity_factor: float = 1.5
    min_capacity: int = 0
    second_choice: Literal["argmax", "gumbel"] = "argmax"
    count_padding: bool = False

    @model_validator(mode="after")
    def _enough_experts(self) -> Self:
        if self.top_k > self.num_experts:
            raise ValueError(f"top_k is {self.top_k}, but there are {self.num_experts} experts")
        return self

    def config(self, num_layers: int) -> MoEConfig:
        """The `moe` block of a model with `num_layers` decoder layers.

        Source: MoE-LLaVA `initialize_moe_modules` (`moe_mode` sparse, dense, first_half, second_half).
        """
        half = num_layers // 2
        chosen = {
            "alternate": range(0, num_layers, 2),
            "all": range(num_layers),
            "first_half": range(half),
            "second_half": range(half, num_layers),
        }
        layers = list(self.layers if isinstance(self.layers, list) else chosen[self.layers])
        return MoEConfig(**{**self.model_dump(), "layers": layers})


class EvaluateRecipe(_Section):
    """Benchmarks that are asked while a stage is trained, by `moe_eval.callback.EvaluationCallback`.

    Its numbers stand in the training log, its answers in `evaluations` in the output folder.
    """

    tasks: list[str]
    every_steps: int = Field(gt=0)
    data: str = "mini"
    limit: int | None = Field(default=None, gt=0)


class TrainRecipe(_Section):
    """Schedule, batch and optimizer. Steps are optimizer steps; batches are counted in rows (a packed row is one)."""

    epochs: float = Field(default=1, gt=0)
    max_steps: int | None = Field(default=None, gt=0)
    per_device_batch_size: int = Field(gt=0)
    gradient_accumulation_steps: int = Field(default=1, gt=0)
    learning_rate: float = Field(gt=0)
    optimizer: Literal["adamw", "muon"] = "adamw"
    muon_learning_rate: float = Field(default=0.02, gt=0)
    adam_betas: tuple[float, float] = Field(default=(0.9, 0.999), strict=False)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=0.0, ge=0)
    schedule: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    warmup_ratio: float = Field(default=0.03, ge=0, lt=1)
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    gradient_checkpointing: bool = False
    group_by_modality_length: bool = True
    seed: int = Field(default=42, ge=0, lt=1 << 32)
    workers: int = Field(default=0, ge=0)
    log_steps: int = Field(default=1, gt=0)
    save_steps: int = Field(default=500, gt=0)
    keep_checkpoints: int = Field(default=1, gt=0)
    tensorboard: bool = True
    dead_expert_share: float = Field(default=0.01, ge=0, lt=1)
    peak_tflops: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _saves_fall_on_log_lines(self) -> Self:
        # A log line averages over log_steps; a checkpoint inside such a window would lose the first part of it.
        if self.save_steps % self.log_steps:
            raise ValueError(f"save_steps ({self.save_steps}) must be a multiple of log_steps ({self.log_steps})")
        return self


class Recipe(_Section):
    """One stage. See `docs/training.md` for what each key means and `recipes/` for the published ones.

    Args:
        stage: "tower" trains a small vision tower from nothing; 1, 2 and 3 are the paper's; "finetune" goes on with a
            finished model, dense or sparse, as it is, on data of one's own.
        output: folder of the finished stage; its checkpoints lie in it until then.
        backbone: hub id or folder of the language model; or `text_config` and `tokenizer` for one from nothing.
        vision_tower: hub id or folder of the tower; or `vision_config` for one from nothing.
        vision_feature_layer: the tower's layer whose output the projector sees; -1 is the last.
        background_weight: of patches that show nothing, in the loss of the stage "tower".
        start_from: folder of the finished previous stage, or of the model to fine-tune. With a `backbone` only its
            projector is taken.
        trains: what is trained.
        codebase: whose habits the model follows: "moe-llava" (the default of a new model) leaves `<image>` where it stands
            in training text and shows ScienceQA's and MM-Vet's pictures unpadded at evaluation, as its authors do;
            "llava" moves it to the front, and pads everywhere.
        save_dtype: of the finished weights; "auto" is the precision of training.
        evaluate: benchmarks to ask every so many steps; it changes nothing that is trained.
        skip_stage_2: let stage 3 go on from stage 1, as in the paper's ablation of the stages.
        template: conversation format of the training text: "plain" (stage 1), one of `stages.TEMPLATES`, or null for
            the chat template that `start_from` was saved with.
    """

    stage: Literal["tower", 1, 2, 3, "finetune"]
    output: AnyPath
    trains: Trains = "all-but-tower"
    backbone: str | None = None
    text_config: dict[str, Any] | None = None
    tokenizer: AnyPath | None = None
    vision_tower: str | None = None
    vision_config: dict[str, Any] | None = None
    vision_feature_layer: int = -2
    background_weight: float = Field(default=0.1, ge=0)
    start_from: AnyPath | None = None
    skip_stage_2: bool = False
    lora: LoraRecipe | None = None
    template: str | None = None
    data: list[DataRecipe] = []
    packing: PackingRecipe | None = None
    split_rounds: bool | Literal["all"] = False
    pad_images: bool = True
    max_length: int = Field(default=2048, gt=0)
    codebase: Literal["moe-llava", "llava"] | None = None
    moe: MoERecipe | None = None
    save_dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    evaluate: EvaluateRecipe | None = None
    train: TrainRecipe

    def as_record(self) -> dict[str, Any]:
        """What is written beside weights: all that decides them; `start_from` says where `skip_stage_2` only allows it."""
        return self.model_dump(mode="json", exclude={"evaluate", "skip_stage_2"})

    @model_validator(mode="after")
    def _parts_fit_the_stage(self) -> Self:
        if self.stage == "tower":
            return self
        if not self.data:
            raise ValueError("data: names no file")
        if self.stage == "finetune":
            return self._takes_the_whole_model()
        if self.backbone and self.text_config:
            raise ValueError("backbone and text_config both name a language model; keep one")
        if self.text_config and not self.tokenizer:
            raise ValueError("text_config makes a language model from nothing; it needs tokenizer: FOLDER, too")
        if self.vision_tower and self.vision_config:
            raise ValueError("vision_tower and vision_config both name a tower; keep one")
        if self.stage == 1 and not (self.start_from or self.backbone or self.text_config):
            raise ValueError("stage 1 needs a language model: backbone: HUB_ID, or text_config and tokenizer")
        if ((self.stage == 1 and not self.start_from) or self.backbone) and not (
            self.vision_tower or self.vision_config
        ):
            raise ValueError("a new model needs a tower: vision_tower: HUB_ID (or vision_config)")
        if self.stage in (2, 3) and not self.start_from:
            raise ValueError(f"stage {self.stage} needs start_from: the folder of stage {self.stage - 1}")
        if self.stage == 3 and (self.backbone or self.text_config):
            raise ValueError("stage 3 takes the whole model of start_from; leave backbone and text_config out")
        if self.stage == 3 and not self.moe:
            raise ValueError("stage 3 needs a moe section (num_experts, top_k, layers)")
        if self.stage != 3 and (self.moe or self.trains.startswith("moe-")):
            raise ValueError(f"stage {self.stage} is dense: moe and trains: {self.trains} belong to stage 3")
        if self.skip_stage_2 and self.stage != 3:
            raise ValueError(f"skip_stage_2 is for stage 3, and this is stage {self.stage}")
        if self.stage == 1 and self.lora:
            raise ValueError("lora is for stages 2 and 3; stage 1 trains the projector")
        return self

    def _takes_the_whole_model(self) -> Self:
        if not self.start_from:
            raise ValueError("stage finetune needs start_from: the folder of a finished model")
        for key in ("backbone", "text_config", "tokenizer", "vision_tower", "vision_config", "moe"):
            if getattr(self, key):
                raise ValueError(f"stage finetune takes the whole model of start_from as it is; leave {key} out")
        return self


def recipe_names() -> list[str]:
    """Names of the recipes that come with the library, a stage each."""
    return sorted(path.stem for path in _shipped().glob("*.yaml"))


def find_recipe(name: str | Path) -> Path:
    """The file of a recipe: a file of the user's own, or one that comes with the library, by its name.

    `recipes/NAME.yaml`, as it is called in a checkout, is understood everywhere; so are `accelerate/NAME` and
    `base/NAME`, which are no stages of their own.

    Raises:
        TrainingError: one line that names the nearest recipes.
    """
    own = Path(name).expanduser()
    if own.is_file():
        return own
    called = own.as_posix().removeprefix("recipes/").removesuffix(".yaml")
    shipped = _shipped() / f"{called}.yaml"
    # Anything else that looks like a path is a file that is not there, not a name that was misspelt.
    if not own.is_absolute() and ".." not in own.parts and shipped.is_file():
        return shipped
    if "/" in called:
        raise TrainingError(f"{name}: cannot be read (no such file); recipes that have a name: {_listed()}")
    near = difflib.get_close_matches(called, recipe_names(), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {_listed()}"
    raise TrainingError(f"no recipe {str(name)!r}: not a file, and none has that name; {hint}")


def _shipped() -> Path:
    return Path(str(files("moellava.recipes")))


def _listed() -> str:
    return ", ".join(recipe_names())


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read, merge, override and check a recipe.

    Args:
        path: YAML file, or the name of a recipe that comes with the library.
        overrides: `key=value`, dotted keys, values in YAML (`train.learning_rate=1e-5`, `moe=null`).

    Raises:
        TrainingError: one line that names file and key.
    """
    path = find_recipe(path)
    tree = _read(path, ())
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise TrainingError(f"{override!r}: overrides are written key=value, such as train.seed=1")
        _set(tree, key.split("."), _parse(value, override), override)
    try:
        return Recipe(**tree)
    except ValidationError as error:
        raise TrainingError(f"{path}: {_first_problem(error)}") from None


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as people write it: 1e-5 is a number, too."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _parse(text: str, where: object) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise TrainingError(f"{where}: not readable as YAML ({' '.join(str(error).split())})") from None


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path in seen:
        raise TrainingError(f"{path}: extends itself")
    try:
        text = path.read_text()
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({error.strerror}); recipes lie in recipes/*.yaml") from None
    tree = _parse(text, path)
    if not isinstance(tree, dict):
        raise TrainingError(f"{path}: a recipe is a mapping of keys to values")
    base = tree.pop("extends", None)
    if base is None:
        return tree
    return _merge(_read(path.parent / str(base), (*seen, path)), tree)


def _merge(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    both = {**base, **changes}
    for key in base.keys() & changes.keys():
        if isinstance(base[key], dict) and isinstance(changes[key], dict):
            both[key] = _merge(base[key], changes[key])
    return both


def _set(tree: Any, keys: list[str], value: Any, override: str) -> None:
    *parents, last = keys
    for key in parents:
        if isinstance(tree, dict):
            if tree.get(key) is None:
                tree[key] = {}
            tree = tree[key]
        elif isinstance(tree, list) and key.isdigit() and int(key) < len(tree):
            tree = tree[int(key)]
        else:
            raise TrainingError(f"{override}: there is no {key!r} to set in")
    if isinstance(tree, dict):
        tree[last] = value
    elif isinstance(tree, list) and last.isdigit() and int(last) < len(tree):
        tree[int(last)] = value
    else:
        raise TrainingError(f"{override}: there is no {last!r} to set")


def _first_problem(error: ValidationError) -> str:
    """The most telling of pydantic's complaints, and how many more there are."""
    problems = error.errors(include_url=False)
    first = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        what = f"unknown key{_suggestion(first['loc'])}"
    elif first["type"] == "missing":
        what = "missing"
    elif first["type"] == "value_error":
        what = str(first["ctx"]["error"])
    else:
        what = f"{first['msg'][0].lower()}{first['msg'][1:]}, not {first['input']!r}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{where}: {what}{more}" if where else what + more


def _suggestion(location: tuple[int | str, ...]) -> str:
    sections: dict[str, type[BaseModel]] = {
        "train": TrainRecipe,
        "moe": MoERecipe,
        "lora": LoraRecipe,
        "data": DataRecipe,
        "packing": PackingRecipe,
    }
    section = sections.get(str(location[0]), Recipe) if len(location) > 1 else Recipe
    near = difflib.get_close_matches(str(location[-1]), section.model_fields, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(section.model_fields)}"
