"""From where the program runs, which packages there are beside it, and how to install what is missing."""

import platform
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from moe_eval.machine.findings import NEEDED, OPTIONAL, Finding, package_findings, parse_constraints

__all__ = ["DISTRIBUTION", "Installation", "installed", "locate", "needed_packages", "optional_parts", "requirements"]

DISTRIBUTION = "moe-llava-eval"
EXTRAS = {
    "train": "LoRA and TensorBoard in training",
    "lmms": "tasks of lmms-eval",
    "easy-vqa": "the data of the task easyvqa",
    "view": "moe-eval view",
    "demo": "moe-eval demo",
}
CHECKOUT_EXTRAS = EXTRAS | {"dev": "make test, make lint", "docs": "make docs"}
TOOLS = {
    "pdflatex": (("pdflatex",), "the test that compiles LaTeX tables", "apt-get install texlive-latex-base"),
    "chromium": (
        ("chromium", "chromium-browser", "google-chrome"),
        "the tests of the report's page",
        "apt-get install chromium",
    ),
}
"""What only tests take."""


@dataclass(frozen=True)
class Installation:
    """Where the code that runs lies.

    Args:
        folder: the checkout, or the folder that packages are installed in.
        is_checkout: whether there is the rest of the repository beside the code.
        version: of the distribution; None where it is not installed.
        commit: of the checkout, with `-dirty` if files differ from it.
    """

    folder: Path
    is_checkout: bool
    version: str | None
    commit: str | None = None

    def install(self, extra: str = "") -> str:
        """What to type for what is required, or for an extra."""
        if self.is_checkout:
            return f"make setup EXTRAS={extra}" if extra else "make setup, or pip install -c constraints.txt -e ."
        return f"pip install '{DISTRIBUTION}[{extra}]'" if extra else f"pip install --upgrade {DISTRIBUTION}"

    @property
    def repair(self) -> str:
        """What to do about an installation that does not work."""
        if self.is_checkout:
            return "delete .venv and make setup"
        return f"pip install --force-reinstall {DISTRIBUTION}, in a new environment"

    def finding(self) -> Finding:
        """One line: from where this runs."""
        if self.is_checkout:
            found = f"the checkout {self.folder}" + (f" at {self.commit}" if self.commit else "")
        else:
            found = f"{DISTRIBUTION} {self.version or 'of an unknown version'}, installed in {self.folder}"
        return Finding(NEEDED, "runs from", "ok", found)


def locate(package: Path = Path(__file__).parents[1]) -> Installation:
    """The installation of which `package` is the library's folder."""
    folder = package.parent
    # Not `git` alone: an environment inside somebody's repository is no checkout of ours.
    is_checkout = (folder / "pyproject.toml").is_file() and (folder / "tasks").is_dir()
    return Installation(folder, is_checkout, installed(DISTRIBUTION), _commit(folder) if is_checkout else None)


def _commit(folder: Path) -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def requirements(extra: str = "") -> list[str]:
    """Names of what the project requires, or of what one of its extras adds."""
    from packaging.requirements import Requirement

    try:
        required = [Requirement(line) for line in metadata.requires(DISTRIBUTION) or []]
    except metadata.PackageNotFoundError:
        return []
    wanted = [one for one in required if not one.marker or one.marker.evaluate({"extra": extra})]
    return [one.name for one in wanted if bool(one.marker) == bool(extra)]


def installed(name: str) -> str | None:
    """The version of a package, None where it is not there."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def needed_packages(here: Installation) -> list[Finding]:
    """Python and the packages without which nothing runs, against the versions that the project is tested with."""
    python = Finding(NEEDED, "Python", "ok", platform.python_version(), needed=True)  # an older one does not get here
    names = requirements()
    if not names:
        return [python, Finding(NEEDED, DISTRIBUTION, "missing", "not installed", here.install(), needed=True)]
    constraints = here.folder / "constraints.txt"
    tested = parse_constraints(constraints.read_text()) if here.is_checkout and constraints.is_file() else {}
    versions = {name: installed(name) for name in names}
    return [python, *package_findings(NEEDED, versions, tested, ["torch", "transformers"], here.install())]


def optional_parts(here: Installation) -> list[Finding]:
    """Extras and, in a checkout, the tools of the tests."""
    findings = []
    for extra, purpose in (CHECKOUT_EXTRAS if here.is_checkout else EXTRAS).items():
        absent = [name for name in requirements(extra) if installed(name) is None]
        if absent:
            found = f"{purpose}: no {', '.join(absent)}"
            findings.append(Finding(OPTIONAL, f"[{extra}]", "missing", found, here.install(extra)))
        else:
            findings.append(Finding(OPTIONAL, f"[{extra}]", "ok", purpose))
    torchvision = installed("torchvision")
    without = "fine without: transformers falls back to its PIL image processors"
    findings.append(
        Finding(OPTIONAL, "torchvision", "ok", torchvision)
        if torchvision
        else Finding(OPTIONAL, "torchvision", "missing", without)
    )
    for tool, (programs, purpose, todo) in TOOLS.items() if here.is_checkout else ():
        if any(map(shutil.which, programs)):
            findings.append(Finding(OPTIONAL, tool, "ok", purpose))
        else:
            findings.append(Finding(OPTIONAL, tool, "missing", purpose, todo))
    return findings
