"""What the routers of a sparse model do: how many tokens each expert gets, and the paths that tokens take.

`RoutingRecorder` watches forward passes and `generate`; `expert_load` is for a training loop that has router logits at
hand.
"""

from moellava.routing.load import expert_load
from moellava.routing.recorder import RoutingRecorder, check_recordable
from moellava.routing.sequences import (
    MODALITIES,
    Modality,
    RoutingError,
    SequenceRouting,
    TokenPath,
    image_token_id,
    sequence_routing,
)

__all__ = [
    "MODALITIES",
    "Modality",
    "RoutingError",
    "RoutingRecorder",
    "SequenceRouting",
    "TokenPath",
    "check_recordable",
    "expert_load",
    "image_token_id",
    "sequence_routing",
]
