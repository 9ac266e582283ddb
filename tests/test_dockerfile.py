"""The image cannot be built in tests: that all it is made of is there, and gets past .dockerignore, is looked at."""

import re
import tomllib
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]


def copied() -> set[str]:
    lines = re.findall(r"^COPY (.+) \S+$", (CHECKOUT / "Dockerfile").read_text(), flags=re.MULTILINE)
    return {source for line in lines for source in line.split()}


def test_what_is_copied_exists_and_is_not_ignored():
    rules = (CHECKOUT / ".dockerignore").read_text().splitlines()
    assert copied()
    for source in copied():
        assert (CHECKOUT / source).exists()
        assert f"!{source}" in rules


def test_everything_that_is_installed_is_copied():
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = [settings["package-dir"].get(package, package.split(".")[0]) for package in settings["packages"]]
    assert set(folders) <= copied()


def test_every_package_of_the_libraries_is_installed():
    """A wing that is not in pyproject.toml works in the checkout, and is absent from the wheel."""
    installed = set(tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    for library in ("moellava", "moe_eval"):
        found = {
            ".".join(file.parent.relative_to(CHECKOUT).parts) for file in (CHECKOUT / library).rglob("__init__.py")
        }
        assert found <= installed
