import importlib.metadata
import importlib.util
import platform
from typing import Any

import jax
import numpy as np

from ._tolerance import JITTERED_RUNS, MORE_RUNS, SAFETY


def environment() -> dict[str, Any]:
    """Versions and settings that a result depends on."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "backend": jax.default_backend(),
        "jax": jax.__version__,
        "numpy": np.__version__,
        "jittered_runs": [JITTERED_RUNS, MORE_RUNS],
        "safety": SAFETY,
    }


def is_torch_here() -> bool:
    """Whether PyTorch is installed."""
    return importlib.util.find_spec("torch") is not None


def torch_environment() -> dict[str, Any]:
    """The same of the PyTorch side."""
    import torch

    found = {
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "torch_capability": torch.backends.cpu.get_cpu_capability(),
    }
    if importlib.util.find_spec("torch_geometric"):
        found["torch_geometric"] = importlib.metadata.version("torch_geometric")
    return found
