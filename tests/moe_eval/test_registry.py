"""Tasks come from installed packages and from files, and each mistake in one is one line."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from moe_eval import registry
from moe_eval.errors import UserError
from moe_eval.registry import find_task, load_task_file, measures_answers, own_tasks, task_names

TASK = '''
from moe_eval.task import Card, Dataset, Result, Sample, Task, TaskProtocol

def load(argument):
    """`two`: one question, twice."""
    samples = [Sample(name, "Yes?", (), "yes", name) for name in "ab"]
    return Dataset("two", "two questions", samples, official=True, has_images=False)

def score(sample, response):
    return {"correct": int(response == sample.gold)}

def aggregate(scores):
    return Result(100 * sum(one["correct"] for one in scores) / len(scores), {})

TASK = Task(
    name="twofold",
    title="Twofold",
    card=Card(measures="nothing", size="2 questions", licence="none", citation="none"),
    max_new_tokens=1,
    protocols={"llava": TaskProtocol("accuracy (%)", lambda sample: sample.question, score, aggregate)},
    sources={"two": load},
)
'''


@pytest.fixture(autouse=True)
def forget_task_files(monkeypatch):
    monkeypatch.setattr(registry, "_from_files", {})


def install(folder: Path, package: str, module: str, entry_point: str) -> Path:
    """Builds a wheel of one module and lets pip install it into a folder, which is returned; no network."""
    wheel = folder / f"{package}-1.0-py3-none-any.whl"
    info = f"{package}-1.0.dist-info"
    files = {
        f"{package}.py": module,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[moe_eval.tasks]\n{entry_point}\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--target", folder / "site", wheel], check=True)
    return folder / "site"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs a package as `install` does, and lets this process see it."""

    def add(*arguments: str) -> None:
        monkeypatch.syspath_prepend(install(tmp_path, *arguments))
        registry._entry_points.cache_clear()

    yield add
    monkeypatch.undo()
    registry._entry_points.cache_clear()


def test_a_task_of_an_installed_package_is_found(installed):
    installed("twofold_task", TASK, "twofold = twofold_task:TASK")
    assert "twofold" in task_names()
    assert find_task("twofold").title == "Twofold"


@pytest.mark.parametrize(
    ("entry_point", "message"),
    [
        ("twofold = twofold_broken:TAKS", r"task 'twofold' \(twofold_broken:TAKS\) cannot be loaded: AttributeError"),
        ("twofold = twofold_broken:load", r"task 'twofold': twofold_broken:load is a function, not a moe_eval.task"),
        ("pope = twofold_broken:TASK", r"'pope' is claimed by .* \(moe_eval.tasks.pope:TASK and twofold_broken:TASK\)"),
    ],
)
def test_an_installed_task_that_is_none_is_one_line(installed, entry_point, message):
    installed("twofold_broken", TASK, entry_point)
    with pytest.raises(UserError, match=message) as caught:
        find_task(entry_point.split(" ")[0])
    assert "\n" not in str(caught.value)


def test_a_task_of_a_file_is_found_by_its_name(tmp_path):
    path = tmp_path / "my_task.py"
    path.write_text(TASK)
    assert load_task_file(path) is find_task("twofold")
    assert "twofold" in task_names()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"task\.py: there is no such task file"),
        ("import nowhere_to_be_found", r"task\.py: cannot be loaded: ModuleNotFoundError: No module named 'nowhere"),
        ("def prompt(:\n", r"task\.py: cannot be loaded: SyntaxError: invalid syntax"),
        ("1 / 0", r"task\.py: cannot be loaded: ZeroDivisionError"),
        ("TAKS = 1", r"task\.py: defines no TASK; a task file ends with TASK"),
        ("TASK = {}", r"task\.py: TASK is a dict, not a moe_eval\.task\.Task"),
        (TASK.replace('"twofold"', '"pope"'), r"task\.py: there is an installed task 'pope' already"),
    ],
)
def test_a_task_file_that_is_none_is_one_line(tmp_path, content, message):
    path = tmp_path / "task.py"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        load_task_file(path)
    assert "\n" not in str(caught.value)


def test_a_task_file_is_a_python_file(tmp_path):
    path = tmp_path / "task.yaml"
    path.write_text("TASK: 1")
    with pytest.raises(UserError, match=r"task\.yaml: a task file is a Python file"):
        load_task_file(path)


def test_our_own_tasks_are_the_nine_of_the_papers():
    papers = {"vqav2", "gqa", "vizwiz", "scienceqa", "textvqa", "pope", "mme", "mmbench", "mmvet"}
    assert set(own_tasks()) == papers


@pytest.mark.parametrize(
    ("name", "task"), [("POPE", "pope"), ("sqa", "scienceqa"), ("MM-Vet", "mmvet"), ("vqa", "vqav2")]
)
def test_tasks_are_found_by_the_names_that_papers_have_for_them(name, task):
    assert registry.find_task(name).name == task


@pytest.mark.parametrize(
    ("task", "protocol", "expected"),
    [
        ("pope", "likelihood", True),
        ("pope", "llava", False),
        ("gqa", "likelihood", False),
        ("not-here", "llava", False),
    ],
)
def test_protocols_that_measure_are_told(task, protocol, expected):
    assert measures_answers(task, protocol) == expected
