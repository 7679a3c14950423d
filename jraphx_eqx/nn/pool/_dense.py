from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from ...data import BatchVector, resolve_batch
from ...ops import edge_mask, gather, segment_sum
from ._dense_selection import DenseSelectOutput
from ._pool import AbstractPool


class AbstractDensePool(AbstractPool):
    """A pooling that gives each node a membership in all of the clusters of its graph.

    It takes the edge list and never makes a matrix of nodes by nodes: the largest arrays have a
    row of memberships for each edge and each node. The pooled graph is flat: cluster `k` of graph
    `b` is row `b * K + k`, and there is an edge, with a weight, from each cluster of a graph to
    each, itself included.
    """

    def reduce(
        self, x: Float[Array, "nodes features"], select: DenseSelectOutput
    ) -> Float[Array, "clusters features"]:
        r"""$\mathbf{S}^\top \mathbf{X}$, graph by graph."""
        return select.reduce(x)

    def connect(
        self,
        select: DenseSelectOutput,
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None = None,
        batch: BatchVector | None = None,
    ) -> tuple[Int[Array, "2 pooled_edges"], Float[Array, " pooled_edges"], BatchVector]:
        r"""The edges between all clusters of a graph, with weights $\mathbf{S}^\top \mathbf{A}
        \mathbf{S}$, and the graph of each cluster."""
        batch = resolve_batch(batch, select.num_nodes)
        weight = edge_weights(edge_index, edge_attr, select.num_nodes, select.matrix.dtype)
        adjacency = select.product(neighbours(select, edge_index, weight))
        pooled = select.graphs(batch)
        edges = _all_pairs(pooled, adjacency.shape[1], edge_index.dtype)
        real = edges[0] < pooled.index.shape[0]
        return edges, jnp.where(real, adjacency.ravel(), 0), pooled

    def lift(
        self, x: Float[Array, "clusters features"], select: DenseSelectOutput
    ) -> Float[Array, "nodes features"]:
        r"""$\mathbf{S} \mathbf{X}$: each node gets the features of its clusters, by membership."""
        return select.lift(x)


def edge_weights(
    edge_index: Int[Array, "2 edges"], edge_attr: Any, num_nodes: int, dtype: np.dtype
) -> Float[Array, " edges"]:
    """One weight for each edge, 1 by default; 0 for padding, whatever it holds."""
    num_edges = edge_index.shape[1]
    if edge_attr is None:
        edge_attr = jnp.ones(num_edges, dtype)
    if edge_attr.shape not in ((num_edges,), (num_edges, 1)) or edge_attr.dtype != dtype:
        raise ValueError(
            f"edge_attr must hold one weight of {jnp.dtype(dtype).name} for each of the "
            f"{num_edges} edges, got {edge_attr.dtype.name} of shape {edge_attr.shape}"
        )
    return jnp.where(edge_mask(edge_index, num_nodes), edge_attr.reshape(num_edges), 0)


def neighbours(
    select: DenseSelectOutput, edge_index: Int[Array, "2 edges"], weight: Float[Array, " edges"]
) -> Float[Array, "nodes clusters"]:
    r"""$\mathbf{A} \mathbf{S}$: the memberships of the targets of each node's edges, added up."""
    source, target = edge_index
    rows = gather(select.matrix, target) * weight[:, None]
    return segment_sum(rows, source, select.num_nodes)


def _all_pairs(pooled, clusters, dtype):
    """The edges between the clusters of each graph; padding for those of a graph without any."""
    num_rows = pooled.index.shape[0]
    row = jnp.arange(num_rows, dtype=dtype)
    row = jnp.where(pooled.node_mask, row, num_rows).reshape(-1, clusters)
    shape = (row.shape[0], clusters, clusters)
    source, target = jnp.broadcast_to(row[:, :, None], shape), jnp.broadcast_to(row[:, None], shape)
    return jnp.stack([source.ravel(), target.ravel()])
