"""What can be reached from here: the hub, with which keys, and the data that lie here already."""

import os
from functools import partial
from pathlib import Path

from moe_eval.machine.findings import ACCESS, DATA, Finding

__all__ = ["TIMEOUT", "hub_finding", "keys", "local_data", "one_line", "unreachable"]

LLAVA_DATA = Path("playground/data/eval")
PROBE = "openai/clip-vit-large-patch14-336/resolve/main/config.json"
"""A file that is asked for as a download begins: mirrors have to answer it, too."""
TIMEOUT = 2.0
"""Seconds to wait for the hub."""


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
        return unreachable(one_line(error))
    if response.status_code >= 400:
        return unreachable(f"answers {response.status_code}")
    return Finding(ACCESS, "hub", "ok", f"{constants.ENDPOINT} answers")


def unreachable(why: str) -> Finding:
    """That the hub does not answer, and what to do about it."""
    from huggingface_hub.constants import ENDPOINT

    todo = "connect, set HF_ENDPOINT to a mirror, or use folders and --data llava:DIR"
    return Finding(ACCESS, "hub", "missing", f"{ENDPOINT}: {why}", todo)


def keys() -> list[Finding]:
    """Whether there are keys; what they are is never looked at."""
    from huggingface_hub import get_token

    missing = partial(Finding, ACCESS, state="missing", found="not set")
    return [
        Finding(ACCESS, "HF token", "ok", "set")
        if get_token()
        else missing(name="HF token", todo="only for gated repositories: hf auth login, or HF_TOKEN"),
        Finding(ACCESS, "server key", "ok", "OPENAI_API_KEY is set")
        if os.environ.get("OPENAI_API_KEY")
        else missing(
            name="server key",
            todo="only for judges and servers that want one: OPENAI_API_KEY, or a variable that you name",
        ),
    ]


def local_data() -> list[Finding]:
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


def one_line(error: BaseException) -> str:
    """An error's text, or its name where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
