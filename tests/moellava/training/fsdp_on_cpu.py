"""`python -m moellava.train` with FSDP2 on CPUs: accelerate shards on accelerators only, so that it is told it has some.

Run as a script under torchrun with accelerate's FSDP_* environment variables.
"""

import sys

from accelerate.state import DistributedType, PartialState

from moellava.train import main


def count_cpus_as_accelerators() -> None:
    """Make accelerate treat a gloo process group as it treats one of GPUs."""
    prepare = PartialState.__init__

    def init(self, *args, **kwargs):
        prepare(self, *args, **kwargs)
        if self.distributed_type == DistributedType.MULTI_CPU:
            PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU

    PartialState.__init__ = init


if __name__ == "__main__":
    count_cpus_as_accelerators()
    sys.exit(main())
