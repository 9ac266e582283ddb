"""Committed answers of models that come with the library, by name: what `moe-eval check` can hold a run against."""

from importlib.resources import files
from pathlib import Path

from moe_eval.errors import unknown

__all__ = ["baseline_names", "find_baseline"]


def baseline_names() -> list[str]:
    """Names of the baselines that come with the library, a model each."""
    return sorted(path.name for path in _shipped().iterdir() if path.is_dir())


def find_baseline(name: str | Path) -> Path:
    """A folder of the user's own, or a baseline that comes with the library: `MODEL`, or `MODEL/TASK`.

    `results/baselines/MODEL`, as it is called in a checkout, is understood everywhere.

    Raises:
        UserError: naming the baselines that exist.
    """
    own = Path(name).expanduser()
    if own.exists():
        return own
    called = own.as_posix().removeprefix("results/baselines/")
    shipped = _shipped() / called
    if not own.is_absolute() and ".." not in own.parts and shipped.is_dir():
        return shipped
    raise unknown("baseline", str(name), baseline_names(), "or the folder of a run")


def _shipped() -> Path:
    return Path(str(files("moe_eval.results"))) / "baselines"
