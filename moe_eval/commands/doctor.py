"""`moe-eval doctor`: what there is on this machine, and what is missing for what a user may want."""

import platform
import shutil
import threading
import warnings
from pathlib import Path
from typing import Annotated

import typer

from moe_eval.commands.options import RUNS, JsonOption
from moe_eval.errors import UserError
from moe_eval.machine.access import TIMEOUT, hub_finding, keys, local_data, one_line, unreachable
from moe_eval.machine.findings import (
    ACCESS,
    MACHINE,
    NEEDED,
    Finding,
    ModelSize,
    State,
    as_json,
    as_text,
    disk_finding,
    exit_code,
    fitting_finding,
    gib,
    largest_that_fits,
)
from moe_eval.machine.installation import Installation, locate, needed_packages, optional_parts
from moe_eval.machine.resources import (
    available_memory,
    can_write,
    cores,
    free_disk,
    gpu_memory,
    nearest_folder,
    total_memory,
)

__all__ = ["doctor", "examine", "show_findings"]


def doctor(
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the hub.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what there is on this machine, what is missing, and what to do about it.

    Exit code 1 if something is missing that `moe-eval run` needs; nothing else of the list has to be there.

    Example: moe-eval doctor --offline
    """
    raise typer.Exit(show_findings(offline, as_json))


def show_findings(offline: bool, json_format: bool) -> int:
    """Print what was found; returns the exit code, 1 if something that `moe-eval run` needs is missing."""
    findings = examine(offline)
    print(as_json(findings) if json_format else as_text(findings))
    return exit_code(findings)


def examine(offline: bool) -> list[Finding]:
    """Everything there is to say about this machine; a check that fails is a finding, never an exception.

    Args:
        offline: do not ask the hub.
    """
    answer: list[Finding] = []
    asking = threading.Thread(target=lambda: answer.append(hub_finding()), daemon=True)
    if not offline:
        asking.start()  # while torch is imported
    here = locate()
    packages, tasks = needed_packages(here), _tasks(here)
    try:
        # Broken drivers warn at length; what matters of it is in the finding.
        with warnings.catch_warnings(action="ignore"):
            models, machine = _embedded_models(here), _machine()
    except (ImportError, OSError, RuntimeError) as error:
        found = f"do not import: {one_line(error)}"
        models, machine = [Finding(NEEDED, "libraries", "missing", found, here.repair, needed=True)], []
    if offline:
        answer = [Finding(ACCESS, "hub", "note", "not asked (--offline)")]
    else:
        asking.join(TIMEOUT)  # a name server may keep silent for longer than any timeout of ours
    hub = list(answer) or [unreachable(f"no answer in {TIMEOUT:g} s")]
    needed = [here.finding(), *packages, *tasks, *models, _runs_folder()]
    return [*needed, *machine, *hub, *keys(), *local_data(), *optional_parts(here)]


def _tasks(here: Installation) -> list[Finding]:
    from moe_eval.registry import find_task, own_tasks, task_names

    ours, without_data, broken = own_tasks(), [], []
    for name in task_names():
        try:
            if name in ours and "mini" not in find_task(name).sources:
                without_data.append(name)
        except UserError as error:
            broken.append(Finding(NEEDED, f"task {name}", "missing", one_line(error), here.install(), name in ours))
    count = len(ours) - len(without_data) - sum(finding.needed for finding in broken)
    found = f"{count} of {len(ours)} of our own with embedded data (mini)"
    state: State = "ok" if ours and count == len(ours) else "missing"
    return [Finding(NEEDED, "tasks", state, found, "" if state == "ok" else here.install(), needed=True), *broken]


def _embedded_models(here: Installation) -> list[Finding]:
    """The models that come with the library; a run without a model of one's own needs the trained ones."""
    from moellava import zoo

    findings = []
    for entry in map(zoo.find, zoo.names()):
        if entry.language_model or not entry.is_llava:
            continue
        folder = zoo.REPOSITORY / (entry.source or "-")
        weights = [path for kind in ("safetensors", "bin") for path in folder.glob(f"*.{kind}")]
        if (folder / "config.json").is_file() and weights:
            size = sum(path.stat().st_size for path in weights)
            findings.append(Finding(NEEDED, entry.name, "ok", f"{size / 1e6:.1f} MB in {entry.source}"))
        else:
            restore = f"git checkout {entry.source}" + ("" if entry.random_weights else ", or make train (RECIPE=nano)")
            todo = restore if here.is_checkout else here.repair
            found = f"no config.json and weights in {entry.source}"
            findings.append(Finding(NEEDED, entry.name, "missing", found, todo, needed=not entry.random_weights))
    return findings


def _runs_folder() -> Finding:
    if not can_write(RUNS):
        todo = "work in another folder, or --out"
        return Finding(NEEDED, "runs", "missing", f"{RUNS} cannot be written", todo, needed=True)
    free = free_disk(RUNS)
    if free < 100e6:
        return Finding(NEEDED, "runs", "missing", f"{gib(free)} free in {RUNS}", "make room, or --out", needed=True)
    return Finding(NEEDED, "runs", "ok", f"{gib(free)} free in {RUNS}", needed=True)


def _machine() -> list[Finding]:
    models, available = _zoo_sizes(), available_memory()
    findings = [
        Finding(MACHINE, "CPU", "ok", f"{cores()} cores, {platform.machine()}"),
        Finding(MACHINE, "memory", "ok", f"{gib(available)} of {gib(total_memory())} available"),
        *_gpus(),
    ]
    places = [("CPU", available), *[("GPU", memory) for memory in gpu_memory()[:1]]]  # a run takes one GPU
    for where, memory in places:
        for dtype, width in (("float32", 4), ("bfloat16", 2)):
            findings.append(fitting_finding(MACHINE, where, models, memory, dtype, width))
    largest = largest_that_fits(models, max(memory for _, memory in places), width=2)
    return [*findings, *_caches(largest)]


def _gpus() -> list[Finding]:
    import torch

    memory = gpu_memory()
    if not memory:
        if shutil.which("nvidia-smi"):
            build = "is built for the CPU" if torch.version.cuda is None else "cannot use it: is the driver too old?"
            todo = "install the torch build for your driver: https://pytorch.org/get-started/locally"
            return [Finding(MACHINE, "GPU", "note", f"there is an NVIDIA driver, but torch {build}", todo)]
        return [Finding(MACHINE, "GPU", "missing", "none that torch can use; models run on the CPU in float32")]
    bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    how = "bfloat16" if bf16 else "no bfloat16: take --dtype float16"
    return [
        Finding(MACHINE, f"GPU {i}", "ok", f"{torch.cuda.get_device_name(i)}, {gib(size)}, {how}")
        for i, size in enumerate(memory)
    ]


def _zoo_sizes() -> list[ModelSize]:
    """The zoo's published checkpoints, counted on the meta device."""
    from moellava import zoo
    from moellava.accounting import count_parameters

    sizes = []
    for entry in map(zoo.find, zoo.names()):
        if entry.language_model and entry.source:
            config = zoo.architecture(entry.name)
            text = config.get_text_config()
            head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
            cache = 2 * text.num_hidden_layers * text.num_key_value_heads * head_dim
            sizes.append(ModelSize(entry.name, count_parameters(config).total, cache))
    return sizes


def _caches(largest: ModelSize | None) -> list[Finding]:
    """Free space where checkpoints are downloaded to, and where they are converted to."""
    from huggingface_hub.constants import HF_HUB_CACHE

    from moellava.zoo import cache_folder

    folders = {"HF cache": (Path(HF_HUB_CACHE), "HF_HOME"), "model cache": (cache_folder(), "MOELLAVA_CACHE")}
    devices = [nearest_folder(folder).stat().st_dev for folder, _ in folders.values()]
    copies = len(devices) if len(set(devices)) == 1 else 1  # the download and what is made of it
    wanted, of = (2 * largest.parameters * copies, largest.name) if largest else (0, "")
    return [
        disk_finding(
            MACHINE,
            name,
            str(folder),
            free_disk(folder),
            wanted,
            f"{of}, downloaded{' and converted' if copies > 1 else ''},",
            can_write(folder),
            f"set {variable} to another folder",
        )
        for name, (folder, variable) in folders.items()
    ]
