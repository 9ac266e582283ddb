"""One process at a time works on a run's folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from moe_eval.errors import UserError

__all__ = ["only_process"]


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """The folder is ours inside.

    Raises:
        UserError: when it is another process's, or no file can be made in it.
    """
    try:
        with FileLock(folder / ".lock", blocking=False):
            yield
    except Timeout as error:
        raise UserError(
            f"{folder}: another process is working on this run; wait for it, or use another --out"
        ) from error
