"""TinyGPT-V (arXiv 2312.16862) without its code."""
