"""Options: how those of loading a model are called on the command line, and those of one engine, `--engine-args name=value,…`."""

from dataclasses import fields
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from moe_eval.errors import UserError, unknown

__all__ = ["option_of", "parse_options"]

Options = TypeVar("Options")


def option_of(field: str) -> str:
    """The option that sets a field of `ModelSource`.

    >>> option_of("picture_tokens"), option_of("router_noise_seed"), option_of("pruning")
    ('--picture-tokens', '--router-noise', '--ablate')
    """
    return f"--{'ablate' if field == 'pruning' else field.removesuffix('_seed').replace('_', '-')}"


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
