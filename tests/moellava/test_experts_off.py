"""Experts that are switched off are never chosen, the others share what was theirs, and afterwards all is as before."""

import pytest
import torch

from moellava.experts_off import experts_off
from moellava.routing import RoutingRecorder
from tests.tiny_models import tiny_moe_llava
