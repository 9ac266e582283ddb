"""Errors that a user can act on: one line that says what, where and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["UnreadableImageError", "UserError", "unknown"]


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
    """The error for a name that does not exist, with the nearest ones that do.

    >>> str(unknown("task", "pop", ["pope", "gqa"]))
    "unknown task 'pop': did you mean pope? (known: gqa, pope)"
    """
    choices = sorted(known)
    near = get_close_matches(name, choices, n=3, cutoff=0.5)
    question = f": did you mean {' or '.join(near)}?" if near else ""
    listing = f" (known: {', '.join(choices)})" if choices else ""
    return UserError(f"unknown {what} {name!r}{question}{listing}{'; ' + way_out if way_out else ''}")
