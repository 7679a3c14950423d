"""Input checks that also run when jaxtyping is disabled. They read shapes and dtypes only, so they
cost nothing under `jit`."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..data import EdgeIndex, as_array


def check_array(array: Any, name: str) -> None:
    """Raises for a list, say. NumPy arrays have become JAX arrays before."""
    if not isinstance(array, jax.Array):
        raise ValueError(
            f"{name} must be an array, got {type(array).__name__}; write jnp.asarray({name})"
        )


def check_features(
    x: Array, in_features: int | None, dtype: np.dtype | None, name: str = "x"
) -> None:
    """Raises unless `x` is `(nodes, in_features)`, `None` being any width, of `dtype`, which is
    that of the parameters, `None` being any."""
    check_array(x, name)
    width = "features" if in_features is None else in_features
    check_number_of_rows(x.shape[0] if x.ndim else 0, name, "nodes")
    if x.ndim != 2:
        hint = f"; add a feature axis, {name}[:, None]" if x.ndim == 1 else ""
        raise ValueError(f"{name} must have shape (nodes, {width}), got {x.shape}{hint}")
    if in_features not in (None, x.shape[1]):
        raise ValueError(
            f"{name} must have {in_features} features, as given by in_features, "
            f"got {x.shape[1]} (shape {x.shape})"
        )
    if dtype is not None:
        check_dtype(x, dtype, name)


def check_last_axis(x: Array, in_features: int, dtype: np.dtype, name: str = "x") -> None:
    """Raises unless `x` is `(..., in_features)`, of `dtype`, which is that of the parameters."""
    check_array(x, name)
    if x.ndim < 1 or x.shape[-1] != in_features:
        raise ValueError(f"{name} must have shape (..., {in_features}), got {x.shape}")
    check_dtype(x, dtype, name)


def check_dtype(x: Array, dtype: np.dtype, name: str) -> None:
    """Raises unless `x` has the parameters' `dtype`."""
    if x.dtype != dtype:
        raise ValueError(
            f"{name} must have the dtype of the parameters, {jnp.dtype(dtype).name}, "
            f"got {x.dtype.name}; cast one of them"
        )


def check_edge_index(edge_index: Array | EdgeIndex) -> None:
    """Raises unless `edge_index` is `(2, edges)`, of integers of at least 32 bits."""
    edges = as_array(edge_index)
    check_array(edges, "edge_index")
    if edges.ndim != 2 or edges.shape[0] != 2:
        transposed = edges.ndim == 2 and edges.shape[1] == 2
        hint = "; it looks transposed: pass edge_index.T" if transposed else ""
        raise ValueError(f"edge_index must have shape (2, edges), got {edges.shape}{hint}")
    check_number_of_rows(edges.shape[1], "edge_index", "edges")
    if edges.dtype not in (jnp.int32, jnp.int64):
        raise ValueError(f"edge_index must have dtype int32 or int64, got {edges.dtype.name}")


def check_edge_attr(
    edge_attr: Array | None, edge_index: Array | EdgeIndex, name: str = "edge_attr"
) -> None:
    """Raises unless `edge_attr` is `None` or has one row for each edge."""
    if edge_attr is None:
        return
    check_array(edge_attr, name)
    num_edges = edge_index.shape[1]
    if edge_attr.shape[:1] != (num_edges,):
        raise ValueError(
            f"{name} must have one row for each of the {num_edges} edges, "
            f"got shape {edge_attr.shape}"
        )


def check_rows(x: Array, num_rows: int, name: str, rows: str) -> None:
    """Raises unless `x` has `num_rows` rows, which are called `rows`."""
    if x.shape[:1] != (num_rows,):
        raise ValueError(
            f"{name} must have one row for each of the {num_rows} {rows}, got shape {x.shape}"
        )


def check_number_of_rows(number: int, name: str, rows: str) -> None:
    """Raises if there are more than 32 bits can count, as positions do, with one to spare."""
    if number >= 2**31 - 1:
        raise ValueError(
            f"{name} must have fewer than 2**31 - 1 {rows}, got {number}: they are counted in 32 "
            "bits; split the graphs among several batches"
        )


def check_positive(**sizes: int) -> None:
    """Raises unless all of `sizes` are at least 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")


def check_callable(**parts: Any) -> None:
    """Raises for a class, and for what cannot be called."""
    for name, part in parts.items():
        if isinstance(part, type) or not callable(part):
            raise ValueError(f"{name} must be a module or a function, got {part!r}")
