"""`moe-eval publish`: the numbers of runs on the hub's page of their model."""

from pathlib import Path
from typing import Annotated

import typer
import yaml

from moe_eval.commands.options import TaskFileOption, own_task
from moe_eval.errors import UserError
from moe_eval.files.atomic import write_atomically
from moe_eval.publication import eval_results_files, model_index
from moe_eval.runs.stored_run import find_stored_runs

__all__ = ["publish", "publish_runs"]


def publish(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Runs of one model, or the folder of them.")],
    to: Annotated[
        str | None,
        typer.Option(metavar="ORG/NAME", help="The model's repository on the hub, where a pull request opens."),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the files here instead.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be written.")] = False,
    task_file: TaskFileOption = None,
) -> None:
    """Write runs as the hub's evaluation files, with interval and protocol: .eval_results/*.yaml and model-index.

    Example: moe-eval publish results/runs/moe-llava-2.7bx4 --to me/moe-llava-2.7bx4 --dry-run
    """
    own_task(task_file)
    print(publish_runs(runs, to, out, dry_run))


def publish_runs(folders: list[Path], to: str | None, out: Path | None, dry_run: bool) -> str:
    """Show, write, or open a pull request; what was done comes back.

    Raises:
        UserError: for folders without runs, runs that cannot be published, and a hub that refuses.
    """
    if not dry_run and (to is None) == (out is None):
        raise UserError("publish: say where to: --to ORG/NAME, or --out DIR; or --dry-run to look at it first")
    runs = [run for folder in folders for run in find_stored_runs(folder).values()]
    index = model_index(runs)
    files = {**eval_results_files(runs), "README.md": f"---\n{index}---\n"}
    if dry_run:
        place = f"a pull request to {to}" if to else str(out) if out else "the model's repository"
        shown = "\n".join(f"# {name}\n{content}" for name, content in files.items())
        return f"{shown}\nnothing was written; this would go into {place}" + _left_out(len(runs), len(files) - 1)
    if out:
        for name, content in files.items():
            if name == "README.md" and (out / name).exists():
                content = _with_index((out / name).read_text(encoding="utf-8"), index)
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(out / name, content)
        return f"{out}: {', '.join(files)}" + _left_out(len(runs), len(files) - 1)
    assert to is not None  # checked above
    return f"pull request: {_upload(to, files, index)}" + _left_out(len(runs), len(files) - 1)


def _left_out(runs: int, files: int) -> str:
    if runs == files:
        return ""
    return f"\n{runs - files} of {runs} runs are not about a whole data set of the hub, and stand in the model card's model-index only"


def _with_index(card: str, index: str) -> str:
    """A model card with its numbers replaced."""
    from huggingface_hub import ModelCard

    before = ModelCard(card)
    data = {**before.data.to_dict(), **yaml.safe_load(index)}
    return f"---\n{yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)}---\n{before.text}"


def _upload(repository: str, files: dict[str, str], index: str) -> str:
    """Address of the pull request."""
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    api = HfApi()
    try:
        try:
            card = Path(api.hf_hub_download(repository, "README.md")).read_text(encoding="utf-8")
        except EntryNotFoundError:
            card = "---\n{}\n---\n"
        contents = {**files, "README.md": _with_index(card, index)}
        commit = api.create_commit(
            repository,
            [CommitOperationAdd(name, content.encode()) for name, content in contents.items()],
            commit_message="Evaluation results, with intervals and protocols (moe-eval publish)",
            create_pr=True,
        )
    except HfHubHTTPError as error:
        raise UserError(
            f"publish: the hub answers {error.response.status_code} for {repository}; check the name, and your token "
            "(`hf auth login`)"
        ) from error
    except OSError as error:
        raise UserError(f"publish: the hub cannot be reached ({' '.join(str(error).split())})") from error
    return str(commit.pr_url)
