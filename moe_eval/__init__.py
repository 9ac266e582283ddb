"""The evaluation harness: tasks, data sources, backends, runs, scores and tables."""
