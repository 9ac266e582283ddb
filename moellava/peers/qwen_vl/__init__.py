"""Qwen-VL and Qwen-VL-Chat (arXiv 2308.12966) without remote code."""
