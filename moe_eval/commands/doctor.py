"""`moe-eval doctor`: what there is on this machine, and what is missing for what a user may want."""

import os
import platform
import shutil
import threading
import warnings
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from moe_eval.doctor import (
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
    package_findings,
    parse_constraints,
)
from moe_eval.errors import UserError

__all__ = ["examine", "hub_finding", "show_findings"]

DISTRIBUTION = "moe-llava-eval"
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
RUNS = Path("results/runs")
LLAVA_DATA = Path("playground/data/eval")
PROBE = "openai/clip-vit-large-patch14-336/resolve/main/config.json"
"""A file that is asked for as a download begins: mirrors have to answer it, too."""
TIMEOUT = 2.0
"""Seconds to wait for the hub."""
EXTRAS = {
    "train": "LoRA and TensorBoard in training",
    "lmms": "tasks of lmms-eval",
    "easy-vqa": "the data of the task easyvqa",
    "dev": "make test, make lint",
}
TOOLS = {
    "pdflatex": (("pdflatex",), "the test that compiles LaTeX tables", "apt-get install texlive-latex-base"),
    "chromium": (
        ("chromium", "chromium-browser", "google-chrome"),
        "the tests of the report's page",
        "apt-get install chromium",
    ),
}
NEEDED, MACHINE, ACCESS, DATA, OPTIONAL = "make eval", "machine", "hub and judge", "data", "optional"


def show_findings(offline: bool, json_format: bool) -> int:
    """Print what was found; returns the exit code, 1 if something that `make eval` needs is missing."""
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
    packages = [_python(), *_packages()]
    tasks = _tasks()
    try:
        # Broken drivers warn at length; what matters of it is in the finding.
        with warnings.catch_warnings(action="ignore"):
            models, machine = _embedded_models(), _machine()
    except (ImportError, OSError, RuntimeError) as error:
        todo = "delete .venv and make setup"
        models = [Finding(NEEDED, "libraries", "missing", f"do not import: {_one_line(error)}", todo, needed=True)]
        machine = []
    if offline:
        answer = [Finding(ACCESS, "hub", "note", "not asked (--offline)")]
    else:
        asking.join(TIMEOUT)  # a name server may keep silent for longer than any timeout of ours
    hub = list(answer) or [_unreachable(f"no answer in {TIMEOUT:g} s")]
    return [*packages, *tasks, *models, _runs_folder(), *machine, *hub, *_keys(), *_local_data(), *_optional()]


def _python() -> Finding:
    return Finding(NEEDED, "Python", "ok", platform.python_version(), needed=True)  # an older one does not get here


def _requirements(extra: str = "") -> list[str]:
    """Names of what the project requires, or of what one of its extras adds."""
    from packaging.requirements import Requirement

    try:
        required = [Requirement(line) for line in metadata.requires(DISTRIBUTION) or []]
    except metadata.PackageNotFoundError:
        return []
    wanted = [one for one in required if not one.marker or one.marker.evaluate({"extra": extra})]
    return [one.name for one in wanted if bool(one.marker) == bool(extra)]


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _packages() -> list[Finding]:
    names = _requirements()
    if not names:
        return [Finding(NEEDED, DISTRIBUTION, "missing", "not installed", "make setup", needed=True)]
    tested = parse_constraints(CONSTRAINTS.read_text()) if CONSTRAINTS.is_file() else {}
    return package_findings(
        NEEDED, {name: _installed(name) for name in names}, tested, own_line=["torch", "transformers"]
    )


def _tasks() -> list[Finding]:
    from moe_eval.registry import find_task, own_tasks, task_names

    ours, without_data, broken = own_tasks(), [], []
    for name in task_names():
        try:
            if name in ours and "mini" not in find_task(name).sources:
                without_data.append(name)
        except UserError as error:
            broken.append(Finding(NEEDED, f"task {name}", "missing", _one_line(error), "make setup", name in ours))
    count = len(ours) - len(without_data) - sum(finding.needed for finding in broken)
    found = f"{count} of {len(ours)} of our own with embedded data (mini)"
    state: State = "ok" if ours and count == len(ours) else "missing"
    return [Finding(NEEDED, "tasks", state, found, "" if state == "ok" else "make setup", needed=True), *broken]


