"""The HTML of the report: one Jinja template, with style and script taken in whole, and a policy that forbids the rest.

The browser is told (Content-Security-Policy) to load nothing from anywhere and to run this one script, by its
fingerprint: even markup that got past the escaping could not do anything.
"""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from moe_eval.report.encoding import script_json
from moe_eval.table.comparison import format_parameters

__all__ = ["SCRIPTS", "join_scripts", "render_page"]

FOLDER = Path(__file__).parent
SCRIPTS = (
    "unpack",
    "format",
    "dom",
    "theme",
    "sorting",
    "store",
    "filters",
    "list",
    "detail",
    "keys",
    "figures",
    "main",
)
"""Files of `script/`, in the order in which they are joined; all share one scope."""


def render_page(content: dict[str, Any]) -> bytes:
    """The page as UTF-8; half surrogate pairs, which broken text may hold, are shown escaped.

    Args:
        content: what `templates/report.html.j2` shows.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["parameters"] = format_parameters
    environment.filters["script_json"] = lambda value: Markup(script_json(value))
    script = join_scripts([FOLDER / "script" / f"{name}.js" for name in SCRIPTS])
    page = environment.get_template("report.html.j2").render(
        **content,
        style=Markup(_read("templates/report.css")),
        script=Markup(script),
        script_hash=_hash(script),
    )
    return page.encode("utf-8", "backslashreplace")


def join_scripts(files: Sequence[Path]) -> str:
    """One script of several files, which share one scope and leave nothing in the page's."""
    parts = [f"// --- {file.name}\n{file.read_text(encoding='utf-8')}" for file in files]
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "\n})();\n"


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
