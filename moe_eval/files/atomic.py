"""Writing a file so that it is there whole or not at all."""

import os
from pathlib import Path
from threading import get_ident

from moe_eval.errors import UserError

__all__ = ["write_atomically"]


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace the file's content in one step, after it is safely on disk.

    Raises:
        UserError: when the disk is full or the folder cannot be written; the old file is then unchanged.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{get_ident()}.tmp")  # of this writer alone
    try:
        with temporary.open("wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"{path}: cannot write ({error.strerror}); free some space or use another --out") from error
