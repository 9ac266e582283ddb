"""Failures inside lmms-eval, in one line."""

__all__ = ["reason"]


def reason(error: BaseException) -> str:
    """One line; of a call that was tried again and again, what went wrong in the last."""
    attempt = getattr(error, "last_attempt", None)
    cause = attempt.exception() if attempt is not None else error
    return f"{type(cause).__name__}: {' '.join(str(cause).split())[:300]}"
