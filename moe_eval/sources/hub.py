"""Files of a data set on the Hugging Face hub, at a pinned revision, through the ordinary download cache."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from moe_eval.errors import UserError, unknown
from moe_eval.sources.parquet import read_parquet
from moe_eval.sources.rows import Rows

__all__ = [
    "HubFiles",
    "NotInCacheError",
    "bytes_on_hub",
    "download_dataset",
    "hub_rows",
    "is_only_cached",
    "only_cached",
    "resolved_revision",
]


PATIENCE = 5.0
"""Seconds to wait for the hub to say how large something is."""

_only_cached: ContextVar[bool] = ContextVar("only_cached", default=False)


class NotInCacheError(UserError):
    """Data that would have to be downloaded, where nothing is to be.

    Args:
        repository: of the hub.
        cache: the folder that they would come into.
        revision: that would be fetched; None: the branch main.
        pattern: of the files; None: all of them.
    """

    def __init__(self, repository: str, cache: str, revision: str | None = None, pattern: str | None = None):
        super().__init__(f"data set {repository} is not in the cache ({cache})")
        self.repository = repository
        self.cache = cache
        self.revision = revision
        self.pattern = pattern


@contextmanager
def only_cached() -> Iterator[None]:
    """Inside, data that are not in the cache are an error at once (`NotInCacheError`), and the hub is not asked."""
    token = _only_cached.set(True)
    try:
        yield
    finally:
        _only_cached.reset(token)


def is_only_cached() -> bool:
    """Whether nothing is to be downloaded now."""
    return _only_cached.get()


@dataclass(frozen=True)
class HubFiles:
    """Where a split lies on the hub.

    Args:
        pattern: of its Parquet files.
        revision: a commit, or a branch; runs record the commit that it stood for.
    """

    repository: str
    pattern: str
    revision: str = "main"


def hub_rows(
    task: str,
    argument: str,
    splits: Mapping[str, HubFiles],
    columns: Sequence[str],
    pictures: Sequence[str] = ("image",),
) -> Rows:
    """The rows of a split, downloaded if the cache lacks them.

    Args:
        argument: what follows `hub:` on the command line, `SPLIT@REVISION`; without a split it is the first one,
            without a revision the one that is pinned here.
        splits: our names of them.
        columns: what is read of each row.
        pictures: columns that are read when a picture is opened.

    Raises:
        UserError: for a split that there is not, and as `download_dataset` and `read_parquet` do.
    """
    split, _, revision = argument.partition("@")
    split = split or next(iter(splits))
    if split not in splits:
        raise unknown(f"split of {task}", split, splits)
    where = splits[split]
    files = download_dataset(where.repository, revision or where.revision, where.pattern)
    revision = resolved_revision(files, revision or where.revision)
    named = f":{split}" if len(splits) > 1 else ""
    return Rows(f"hub{named}@{revision}", split, revision, read_parquet(task, files, columns, pictures))


def download_dataset(repository: str, revision: str, pattern: str) -> list[Path]:
    """Local paths of the files that match `pattern`, downloaded if the cache lacks them.

    `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_OFFLINE` and the token are huggingface_hub's own business.

    Raises:
        UserError: when the hub cannot be reached, or has no such data set, revision or file.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    local = is_only_cached()
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
            raise NotInCacheError(repository, str(constants.HF_HUB_CACHE), revision, pattern) from error
        raise UserError(
            f"data set {where}: not in the cache and the hub cannot be reached; connect once, set HF_ENDPOINT "
            f"to a mirror, or use another --data ({_first_line(error)})"
        ) from error
    files = sorted(Path(folder).glob(pattern))
    if local and not files:
        raise NotInCacheError(repository, str(constants.HF_HUB_CACHE), revision, pattern)
    if not files:
        raise UserError(f"data set {where} has no files {pattern}; was another revision meant?")
    return files


def bytes_on_hub(
    kind: Literal["model", "dataset"],
    repository: str,
    revision: str | None = None,
    pattern: str | None = None,
    ignored: Sequence[str] = (),
) -> int | None:
    """Size of the files that match `pattern` (None: all) and none of `ignored`, as the hub tells it.

    None where it cannot be asked.
    """
    from huggingface_hub import HfApi

    try:
        found = HfApi().repo_info(repository, repo_type=kind, revision=revision, files_metadata=True, timeout=PATIENCE)
    except Exception:  # offline, no such repository, no access: the run itself says which
        return None
    sizes = [
        file.size
        for file in getattr(found, "siblings", None) or ()
        if pattern is None or fnmatch(file.rfilename, pattern)
    ]
    return sum(size or 0 for size in sizes) if sizes else None


def resolved_revision(files: list[Path], revision: str) -> str:
    """The commit that downloaded files are from; `revision`, which may be a branch, where their path does not say."""
    parts = files[0].parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts else revision


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
