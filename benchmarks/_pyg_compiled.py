import logging

import torch

from . import _pyg
from ._inputs import Inputs
from ._operations import Operations

version: dict[str, str] = {}
set_threads = _pyg.set_threads
set_device, device_memory = _pyg.set_device, _pyg.device_memory
torch._logging.set_logs(all=logging.ERROR)


def operations(inputs: Inputs) -> Operations:
    """PyG under `torch.compile`, which breaks its graphs at every size that depends on values."""
    return _pyg.operations(inputs, _compiled)


def _compiled(function):
    # The operators share code, and after eight programs for one function torch gives up on it.
    torch._dynamo.reset()
    return torch.compile(function)
