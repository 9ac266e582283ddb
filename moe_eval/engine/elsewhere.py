"""What is the same of all sources that load no model here: there is nothing to download, and nothing to look into."""

from typing import ClassVar

__all__ = ["AnsweredElsewhere"]


class AnsweredElsewhere:
    """A source with a name and perhaps a label, whose model is unknown."""

    name: str
    label: str | None
    is_local: ClassVar[bool] = True
    is_sparse: ClassVar[bool] = False
    has_our_routers: ClassVar[bool] = False
    trained_on_mini: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What folders and tables call it."""
        return self.label or self.name

    def check_name(self) -> None:
        """Its shape was checked already; whether there is an answer, the first question shows."""
