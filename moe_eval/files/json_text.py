"""Reading JSON, so that whatever is wrong with it is one error that names the place."""

import json
from pathlib import Path
from typing import Any

from moe_eval.errors import UserError

__all__ = ["parse_json", "read_json"]


def parse_json(content: str | bytes, where: object) -> Any:
    """The value that JSON stands for.

    Args:
        where: its file, and line if there are several.

    Raises:
        UserError: when it is no JSON, no UTF-8, or nested too deeply to be read.
    """
    try:
        return json.loads(content)
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: is not UTF-8 (byte {error.start}); write it anew in UTF-8") from error
    except ValueError as error:
        raise UserError(f"{where}: not valid JSON ({error})") from error
    except RecursionError as error:
        raise UserError(f"{where}: nested too deeply to be read") from error


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        UserError: for a file that cannot be read, and as `parse_json`.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    return parse_json(content, path)