def _embedded_models() -> list[Finding]:
    """The models that come with the repository; of those `make eval` needs the trained ones."""
    from moellava import zoo

    findings = []
    for entry in map(zoo.find, zoo.names()):
        if entry.language_model:
            continue
        folder = zoo.REPOSITORY / (entry.source or "-")
        weights = [path for kind in ("safetensors", "bin") for path in folder.glob(f"*.{kind}")]
        if (folder / "config.json").is_file() and weights:
            size = sum(path.stat().st_size for path in weights)
            findings.append(Finding(NEEDED, entry.name, "ok", f"{size / 1e6:.1f} MB in {entry.source}"))
        else:
            todo = f"git checkout {entry.source}" + ("" if entry.random_weights else ", or make train (RECIPE=nano)")
            found = f"no config.json and weights in {entry.source}"
            findings.append(Finding(NEEDED, entry.name, "missing", found, todo, needed=not entry.random_weights))
    return findings


def _runs_folder() -> Finding:
    there = _nearest(RUNS)
    if not os.access(there, os.W_OK):
        todo = "work in another folder, or --out"
        return Finding(NEEDED, "runs", "missing", f"{RUNS} cannot be written", todo, needed=True)
    free = shutil.disk_usage(there).free
    if free < 100e6:
        return Finding(NEEDED, "runs", "missing", f"{gib(free)} free in {RUNS}", "make room, or --out", needed=True)
    return Finding(NEEDED, "runs", "ok", f"{gib(free)} free in {RUNS}", needed=True)


def _machine() -> list[Finding]:
    import psutil

    models = _zoo_sizes()
    total, available = _within_limit(psutil.virtual_memory())
    findings = [
        Finding(MACHINE, "CPU", "ok", f"{_cores()} cores, {platform.machine()}"),
        Finding(MACHINE, "memory", "ok", f"{gib(available)} of {gib(total)} available"),
        *_gpus(),
    ]
    places = [("CPU", available), *[("GPU", memory) for memory in _gpu_memory()[:1]]]  # a run takes one GPU
    for where, memory in places:
        for dtype, width in (("float32", 4), ("bfloat16", 2)):
            findings.append(fitting_finding(MACHINE, where, models, memory, dtype, width))
    largest = largest_that_fits(models, max(memory for _, memory in places), width=2)
    return [*findings, *_caches(largest)]


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0


def _within_limit(machine: Any) -> tuple[int, int]:
    """Total and available bytes: the machine's, or what the container's limit leaves of them."""
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no such file, or `max`: no limit
        return machine.total, machine.available
    return min(machine.total, limit), max(0, min(machine.available, limit - used))


def _gpu_memory() -> list[int]:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.cuda.get_device_properties(index).total_memory for index in range(count)]


def _gpus() -> list[Finding]:
    import torch

    memory = _gpu_memory()
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

    converted = Path(os.environ.get("MOELLAVA_CACHE", Path.home() / ".cache" / "moellava"))
    folders = {"HF cache": (Path(HF_HUB_CACHE), "HF_HOME"), "model cache": (converted, "MOELLAVA_CACHE")}
    devices = [_nearest(folder).stat().st_dev for folder, _ in folders.values()]
    copies = len(devices) if len(set(devices)) == 1 else 1  # the download and what is made of it
    wanted, of = (2 * largest.parameters * copies, largest.name) if largest else (0, "")
    return [
        disk_finding(
            MACHINE,
            name,
            str(folder),
            shutil.disk_usage(_nearest(folder)).free,
            wanted,
            f"{of}, downloaded{' and converted' if copies > 1 else ''},",
            os.access(_nearest(folder), os.W_OK),
            f"set {variable} to another folder",
        )
        for name, (folder, variable) in folders.items()
    ]


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(path for path in [folder.absolute(), *folder.absolute().parents] if path.exists())


