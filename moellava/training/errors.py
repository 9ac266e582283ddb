"""What a user can put right: one line, exit code 2."""

__all__ = ["TrainingError"]


class TrainingError(ValueError):
    """A recipe, a data file or a state of the disk that training cannot go on with; the message says what, where and
    what to do, in one line."""
