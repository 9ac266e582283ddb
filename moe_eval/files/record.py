"""What every file of ours that is read back is made of: a strict pydantic model."""

from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict

__all__ = ["Record"]


class Record(BaseModel):
    """Strict: an unknown field is an error, so that a typing mistake in a file does not pass silently."""

    cure: ClassVar[str] = "was it edited, or written by another version?"
    """What to say of a file that is no such record."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """From what a file holds.

        Raises:
            ValidationError, UserError: when it is no such record.
        """
        return cls.model_validate_json(content)
