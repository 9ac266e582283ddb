"""Marks that transformers' own tests carry (test_common_suite.py)."""

import pytest

SUITE_MARKS = "accelerate_tests flash_attn_test flash_attn_3_test flash_attn_4_test torch_compile_test generate order"


def pytest_configure(config: pytest.Config) -> None:
    for mark in SUITE_MARKS.split():
        config.addinivalue_line("markers", f"{mark}: of transformers' suite")
