"""Hints suit where the code runs: `make` in a checkout, `pip` elsewhere."""

import pytest

from moe_eval.machine.installation import locate, needed_packages, optional_parts


@pytest.fixture
def wheel(tmp_path):
    """What an installed package looks like, inside a repository of the user's own."""
    package = tmp_path / ".venv" / "site-packages" / "moe_eval"
    package.mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    return locate(package)


def test_the_checkout_is_known_with_its_commit():
    here = locate()
    assert here.is_checkout
    assert f"the checkout {here.folder}" in here.finding().found
    assert here.install("train") == "make setup EXTRAS=train"


def test_an_installed_package_is_no_checkout(wheel):
    assert not wheel.is_checkout
    assert wheel.commit is None
    assert wheel.finding().found.endswith(f"installed in {wheel.folder}")
    assert wheel.install("train") == "pip install 'moe-llava-eval[train]'"


def test_nobody_without_a_checkout_is_told_to_make(wheel, monkeypatch):
    monkeypatch.setattr("moe_eval.machine.installation.installed", lambda name: None)
    findings = [*needed_packages(wheel), *optional_parts(wheel)]
    assert any(finding.todo for finding in findings)
    assert not any("make" in finding.todo for finding in findings)
    assert {"[dev]", "pdflatex"}.isdisjoint(finding.name for finding in findings)


def test_torchvision_may_be_absent(monkeypatch):
    monkeypatch.setattr("moe_eval.machine.installation.installed", lambda name: None)
    (finding,) = [finding for finding in optional_parts(locate()) if finding.name == "torchvision"]
    assert "PIL image processors" in finding.found
    assert not finding.needed
