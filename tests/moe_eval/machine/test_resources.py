"""Memory and disk, within a container's limits."""

from types import SimpleNamespace

import psutil
import pytest

from moe_eval.machine import resources


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """One with 100 bytes, 80 of them free, and the files of its limits in `tmp_path`."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=100, available=80))
    monkeypatch.setattr(resources, "CONTROL_GROUP", tmp_path)


@pytest.mark.parametrize(
    ("limit", "used", "total", "available"),
    [(50, 20, 50, 30), (50, 60, 50, 0), (1000, 20, 100, 80), ("max", 20, 100, 80)],
)
def test_a_containers_limit_counts(tmp_path, limit, used, total, available):
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text(f"{used}\n")
    assert (resources.total_memory(), resources.available_memory()) == (total, available)


def test_without_a_container_the_machine_counts():
    assert (resources.total_memory(), resources.available_memory()) == (100, 80)


def test_disk_is_that_of_the_nearest_folder_that_exists(tmp_path):
    path = tmp_path / "not" / "yet"
    assert resources.nearest_folder(path) == tmp_path
    assert resources.free_disk(path) > 0
    assert resources.can_write(path)
    assert not path.exists()


def test_without_a_gpu_there_is_no_gpu_memory(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert resources.gpu_memory() == []
