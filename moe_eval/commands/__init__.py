"""What the commands of `moe-eval` do, behind the command line."""
