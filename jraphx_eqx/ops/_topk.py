import math
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from ..data import BatchVector
from ._dtype import wide_dtype
from ._gather import gather
from ._order import descending_order
from ._search import count_at_most
from ._segment import segment_max


def top_k(
    score: Float[Array, " nodes"], batch: BatchVector, ratio: float | int, capacity: int
) -> tuple[Int[Array, " pooled_nodes"], Int[Array, ""]]:
    """The highest-scoring nodes of each graph.

    **Arguments:**

    - `score`: what nodes are ranked by.
    - `batch`: the graph of each node.
    - `ratio`: the fraction of each graph's nodes to keep, rounded up, or from 1 on their number.
    - `capacity`: how many entries to return. See
        [`top_k_capacity`][jraphx_eqx.ops.top_k_capacity] for one that is always enough.

    **Returns:** `(perm, total)`. `perm` holds node indices, by graph, then by descending score,
    ties by lowest index; entries without a node are the number of nodes. `total` is the number of
    nodes to keep, which may exceed a small `capacity`.
    """
    counts = batch.counts
    kept = top_k_counts(counts, ratio, score.dtype)
    order = descending_order(score, batch)
    ends = jnp.cumsum(kept)
    slot = jnp.arange(capacity, dtype=jnp.int32)
    graph = count_at_most(ends, slot)
    # Slots before the graph's first, and nodes before it, in the order by graph.
    skipped = jnp.cumsum(counts) - counts - (ends - kept)
    rank = jnp.where(graph < batch.num_graphs, slot + gather(skipped, graph), score.shape[0])
    perm = gather(order, rank, fill_value=score.shape[0])
    return perm, jnp.sum(kept)


def top_k_counts(
    counts: Int[Array, " graphs"], ratio: float | int, dtype: DTypeLike
) -> Int[Array, " graphs"]:
    """The number of nodes that each graph keeps.

    As PyG's, a fraction is `ceil(ratio * counts)` in the dtype of the scores: 0.3 of 50 nodes is
    16 in float32 and 15 in float64. Below float32 it is computed in float32, unlike PyG's.
    """
    if ratio >= 1:
        return jnp.minimum(counts, min(int(ratio), jnp.iinfo(counts.dtype).max))
    exact = wide_dtype(dtype)
    fraction = jnp.ceil(float(ratio) * counts.astype(exact))
    return jnp.minimum(counts, fraction.astype(counts.dtype))


def top_k_capacity(num_nodes: int, num_graphs: int, ratio: float | int, dtype: DTypeLike) -> int:
    """The largest number of nodes that `num_graphs` graphs can keep of `num_nodes` in all.

    With `r` the ratio as rounded to the dtype and `u` its unit roundoff, the product for one graph
    rounds to at most `r (1 + u)² n`, and rounding up adds less than 1.
    """
    if ratio >= 1:
        return min(num_nodes, int(ratio) * num_graphs)
    exact = wide_dtype(dtype)
    rounded = exact.type(ratio)
    if num_graphs == 1:
        return min(num_nodes, int(np.ceil(rounded * exact.type(num_nodes))))
    growth = (1 + Fraction(float(jnp.finfo(exact).eps)) / 2) ** 2
    bound = Fraction(float(rounded)) * growth * num_nodes
    return min(num_nodes, math.floor(bound) + num_graphs)


def above_min_score(
    score: Float[Array, " nodes"], batch: BatchVector, min_score: float | int, tol: float = 1e-7
) -> Bool[Array, " nodes"]:
    """Which nodes score above `min_score`, or near the maximum of their graph if that is lower.

    The threshold is `min(max - tol, min_score)`, and a score must exceed it. Below float32 it is
    computed in float32, because `tol` vanishes there and, in PyG, a graph can lose all its nodes.
    """
    score = score.astype(wide_dtype(score.dtype))
    largest = segment_max(score, batch.index, batch.num_graphs) - tol
    threshold = gather(jnp.minimum(largest, min_score), batch.index)
    return (score > threshold) & batch.node_mask


def first_true(
    mask: Bool[Array, " rows"], capacity: int
) -> tuple[Int[Array, " kept"], Int[Array, ""]]:
    """Where `mask` is true, in order, padded with the length of `mask`; and how often it is."""
    (index,) = jnp.nonzero(mask, size=capacity, fill_value=mask.shape[0])
    return index.astype(jnp.int32), jnp.sum(mask, dtype=jnp.int32)
