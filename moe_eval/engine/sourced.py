"""What backends share whose model is loaded from a `ModelSource`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from typing import Any, ClassVar

from moe_eval.engine.ablation import prune
from moe_eval.engine.backend import ModelInfo
from moe_eval.engine.models import ModelSource

__all__ = ["SourcedBackend"]


class SourcedBackend:
    """Described from files alone; the model is loaded when the first question comes, so that a finished run costs no loading.

    Args:
        source: where the model is and how to load it.
        routing: whether responses say how their tokens were routed; the model must be a sparse one.
    """

    engine: ClassVar[str]
    """Its name in run records."""

    def __init__(self, source: ModelSource, routing: bool):
        self._source = source
        self._routing = routing
        self._ablation: str | None = None

    def describe(self) -> ModelInfo:
        """What answers.

        Raises:
            UserError: when routing is to be recorded of a model that has none, or whose routing cannot be.
        """
        if self._routing:
            self._source.check_recordable()
        return self._source.describe(self.engine, self._ablation)

    @contextmanager
    def without(self, ablation: str) -> Iterator[None]:
        """Inside, the model answers, and is described, without the experts that an ablation takes away.

        Raises:
            UserError: as `moe_eval.engine.ablation.prune`.
        """
        handles = prune(self.loaded[0], ablation, self._source.title)
        self._ablation = ablation
        try:
            yield
        finally:
            self._ablation = None
            for handle in handles:
                handle.remove()

    @cached_property
    def loaded(self) -> tuple[Any, Any]:
        """The model and its processor; the first to ask for them loads them."""
        return self._source.load()

    @property
    def _is_noisy(self) -> bool:
        """Whether what a token gets depends on its question."""
        return self._source.router_noise_seed is not None

    def ask(self, questions: Sequence[str]) -> None:
        """Say whose rows the next passes compute, to a model whose routing noise depends on it."""
        if self._is_noisy:
            self.loaded[0].question_noise.ask(questions)

    @cached_property
    def _token_text(self) -> Callable[[int], str]:
        """A token's text by its id; the tokens of one question are mostly those of the one before."""
        tokenizer = self.loaded[1].tokenizer
        return cache(lambda token: tokenizer.decode([token]))
