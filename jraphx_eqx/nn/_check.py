"""Checks of inputs that hold with jaxtyping's checks switched off, too. They read shapes and
dtypes only, so they cost nothing under `jit`."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


def check_features(
    x: Array, in_features: int | None, dtype: np.dtype, name: str = "x"
) -> None:
    """Raises unless `x` is `(nodes, in_features)` of the parameters' `dtype`.

    `in_features=None` allows any number of features.
    """
    if x.ndim != 2:
        hint = "; add a feature axis, x[:, None]" if x.ndim == 1 else ""
        width = "features" if in_features is None else in_features
        raise ValueError(f"{name} must have shape (nodes, {width}), got {x.shape}{hint}")
    if in_features is not None and x.shape[1] != in_features:
        raise ValueError(
            f"{name} must have {in_features} features, as in_features says, "
            f"got {x.shape[1]} (shape {x.shape})"
        )
    check_dtype(x, dtype, name)


def check_dtype(x: Array, dtype: np.dtype, name: str) -> None:
    """Raises unless `x` has the parameters' `dtype`."""
    if x.dtype != dtype:
        raise ValueError(
            f"{name} must have the dtype of the parameters, {jnp.dtype(dtype).name}, "
            f"got {x.dtype.name}; cast one of them"
        )


def check_edge_index(edge_index: Array) -> None:
    """Raises unless `edge_index` is `(2, edges)`, of integers of at least 32 bits."""
    if edge_index.ndim != 2 or edge_index.shape[0] != 2:
        transposed = edge_index.ndim == 2 and edge_index.shape[1] == 2
        hint = "; it looks transposed, pass edge_index.T" if transposed else ""
        raise ValueError(f"edge_index must have shape (2, edges), got {edge_index.shape}{hint}")
    signed = jnp.issubdtype(edge_index.dtype, jnp.signedinteger)
    if not signed or edge_index.dtype.itemsize < 4:
        raise ValueError(
            f"edge_index must have dtype int32 or int64, got {edge_index.dtype.name}"
        )


def check_edge_attr(edge_attr: Array | None, edge_index: Array, name: str = "edge_attr") -> None:
    """Raises unless `edge_attr` is `None` or has one row per edge."""
    if edge_attr is None:
        return
    num_edges = edge_index.shape[1]
    if edge_attr.ndim == 0 or edge_attr.shape[0] != num_edges:
        raise ValueError(
            f"{name} must have one row for each of the {num_edges} edges, "
            f"got shape {edge_attr.shape}"
        )


def check_edge_weight(
    edge_weight: Array | None, edge_index: Array, dtype: np.dtype, name: str = "edge_weight"
) -> None:
    """Raises unless `edge_weight` is `None` or has shape `(edges,)` or `(edges, 1)` and `dtype`."""
    if edge_weight is None:
        return
    check_edge_attr(edge_weight, edge_index, name)
    if edge_weight.ndim > 1 and edge_weight.shape[1:] != (1,):
        raise ValueError(f"{name} must be one number per edge, got shape {edge_weight.shape}")
    check_dtype(edge_weight, dtype, name)


def check_positive(**sizes: int) -> None:
    """Raises unless all of `sizes` are at least 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
