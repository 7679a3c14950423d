"""What poolings by memberships share, of the matrices of clusters by clusters of all graphs."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ...ops import segment_sum, wide_dtype
from ._dense_selection import DenseSelectOutput

_EPS = 1e-15  # PyG's, beside a root


def root(square: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The square root, with gradient 0 at 0, as that of a norm in PyTorch; 0 below 0."""
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)


def quotient(
    above: Float[Array, "*shape"], below: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """`above / below`, and 0, with gradient 0, where `below` is 0."""
    real = below != 0
    return jnp.where(real, above / jnp.where(real, below, 1), 0)


def normalized(
    adjacency: Float[Array, "graphs clusters clusters"],
) -> Float[Array, "graphs clusters clusters"]:
    """With 0 on the diagonal, divided by the roots of the sums of the rows, for rows and columns.

    Those with a sum of 0, or below, become 0.
    """
    clusters = adjacency.shape[1]
    adjacency = jnp.where(jnp.eye(clusters, dtype=bool)[None], 0, adjacency)
    degree = jnp.sum(adjacency, axis=2)
    norm = root(degree)
    factor = quotient(jnp.ones_like(norm), jnp.where(norm > 0, norm + _EPS, 0))
    return adjacency * factor[:, :, None] * factor[:, None, :]


def orthogonality(gram: Float[Array, "graphs clusters clusters"]) -> Float[Array, " graphs"]:
    """How far clusters are from being apart and of equal sizes, by the products of their
    memberships; 0 for a graph without nodes."""
    clusters = gram.shape[1]
    norm = root(jnp.sum(gram**2, axis=(1, 2)))[:, None, None]
    unit = jnp.eye(clusters, dtype=gram.dtype)[None] / clusters**0.5
    used = norm[:, 0, 0] > 0
    difference = quotient(gram, jnp.broadcast_to(norm, gram.shape)) - unit
    square = jnp.sum(difference**2, axis=(1, 2))
    return root(jnp.where(used, square, 0))


def cluster_lengths(select: DenseSelectOutput) -> Float[Array, "graphs clusters"]:
    """The norm of the memberships of each cluster."""
    square = segment_sum(select.matrix**2, select.batch.index, select.batch.num_graphs)
    return root(square)


def mean_over(values: Float[Array, " graphs"], real: Bool[Array, " graphs"]) -> Float[Array, ""]:
    """The mean over those that are `real`; 0 if none is."""
    number = jnp.sum(real, dtype=jnp.int32).astype(values.dtype)
    return jnp.sum(jnp.where(real, values, 0)) / jnp.maximum(number, 1)


def widened(tree: Any) -> Any:
    """With float32 for half precision, in which squares of sums overflow."""
    return jax.tree.map(
        lambda leaf: leaf.astype(wide_dtype(leaf.dtype)) if eqx.is_inexact_array(leaf) else leaf,
        tree,
    )


def dense_inputs(
    x: Float[Array, "..."],
    adj: Float[Array, "..."],
    s: Float[Array, "..."],
    mask: Bool[Array, "..."] | None,
) -> tuple[
    Float[Array, "graphs nodes features"],
    Float[Array, "some nodes nodes"],
    Float[Array, "graphs nodes clusters"],
    Bool[Array, "graphs nodes 1"],
]:
    """The arguments of the functions for dense batches, with an axis for graphs, and a mask."""
    x, adj, s = (array[None] if array.ndim == 2 else array for array in (x, adj, s))
    column = (*x.shape[:2], 1)
    return x, adj, s, jnp.ones(column, bool) if mask is None else mask.reshape(column)
