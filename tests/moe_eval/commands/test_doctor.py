"""`moe-eval doctor`: it looks at everything, and no key and no traceback gets out."""

import json

import pytest

from moe_eval.commands import doctor as command
from moe_eval.machine.findings import as_text, exit_code
from moe_eval.machine.installation import locate


def test_counted_sizes_are_those_of_the_accounting():
    sizes = {size.name: size for size in command._zoo_sizes()}
    assert sizes["llava-1.5-7b"].parameters == 7_062_902_784  # tests/data/accounting
    assert sizes["llava-1.5-7b"].cache_per_token == 2 * 32 * 4096
    assert "moe-llava-7bx4" not in sizes  # never published: nothing to run


def test_embedded_models_that_are_not_there_are_missing(monkeypatch, tmp_path):
    from moellava import zoo

    monkeypatch.setattr(zoo, "REPOSITORY", tmp_path)
    findings = {finding.name: finding for finding in command._embedded_models(locate())}
    assert {name: (finding.state, finding.needed) for name, finding in findings.items()} == {
        "moe-llava-nano": ("missing", True),
        "llava-nano": ("missing", True),
    }


def test_offline_asks_nobody_and_prints_no_key(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("MOELLAVA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(command, "hub_finding", lambda: pytest.fail("asked the hub"))
    code = command.show_findings(offline=True, json_format=True)
    shown = capsys.readouterr().out
    report = json.loads(shown)
    states = {finding["name"]: finding["state"] for finding in report["findings"]}
    assert code == (0 if report["ok"] else 1)
    assert (states["HF token"], states["server key"], states["hub"]) == ("ok", "ok", "note")
    assert "secret" not in shown
    assert not (tmp_path / "cache").exists()


def test_libraries_that_do_not_import_are_a_finding(monkeypatch):
    def broken(here):
        raise ImportError("libtorch.so: cannot open\nshared object")

    monkeypatch.setattr(command, "_embedded_models", broken)
    findings = command.examine(offline=True)
    assert exit_code(findings) == 1
    assert "do not import: libtorch.so: cannot open shared object" in as_text(findings)
