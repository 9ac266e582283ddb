"""Records read from their files, and written to them."""

import gzip
import zlib
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from moe_eval.errors import UserError
from moe_eval.files.atomic import write_atomically
from moe_eval.files.record import Record
from moe_eval.runs.records.scores import ScoresRecord

__all__ = ["read_record", "write_record"]

AnyRecord = TypeVar("AnyRecord", bound=Record)


def read_record(kind: type[AnyRecord], path: Path) -> AnyRecord:
    """A record from its file, plain or gzipped.

    Raises:
        UserError: when the file is missing, is not JSON, or does not have the fields of this schema version.
    """
    try:
        content = path.read_bytes()
        return kind.parse(gzip.decompress(content) if path.suffix == ".gz" else content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(f"{path}: {field}: {first['msg']}; {kind.cure}") from error


def write_record(record: Record, path: Path) -> None:
    """Write a record so that a reader sees the old file or the new one, never a half."""
    record = record.sealed() if isinstance(record, ScoresRecord) else record
    write_atomically(path, record.model_dump_json(indent=1) + "\n")
