"""A checkpoint that was published in several places, gathered into one folder."""

import os
from collections.abc import Mapping
from pathlib import Path

from torch.hub import download_url_to_file

from moellava.convert.hub import fetch, fetch_checkpoint
from moellava.convert.source import ConversionError

__all__ = ["gather", "missing"]


def missing(parts: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The parts that `gather` has not brought yet."""
    return {name: place for name, place in parts.items() if not (folder / name).exists()}


def gather(parts: Mapping[str, str], folder: Path) -> Path:
    """Download what is missing; what comes from the hub is linked from its cache.

    Args:
        parts: name in the folder -> `ORGANISATION/NAME` (a checkpoint), `ORGANISATION/NAME:FILE` or a URL.
        folder: where they are to be, made if need be.

    Raises:
        ConversionError: a part that cannot be downloaded; those before it stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, place in missing(parts, folder).items():
        if "://" in place:
            _download(place, folder / name)
        else:
            repository, _, file = place.partition(":")
            found = fetch(repository, [file]) / file if file else fetch_checkpoint(repository)
            if not found.exists():
                raise ConversionError(f"{repository}: holds no {file}")
            _link(folder / name, found)
    return folder


def _download(url: str, path: Path) -> None:
    """Whole or not at all: torch writes to a temporary file beside it."""
    try:
        download_url_to_file(url, str(path))
    except OSError as error:  # of the network, of HTTP, of the disk
        raise ConversionError(f"{url}: cannot be downloaded ({' '.join(str(error).split())[:200]})") from None


def _link(link: Path, target: Path) -> None:
    """Also where a link has lost its target."""
    new = link.with_name(f"{link.name}.{os.getpid()}")
    new.symlink_to(target)
    new.replace(link)
