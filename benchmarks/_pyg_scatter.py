import torch_scatter

from . import _pyg
from ._inputs import Inputs
from ._operations import Operations

version = {"torch_scatter": torch_scatter.__version__}
set_threads = _pyg.set_threads
set_device, device_memory = _pyg.set_device, _pyg.device_memory
_REDUCTIONS = {"add": "sum", "mean": "mean", "max": "max", "min": "min"}


def operations(inputs: Inputs) -> Operations:
    """PyG with torch-scatter installed.

    On the CPU, PyG 2.8 reduces with torch's own functions even then, so the global pools are
    torch-scatter's here, called directly.
    """
    return _pyg.operations(inputs, pools={f"global_{r}_pool": _pool(r) for r in _REDUCTIONS})


def _pool(name):
    reduce = _REDUCTIONS[name]
    return lambda x, batch, size: torch_scatter.scatter(x, batch, 0, dim_size=size, reduce=reduce)
