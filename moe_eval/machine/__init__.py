"""What there is on this machine: memory, GPUs, disk, packages, the hub; and what `moe-eval doctor` makes of it."""
