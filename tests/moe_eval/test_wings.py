"""Which wing of `moe_eval` may import which: told by the code's own imports, those inside functions included."""

import ast
from pathlib import Path

import moe_eval

ROOT = Path(moe_eval.__file__).parent

WINGS = [
    "errors",
    "files",
    "images",
    "official",
    "prompts",
    "task",
    "metrics",
    "statistics",
    "sources",
    "mini",
    "lmms",
    "registry",
    "machine",
    "chat",
    "engine",
    "runs",
    "judge",
    "scoring",
    "comparison",
    "table",
    "explain",
    "figures",
    "report",
    "view",
    "demo",
    "publication",
    "evaluation",
    "python",
    "callback",
    "commands",
    "cli",
    "__main__",
]
"""From what knows nobody to what everybody is known to: each may import those above it."""

UPWARDS = {
    ("lmms", "engine"): "our models in lmms-eval are an engine for it",
    ("sources", "registry"): "training data are made of a task by its name",
    ("mini", "registry"): "training data are made of a task by its name",
}
"""What else there is, and why."""


def imports() -> dict[tuple[str, str], Path]:
    found = {}
    for path in ROOT.rglob("*.py"):
        wing = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module] if node.module != "moe_eval" else [f"moe_eval.{one.name}" for one in node.names]
            for name in names:
                parts = name.split(".")
                if parts[0] == "moe_eval" and len(parts) > 1 and parts[1] != wing and wing != "__init__":
                    found[wing, parts[1]] = path
    return found


def test_every_wing_has_its_place():
    there = {path.name.removesuffix(".py") for path in ROOT.iterdir() if not path.name.startswith("__pycache__")}
    assert there - {"py.typed", "__init__"} <= set(WINGS)


def test_wings_import_only_what_lies_below():
    place = {wing: number for number, wing in enumerate(WINGS)}
    wrong = {
        pair: path
        for pair, path in imports().items()
        if pair not in UPWARDS and pair[1] != "results" and not (pair[1] in place and place[pair[1]] < place[pair[0]])
    }
    assert wrong == {}


def test_no_exception_is_left_over():
    assert UPWARDS.keys() <= imports().keys()