def hub_finding() -> Finding:
    """Whether the hub answers, asked as a download asks: with its endpoint, proxies and certificates."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return Finding(
            ACCESS, "hub", "note", "HF_HUB_OFFLINE is set: only what is in the cache", "unset it to download"
        )
    try:
        response = get_session().head(f"{constants.ENDPOINT}/{PROBE}", timeout=TIMEOUT)
    except Exception as error:  # of the HTTP library, of the proxy, of the certificates, of the name server
        return _unreachable(_one_line(error))
    if response.status_code >= 400:
        return _unreachable(f"answers {response.status_code}")
    return Finding(ACCESS, "hub", "ok", f"{constants.ENDPOINT} answers")


def _unreachable(why: str) -> Finding:
    from huggingface_hub.constants import ENDPOINT

    todo = "connect, set HF_ENDPOINT to a mirror, or use folders and --data llava:DIR"
    return Finding(ACCESS, "hub", "missing", f"{ENDPOINT}: {why}", todo)


def _keys() -> list[Finding]:
    """Whether there are keys; what they are is never looked at."""
    from huggingface_hub import get_token

    missing = partial(Finding, ACCESS, state="missing", found="not set")
    return [
        Finding(ACCESS, "HF token", "ok", "set")
        if get_token()
        else missing(name="HF token", todo="only for gated repositories: hf auth login, or HF_TOKEN"),
        Finding(ACCESS, "judge key", "ok", "OPENAI_API_KEY is set")
        if os.environ.get("OPENAI_API_KEY")
        else missing(name="judge key", todo="only for moe-eval judge: OPENAI_API_KEY, or --key-variable"),
    ]


def _local_data() -> list[Finding]:
    """Benchmarks' data that lie on this machine already."""
    from huggingface_hub.constants import HF_HUB_CACHE

    from moe_eval.registry import task_names

    def of_a_task(folder: Path) -> bool:
        return any(task in folder.name.lower().replace("mm-vet", "mmvet") for task in task_names())

    cached = [folder for folder in sorted(Path(HF_HUB_CACHE).glob("datasets--*--*")) if of_a_task(folder)]
    complete = [folder for folder in cached if any(folder.glob("snapshots/*/**/*.parquet"))]
    llava = [folder for folder in sorted(LLAVA_DATA.glob("*")) if folder.is_dir() and of_a_task(folder)]
    names = [folder.name.removeprefix("datasets--").replace("--", "/") for folder in complete]
    return [
        Finding(DATA, "--data hub", "ok", f"in the HF cache: {', '.join(names)}")
        if names
        else Finding(DATA, "--data hub", "missing", "nothing in the HF cache", "is downloaded when a run asks for it"),
        Finding(DATA, "--data llava:DIR", "ok", f"{LLAVA_DATA}: {', '.join(folder.name for folder in llava)}")
        if llava
        else Finding(DATA, "--data llava:DIR", "missing", f"no {LLAVA_DATA} here", "name the folder where it is"),
    ]


def _optional() -> list[Finding]:
    findings = []
    for extra, purpose in EXTRAS.items():
        absent = [name for name in _requirements(extra) if _installed(name) is None]
        if absent:
            found, todo = f"{purpose}: no {', '.join(absent)}", f"make setup EXTRAS={extra}"
            findings.append(Finding(OPTIONAL, f"[{extra}]", "missing", found, todo))
        else:
            findings.append(Finding(OPTIONAL, f"[{extra}]", "ok", purpose))
    for tool, (programs, purpose, todo) in TOOLS.items():
        if any(map(shutil.which, programs)):
            findings.append(Finding(OPTIONAL, tool, "ok", purpose))
        else:
            findings.append(Finding(OPTIONAL, tool, "missing", purpose, todo))
    return findings


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
