"""Memory, GPUs, cores and disk that a program may use here."""

import os
import shutil
from pathlib import Path

__all__ = ["available_memory", "can_write", "cores", "free_disk", "gpu_memory", "nearest_folder", "total_memory"]

CONTROL_GROUP = Path("/sys/fs/cgroup")
"""Where a container's limits stand."""


def available_memory() -> int:
    """Bytes that are free: the machine's, or what the container's limit leaves of them."""
    import psutil

    available, limit = psutil.virtual_memory().available, _limit()
    return max(0, min(available, limit[0] - limit[1])) if limit else available


def total_memory() -> int:
    """Bytes in all: the machine's, or the container's limit."""
    import psutil

    total, limit = psutil.virtual_memory().total, _limit()
    return min(total, limit[0]) if limit else total


def _limit() -> tuple[int, int] | None:
    """Bytes that the container may use, and that it uses; None without a limit."""
    try:
        limit, used = (int((CONTROL_GROUP / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no such file, or `max`: no limit
        return None
    return limit, used


def gpu_memory() -> list[int]:
    """Bytes of each GPU that torch can use."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.cuda.get_device_properties(index).total_memory for index in range(count)]


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0


def nearest_folder(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next(folder for folder in [path.absolute(), *path.absolute().parents] if folder.exists())


def free_disk(path: Path) -> int:
    """Bytes that are free where the path is, or would be made."""
    return shutil.disk_usage(nearest_folder(path)).free


def can_write(path: Path) -> bool:
    """Whether the path can be written, or made."""
    return os.access(nearest_folder(path), os.W_OK)
