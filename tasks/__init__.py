"""The benchmarks: one module each, found through the entry-point group `moe_eval.tasks`."""
