"""What works where lmms-eval is not installed: everything that does not need it, and a hint."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

from moe_eval.errors import UserError
from moe_eval.registry import find_task


def test_nothing_of_ours_imports_it_before_it_is_asked_for():
    code = "import sys, moe_eval.lmms.tasks, moe_eval.commands.run; print('lmms_eval' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.skipif(find_spec("lmms_eval") is not None, reason="lmms-eval is installed")
def test_its_tasks_say_how_to_get_it():
    with pytest.raises(UserError, match=r"lmms: tasks need lmms-eval \(No module .*\): pip install .*EXTRAS=lmms"):
        find_task("lmms:pope")
