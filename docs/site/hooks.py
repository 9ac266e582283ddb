"""What the site has beside the pages in docs/: README as its front page, a gallery drawn from committed data, an API reference.

MkDocs calls the functions named on_…: https://www.mkdocs.org/dev-guide/plugins/#events
"""

import base64
import gzip
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from bench.nano_ablations import AblationsRecord, as_markdown
from moe_eval.report.figures import make_figures
from moe_eval.runs.records import read_record
from moe_eval.table.build import Wanted, build_table
from moe_eval.table.formats import render
from moe_eval.table.published import read_published

ROOT = Path(__file__).parents[2]
BASELINES = ROOT / "results" / "baselines"
ABLATIONS = ROOT / "results" / "ablations" / "nano" / "ablations.json"

REFERENCE = {
    "evaluate": ("From Python", ["moe_eval.python"]),
    "task": (
        "Tasks",
        [
            "moe_eval.task.definition",
            "moe_eval.task.protocol",
            "moe_eval.task.samples",
            "moe_eval.task.scores",
            "moe_eval.task.judging",
        ],
    ),
    "backend": ("What answers", ["moe_eval.engine.backend"]),
    "metrics": (
        "Metrics",
        ["moe_eval.metrics.binary_classification", "moe_eval.metrics.consensus", "moe_eval.metrics.exact_match"],
    ),
    "statistics": ("Statistics", ["moe_eval.statistics.intervals", "moe_eval.statistics.paired"]),
    "moellava": (
        "The model",
        [
            "moellava.configuration",
            "moellava.modeling",
            "moellava.moe",
            "moellava.sparsify",
            "moellava.pruning",
            "moellava.processing",
            "moellava.routing.recorder",
            "moellava.routing.sequences",
            "moellava.routing.load",
        ],
    ),
}
"""Title and modules of every page."""

TABLES = {"main": "All nine benchmarks", "pope": "POPE by category"}
GALLERY = """# Gallery

What `moe-eval table` and `moe-eval figures` make of the runs that are committed as `results/baselines`: the two models that come with
the project, on `mini`, a drawn world: numbers that are not to be compared with published ones.
Everything here is made anew whenever the site is built.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    files.append(File.generated(config, "index.md", content=front_page((ROOT / "README.md").read_text("utf-8"))))
    for name, (title, modules) in REFERENCE.items():
        content = f"# {title}\n\n" + "\n".join(f"::: {module}\n" for module in modules)
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    for name, content in gallery().items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, **context: object) -> str:
    """Files outside docs/ are named, not linked: they are no pages."""
    return re.sub(r"\[([^\]]+)\]\(\.\./[^)]+\)", r"\1", markdown)


def on_post_page(output: str, page: Page, **context: object) -> str:
    """Refuse a page that a browser would load anything from elsewhere for.

    Raises:
        PluginError: which ends the build.
    """
    if foreign := re.search(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=\"?(?:https?:)?//[^\s>]+", output):
        raise PluginError(f"{page.file.src_uri}: loads something from elsewhere: {foreign[0]}")
    return output


def front_page(readme: str) -> str:
    """README with links that hold inside docs/."""
    return re.sub(r"\]\(docs/", "](", readme)


def gallery() -> dict[str, str | bytes]:
    """The page and its pictures, by their path in the site."""
    with TemporaryDirectory() as folder:
        runs = [_unpacked(run.parent, Path(folder)) for run in sorted(BASELINES.glob("*/*/run.json"))]
        tables = [
            (title, build_table(name, Wanted(runs, read_published(), published="none")))
            for name, title in TABLES.items()
        ]
        figures = make_figures(runs)
    parts = [GALLERY, *(f"## {title}\n\n{render(table, 'md')}" for title, table in tables)]
    ablations = as_markdown(read_record(AblationsRecord, ABLATIONS))
    parts += [f"## Ablations\n\n{ablations}\n\n[What they say](training.md#the-papers-ablations)", "## Figures"]
    parts += [f"![{figure.title}](images/gallery/{figure.name}.svg)\n\n{figure.title}" for figure in figures]
    pictures = {f"images/gallery/{figure.name}.svg": base64.b64decode(figure.svg) for figure in figures}
    return {"gallery.md": "\n\n".join(parts), **pictures}


def _unpacked(run: Path, folder: Path) -> Path:
    """The run with plain files, as figures want them."""
    target = folder / run.relative_to(BASELINES)
    target.mkdir(parents=True)
    for file in run.iterdir():
        if file.suffix == ".gz":
            (target / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
        else:
            shutil.copy(file, target)
    return target
