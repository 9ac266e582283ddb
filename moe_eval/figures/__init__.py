"""Figures for papers and reports, from result files alone: one module each, `rows` (data) and `draw` (matplotlib)."""
