"""`python -m moe_eval` is `moe-eval`."""

from moe_eval.cli import main

main()
