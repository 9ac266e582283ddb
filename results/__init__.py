"""Published numbers and known effects with their sources, and baselines of the gate; installed as `moe_eval.results`."""
