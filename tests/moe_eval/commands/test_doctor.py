"""`moe-eval doctor`: what it makes of facts, and that no key and no traceback gets out."""

import json
import socket

import pytest

from moe_eval.commands import doctor as command
from moe_eval.doctor import (
    Finding,
    ModelSize,
    as_json,
    as_text,
    disk_finding,
    exit_code,
    fitting_finding,
    largest_that_fits,
    package_findings,
    parse_constraints,
    version_finding,
)

GIB = 2**30
NEEDED = Finding("make eval", "torch", "missing", "not installed", "make setup", needed=True)
OPTIONAL = Finding("optional", "[train]", "missing", "no peft", "make setup EXTRAS=train")
FINE = Finding("make eval", "Python", "ok", "3.12", needed=True)


@pytest.mark.parametrize(("findings", "code"), [([FINE], 0), ([FINE, OPTIONAL], 0), ([FINE, NEEDED, OPTIONAL], 1)])
def test_only_what_make_eval_needs_fails(findings, code):
    assert exit_code(findings) == code


def test_an_untested_version_does_not_fail():
    finding = version_finding("make eval", "torch", "2.12.0", "2.13.0")
    assert (finding.state, finding.found) == ("note", "2.12.0; tested with 2.13.0")
    assert exit_code([finding]) == 0


@pytest.mark.parametrize("tested", ["2.13.0", None])
def test_a_cpu_build_is_the_same_version(tested):
    assert version_finding("make eval", "torch", "2.13.0+cpu", tested).state == "ok"


def test_packages_that_are_absent_are_named():
    installed = {"torch": "2.13.0", "numpy": None, "PyYAML": "6.0.2", "tqdm": "4.70.1"}
    tested = {"torch": "2.13.0", "pyyaml": "6.0.3", "tqdm": "4.70.1"}
    torch, others = package_findings("make eval", installed, tested, own_line=["torch"])
    assert torch.state == "ok"
    assert others.state == "missing"
    assert others.found == "2 of 3 installed; not numpy; PyYAML 6.0.2; tested with 6.0.3"


def test_constraints_are_read_by_name():
    assert parse_constraints("# with torch==1\nTorch==2.13.0  # CPU\nnumpy\n\n") == {"torch": "2.13.0"}


def test_text_is_aligned_and_says_what_to_do():
    assert as_text([FINE, NEEDED, OPTIONAL]) == (
        "make eval\n"
        "  ok       Python   3.12\n"
        "  missing  torch    not installed\n"
        "                    → make setup\n"
        "\n"
        "optional\n"
        "  missing  [train]  no peft\n"
        "                    → make setup EXTRAS=train\n"
        "\n"
        "make eval cannot run: torch missing"
    )


def test_json_holds_every_finding():
    report = json.loads(as_json([FINE, NEEDED]))
    assert report["ok"] is False
    assert [finding["name"] for finding in report["findings"]] == ["Python", "torch"]
    assert report["findings"][1]["todo"] == "make setup"


def test_a_footprint_is_weights_and_cache_of_a_batch():
    assert ModelSize("m", parameters=1000, cache_per_token=2).footprint(width=4) == 4 * (1000 + 16 * 1024 * 2)


def test_the_largest_fitting_model_has_the_most_parameters():
    small, large = ModelSize("small", 1_000, 0), ModelSize("large", 2_000, 0)
    assert largest_that_fits([small, large], 4_000, width=2) == large
    assert largest_that_fits([small, large], 3_999, width=2) == small
    assert largest_that_fits([small, large], 1_999, width=2) is None


def test_where_no_model_fits_the_smallest_is_named():
    finding = fitting_finding("machine", "CPU", [ModelSize("small", GIB, 2**16)], 3 * GIB, "bfloat16", 2)
    assert (finding.state, finding.found) == ("note", "only the embedded ones: small takes 4.0 GiB of 3.0 GiB")
    assert "--batch-size 1" in finding.todo


@pytest.mark.parametrize(("free", "writable", "state"), [(9, True, "note"), (10, True, "ok"), (10, False, "missing")])
def test_a_cache_needs_room_and_permission(free, writable, state):
    finding = disk_finding("machine", "HF cache", "/c", free * GIB, 10 * GIB, "m", writable, "set HF_HOME")
    assert finding.state == state
    assert ("set HF_HOME" in finding.todo) == (state != "ok")


def test_counted_sizes_are_those_of_the_accounting():
    sizes = {size.name: size for size in command._zoo_sizes()}
    assert sizes["llava-1.5-7b"].parameters == 7_062_902_784  # tests/data/accounting
    assert sizes["llava-1.5-7b"].cache_per_token == 2 * 32 * 4096
    assert "moe-llava-7bx4" not in sizes  # never published: nothing to run


def test_embedded_models_that_are_not_there_are_missing(monkeypatch, tmp_path):
    from moellava import zoo

    monkeypatch.setattr(zoo, "REPOSITORY", tmp_path)
    findings = {finding.name: finding for finding in command._embedded_models()}
    assert {finding.state for finding in findings.values()} == {"missing"}
    assert {name for name, finding in findings.items() if finding.needed} == {"moe-llava-nano", "llava-nano"}


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch):
    def no_network(*arguments, **options):
        raise socket.gaierror(-2, "Name or service\nnot known")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    finding = command.hub_finding()
    assert finding.state == "missing"
    assert "\n" not in finding.found
    assert "HF_ENDPOINT" in finding.todo


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
    assert (states["HF token"], states["judge key"], states["hub"]) == ("ok", "ok", "note")
    assert "secret" not in shown
    assert not (tmp_path / "cache").exists()


def test_libraries_that_do_not_import_are_a_finding(monkeypatch):
    def broken():
        raise ImportError("libtorch.so: cannot open\nshared object")

    monkeypatch.setattr(command, "_embedded_models", broken)
    findings = command.examine(offline=True)
    assert exit_code(findings) == 1
    assert "do not import: libtorch.so: cannot open shared object" in as_text(findings)
