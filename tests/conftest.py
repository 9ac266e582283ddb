"""Options that add cases to the tests: `--oracle DIR` and `--vectors DIR`, each as often as wanted.

An oracle case goes to the tests of its format: a module that says `ORACLE_FORMAT = "qwen-vl"` gets those of Qwen-VL, one that says
nothing those of MoE-LLaVA's and LLaVA's code. A module that says `pytestmark = pytest.mark.usefixtures("one_thread")` runs its models on one thread. One that says
`VECTORS = "pope"` gets, as `vectors_folder`, the `pope` folder of every folder of scoring vectors.
"""

import json
import os
from pathlib import Path

import pytest
from hypothesis import settings

# Models this small are slower on several threads, and the last bits of a sum depend on how many there are: a run in this process
# and one in a process of its own must have the same number. Set before anything imports torch.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

settings.register_profile("repeatable", derandomize=True, deadline=None)  # a busy machine is not a failure
settings.load_profile("repeatable")

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def one_thread():
    """Models this small are slower on several threads, and much slower beside other tests."""
    import torch  # only here: most tests need no torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--oracle", action="append", default=[], type=Path, metavar="DIR", help="further oracle cases")
    parser.addoption("--vectors", action="append", default=[], type=Path, metavar="DIR", help="further scoring vectors")


def oracle_cases(config: pytest.Config) -> list[Path]:
    """Folders with recorded outputs: the committed ones and those under every `--oracle DIR` (or DIR itself)."""
    roots = [DATA / "oracle", *config.getoption("oracle")]
    cases = [folder for root in roots for folder in (root, *sorted(root.iterdir())) if (folder / "io.json").exists()]
    return [case.resolve() for case in cases]


def oracle_format(case: Path) -> str:
    """Whose code recorded a case: `qwen-vl`, `tinygpt-v`, or `llava` for MoE-LLaVA's and LLaVA's."""
    checkpoint = case / "checkpoint"
    if any(checkpoint.glob("TinyGPT-V*.pth")):
        return "tinygpt-v"
    config = checkpoint / "config.json"
    return "qwen-vl" if config.exists() and "visual" in json.loads(config.read_text()) else "llava"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "oracle_case" in metafunc.fixturenames:
        wanted = getattr(metafunc.module, "ORACLE_FORMAT", "llava")
        cases = [case for case in oracle_cases(metafunc.config) if oracle_format(case) == wanted]
        metafunc.parametrize("oracle_case", cases, ids=[f"oracle-{case.name}" for case in cases], scope="session")
    benchmark = getattr(metafunc.module, "VECTORS", None)
    if benchmark and "vectors_folder" in metafunc.fixturenames:
        folders = [root / benchmark for root in (DATA / "vectors", *metafunc.config.getoption("vectors"))]
        folders = [folder for folder in folders if folder.is_dir()]
        metafunc.parametrize(
            "vectors_folder", folders, ids=[f"vectors-{number}-{benchmark}" for number in range(len(folders))]
        )
