"""The evaluation harness: tasks, data sources, backends, runs, scores and tables.

From Python: `evaluate`, `load_runs`, `compare` (`docs/python.md`). They are imported when they are first used, so that importing this
package imports neither torch nor pandas.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moe_eval.python import Runs, compare, evaluate, load_runs

__all__ = ["Runs", "compare", "evaluate", "load_runs"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import moe_eval.python

    return getattr(moe_eval.python, name)
