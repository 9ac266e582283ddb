"""What must stay light: the command line's help, tasks and metrics."""

import subprocess
import sys

import pytest


def imported_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        (
            "import moe_eval.cli",
            {"torch", "transformers", "numpy", "pydantic", "rich", "PIL", "moe_eval.task"},
        ),
        (
            "import tasks.pope, tasks.vqav2, tasks.gqa, tasks.vizwiz, tasks.textvqa",
            {"torch", "transformers", "numpy", "pyarrow", "PIL", "datasets"},
        ),
        (  # `moe-eval run` shows life before it imports these
            "import moe_eval.commands.run, moe_eval.commands.params, moe_eval.commands.list",
            {"torch", "transformers", "numpy", "PIL"},
        ),
        ("import moe_eval.metrics, moe_eval.task", {"torch", "transformers", "numpy", "PIL"}),
        ("import moe_eval.runs.answering, moe_eval.table.build", {"torch", "transformers", "numpy", "PIL"}),
    ],
)
def test_imports_stay_light(statement, heavy):
    assert not imported_by(statement) & heavy
