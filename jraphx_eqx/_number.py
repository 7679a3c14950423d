"""Numbers that fix a shape or a branch, from wherever they come.

`batch.max() + 1` is a NumPy scalar or a JAX array, and `np.float32(0.5)` is no `float`. Such a
number becomes one of Python before the types are checked, since a static field must not hold an
array (patrick-kidger/equinox#1243).
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, no_type_check

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

_P = ParamSpec("_P")
_T = TypeVar("_T")

# What arguments are called that fix a shape.
_SIZES = (
    *("size", "num_nodes", "num_edges", "num_graphs"),
    *("max_nodes", "max_edges", "max_paths", "max_rows"),
)


def as_number(value: Any, name: str) -> Any:
    """A NumPy scalar, or an array without axes, as a Python number; anything else as it is.

    **Raises:** `ValueError` for a number that is being traced.
    """
    if type(value) in (list, tuple):
        return type(value)(as_number(part, name) for part in value)
    if not isinstance(value, np.generic | np.ndarray | jax.Array) or value.ndim:
        return value
    if not (value.dtype == bool or jnp.issubdtype(value.dtype, jnp.number)):  # a key
        return value
    if isinstance(value, jax.core.Tracer):
        raise ValueError(
            f"{name} must be known before tracing (jit, vmap, ...), because it fixes a shape or a "
            "branch; pass a Python number"
        )
    return value.item()


def python_numbers(init: Callable[_P, _T]) -> Callable[_P, _T]:
    """A constructor whose options may be numbers of any kind."""
    return _converting(init, lambda name: name != "self")


def python_sizes(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """A function whose sizes may be numbers of any kind."""
    return _converting(function, _SIZES.__contains__)


def _converting(function, converts):
    names = list(inspect.signature(function).parameters)

    @functools.wraps(function)
    def call(*args, **kwargs):
        args = [
            as_number(value, name) if converts(name) else value
            for name, value in zip([*names, *[""] * len(args)], args, strict=False)
        ]
        kwargs = {
            name: as_number(value, name) if converts(name) else value
            for name, value in kwargs.items()
        }
        return function(*args, **kwargs)

    # jaxtyping checks the constructor of a class once more, from the outside, where the numbers are
    # still what they were.
    return no_type_check(call)
