"""The lists of facts that come with the repository (`results/*.json`): published numbers, known effects."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from moe_eval.errors import UserError

__all__ = ["read_facts"]

Fact = TypeVar("Fact", bound=BaseModel)


def read_facts(kind: type[Fact], path: Path) -> list[Fact]:
    """All entries of a file, in its order.

    Raises:
        UserError: when the file is missing or an entry lacks a field.
    """
    try:
        return TypeAdapter(list[kind]).validate_json(path.read_bytes())  # type: ignore[valid-type]
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; it is part of the repository") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
