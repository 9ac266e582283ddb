"""Files of a data set on the Hugging Face hub, at a pinned revision, through the ordinary download cache."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from moe_eval.errors import UserError

__all__ = ["NotInCacheError", "download_dataset", "only_cached", "resolved_revision"]


_only_cached: ContextVar[bool] = ContextVar("only_cached", default=False)


class NotInCacheError(UserError):
    """Data that would have to be downloaded, where nothing is to be.

    Args:
        repository: of the hub.
        cache: the folder that they would come into.
    """

    def __init__(self, repository: str, cache: str):
        super().__init__(f"data set {repository} is not in the cache ({cache})")
        self.repository = repository
        self.cache = cache


@contextmanager
def only_cached() -> Iterator[None]:
    """Inside, data that are not in the cache are an error at once (`NotInCacheError`), and the hub is not asked."""
    token = _only_cached.set(True)
    try:
        yield
    finally:
        _only_cached.reset(token)


def download_dataset(repository: str, revision: str, pattern: str) -> list[Path]:
    """Local paths of the files that match `pattern`, downloaded if the cache lacks them.

    `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_OFFLINE` and the token are huggingface_hub's own business.

    Raises:
        UserError: when the hub cannot be reached, or has no such data set, revision or file.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    local = _only_cached.get()
    where = f"{repository} at {revision[:12]}"
    try:
        folder = snapshot_download(
            repository, repo_type="dataset", revision=revision, allow_patterns=[pattern], local_files_only=local
        )
    except HfHubHTTPError as error:
        status = error.response.status_code
        raise UserError(
            f"data set {where}: the hub answers {status}; check the name, the revision and your access to it"
        ) from error
    except OSError as error:  # no network, offline mode, incomplete cache
        if local:
            raise NotInCacheError(repository, str(constants.HF_HUB_CACHE)) from error
        raise UserError(
            f"data set {where}: not in the cache and the hub cannot be reached; connect once, set HF_ENDPOINT "
            f"to a mirror, or use another --data ({_first_line(error)})"
        ) from error
    files = sorted(Path(folder).glob(pattern))
    if local and not files:
        raise NotInCacheError(repository, str(constants.HF_HUB_CACHE))
    if not files:
        raise UserError(f"data set {where} has no files {pattern}; was another revision meant?")
    return files


def resolved_revision(files: list[Path], revision: str) -> str:
    """The commit that downloaded files are from; `revision`, which may be a branch, where their path does not say."""
    parts = files[0].parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts else revision


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
