"""Metrics that belong to no single task: pure functions of plain values."""

from moe_eval.metrics.binary_classification import BinaryCounts, binary_metrics, count_binary, precision_recall_f1

__all__ = ["BinaryCounts", "binary_metrics", "count_binary", "precision_recall_f1"]
