"""What is made of facts about a machine."""

import json

import pytest

from moe_eval.machine.findings import (
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
NEEDED = Finding("moe-eval run", "torch", "missing", "not installed", "make setup", needed=True)
OPTIONAL = Finding("optional", "[train]", "missing", "no peft", "make setup EXTRAS=train")
FINE = Finding("moe-eval run", "Python", "ok", "3.12", needed=True)


@pytest.mark.parametrize(("findings", "code"), [([FINE], 0), ([FINE, OPTIONAL], 0), ([FINE, NEEDED, OPTIONAL], 1)])
def test_only_what_a_run_needs_fails(findings, code):
    assert exit_code(findings) == code


def test_an_untested_version_does_not_fail():
    finding = version_finding("moe-eval run", "torch", "2.12.0", "2.13.0", "pip install x")
    assert (finding.state, finding.found, finding.todo) == ("note", "2.12.0; tested with 2.13.0", "pip install x")
    assert exit_code([finding]) == 0


@pytest.mark.parametrize("tested", ["2.13.0", None])
def test_a_cpu_build_is_the_same_version(tested):
    assert version_finding("moe-eval run", "torch", "2.13.0+cpu", tested, "").state == "ok"


def test_packages_that_are_absent_are_named():
    installed = {"torch": "2.13.0", "numpy": None, "PyYAML": "6.0.2", "tqdm": "4.70.1"}
    tested = {"torch": "2.13.0", "pyyaml": "6.0.3", "tqdm": "4.70.1"}
    torch, others = package_findings("moe-eval run", installed, tested, ["torch"], "make setup")
    assert torch.state == "ok"
    assert others.state == "missing"
    assert others.found == "2 of 3 installed; not numpy; PyYAML 6.0.2; tested with 6.0.3"


def test_constraints_are_read_by_name():
    assert parse_constraints("# with torch==1\nTorch==2.13.0  # CPU\nnumpy\n\n") == {"torch": "2.13.0"}


def test_text_is_aligned_and_says_what_to_do():
    assert as_text([FINE, NEEDED, OPTIONAL]) == (
        "moe-eval run\n"
        "  ok       Python   3.12\n"
        "  missing  torch    not installed\n"
        "                    → make setup\n"
        "\n"
        "optional\n"
        "  missing  [train]  no peft\n"
        "                    → make setup EXTRAS=train\n"
        "\n"
        "moe-eval run cannot: torch missing"
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
