"""Options of one engine, as `--engine-args name=value,…` gives them."""

from dataclasses import fields
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from moe_eval.errors import UserError, unknown

__all__ = ["parse_options"]

Options = TypeVar("Options")


def parse_options(kind: type[Options], text: str) -> Options:
    """The dataclass `kind` with the values of `name=value,name=value`, the others as they are by default.

    Raises:
        UserError: for a name that it does not have, and a value that is not of its type.
    """
    given: dict[str, str] = {}
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"--engine-args {word}: name=value is wanted")
        if name not in (names := [field.name for field in fields(kind)]):  # type: ignore[arg-type]
            raise unknown("name in --engine-args", name, names)
        given[name] = value
    try:
        return TypeAdapter(kind).validate_python(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise UserError(f"--engine-args {name}={given[name]}: {first['msg']}") from error
