from types import ModuleType
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np


def is_traced(*arrays: object) -> bool:
    """Whether any of `arrays` has no value yet, because JAX is tracing."""
    return any(isinstance(array, jax.core.Tracer) for array in arrays)


def on_host(tree: Any) -> tuple[ModuleType, Any]:
    """The tree with NumPy arrays, and NumPy; or, if traced, itself and `jax.numpy`.

    Eager JAX operations compile once for each shape, and containers come in many shapes.
    """
    if is_traced(*jax.tree.leaves(tree)):
        return jnp, tree
    return np, jax.tree.map(np.asarray, tree)


def on_device(tree: Any) -> Any:
    """The tree with JAX arrays."""
    return jax.tree.map(_put, tree)


def _put(array: Any) -> Any:
    if isinstance(array, jax.Array):
        return array
    # `jnp.asarray` would compile for each shape. `device_put` shares or reads the memory later,
    # when the owner of a NumPy array may have overwritten it. Constants of a traced function stay
    # concrete, so that their values are checked too.
    with jax.ensure_compile_time_eval():
        return jax.device_put(narrowed(np.array(array)))


def narrowed(array: np.ndarray) -> np.ndarray:
    """With integers of 32 bits, if JAX has no wider ones."""
    dtype = jax.dtypes.canonicalize_dtype(array.dtype)
    if array.dtype.kind not in "iu" or dtype == array.dtype:
        return array
    narrow = array.astype(dtype)
    if np.any(wrong := narrow != array):
        raise ValueError(
            f"integers must fit into {dtype.name}, got {array[wrong].flat[0]}; turn on "
            "jax_enable_x64, or pass smaller numbers"
        )
    return narrow
