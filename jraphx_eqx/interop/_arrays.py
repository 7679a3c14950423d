import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


def is_tensor(value: object) -> bool:
    """Whether `value` is a tensor of PyTorch, which need not be installed."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def as_array(value: Any) -> Array | np.ndarray | None:
    """A tensor as a NumPy array of its own memory, arrays as they are; `None` for anything else."""
    if is_tensor(value):
        return from_tensor(value)
    return value if isinstance(value, jax.Array | np.ndarray) else None


def as_tensor(array: Array | np.ndarray) -> Any:
    """An array as a tensor of PyTorch with its own memory, bit by bit."""
    import torch

    array = np.array(array, order="C")
    if array.dtype == jnp.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def from_tensor(tensor: Any) -> np.ndarray:
    """A tensor as a NumPy array with its own memory, bit by bit."""
    import torch

    tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
    if tensor.dtype == torch.bfloat16:
        # NumPy has no such type; that of JAX has the same bits.
        return tensor.contiguous().view(torch.int16).numpy().view(jnp.bfloat16).copy()
    return tensor.numpy().copy()
