"""Errors that a user can act on: one line that says what, where and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["UnreadableImageError", "UserError", "one_line", "unknown"]


class UserError(Exception):
    """A mistake in what the user gave us; the command line prints its one line and exits with code 2."""


class UnreadableImageError(Exception):
    """One picture that cannot be opened; a run counts it and goes on.

    Args:
        name: what the data calls the picture.
        reason: why it cannot be opened, in a few words.
    """

    def __init__(self, name: str, reason: str):
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


def unknown(what: str, name: str, known: Iterable[str], way_out: str = "") -> UserError:
    """The error for a name that does not exist: the nearest ones that do, or all if none is near.

    >>> str(unknown("task", "pop", ["pope", "gqa"]))
    "unknown task 'pop': did you mean pope?"
    >>> str(unknown("task", "xyz", ["pope", "gqa"], "try `moe-eval list tasks`"))
    "unknown task 'xyz': there are gqa, pope (try `moe-eval list tasks`)"
    """
    choices = sorted(known)
    near = get_close_matches(name, choices, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(choices)}"
    return UserError(f"unknown {what} {name!r}: {hint}{f' ({way_out})' if way_out else ''}")


def one_line(error: BaseException) -> str:
    """What an error says, in one line; its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
