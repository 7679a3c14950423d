import sys
from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

# Of the names in a file, those that are wanted.
Keep = Callable[[Collection[str]], list[str]]


def is_tensor(value: object) -> bool:
    """Whether `value` is a tensor of PyTorch, which need not be installed."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def as_array(value: Any) -> Array | np.ndarray | None:
    """A tensor as a NumPy array of its own memory, arrays as they are; `None` for anything else,
    such as a sparse tensor."""
    if is_tensor(value):
        return None if no_array(value) else from_tensor(value)
    return value if isinstance(value, jax.Array | np.ndarray) else None


def why_no_array(value: Any) -> str:
    """What is wrong with a value of which `as_array` makes nothing."""
    reason = no_array(value) if is_tensor(value) else None
    return reason or f"must be an array or a tensor, got {type(value).__name__}"


def as_tensor(array: Array | np.ndarray) -> Any:
    """An array as a tensor of PyTorch with its own memory, bit by bit."""
    import torch

    array = np.array(array, order="C")
    if array.dtype == jnp.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def no_array(tensor: Any) -> str | None:
    """Why a tensor is none that NumPy has, as in "is sparse"; `None` if it is one."""
    import torch

    if tensor.layout != torch.strided or tensor.is_nested:
        return "is sparse or nested; it must be a dense tensor"
    if tensor.is_quantized:
        return "is quantised; it must be one of plain numbers"
    if tensor.device.type == "meta":
        return "is on the device 'meta', which holds no values"
    if tensor.dtype == torch.bfloat16:
        return None
    try:
        torch.empty(0, dtype=tensor.dtype).numpy()
    except (TypeError, RuntimeError):
        return f"has dtype {str(tensor.dtype).removeprefix('torch.')}, which NumPy does not have"
    return None


def from_tensor(tensor: Any) -> np.ndarray:
    """A tensor as a NumPy array with its own memory, bit by bit."""
    import torch

    tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
    if tensor.dtype == torch.bfloat16:
        # NumPy has no such type; that of JAX has the same bits.
        return tensor.contiguous().view(torch.int16).numpy().view(jnp.bfloat16).copy()
    return tensor.numpy().copy()
