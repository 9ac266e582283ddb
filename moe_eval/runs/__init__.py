"""What a run is and leaves on disk: the loop that asks, the journal of answers, `run.json` and `scores.json`, routing."""
