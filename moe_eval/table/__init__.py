"""Comparison tables: measured rows from run folders beside published rows, in four formats from the same rows."""
