"""What can be reached: a hub that cannot is a finding, never an exception."""

import socket

from moe_eval.machine.access import hub_finding


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch):
    def no_network(*arguments, **options):
        raise socket.gaierror(-2, "Name or service\nnot known")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    finding = hub_finding()
    assert finding.state == "missing"
    assert "\n" not in finding.found
    assert "HF_ENDPOINT" in finding.todo
