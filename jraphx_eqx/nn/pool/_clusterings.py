"""Clusterings that are computed and not learnt."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from ..._number import python_sizes
from ...data import BatchVector, resolve_batch
from ...ops import (
    count_at_most,
    degree,
    descending_order,
    edge_mask,
    gather,
    greedy_matching,
    masked_edges,
    remove_self_loops,
)
from .._check import check_edge_attr, check_edge_index
from .._entry import takes_numpy
from ._cluster import pooled_edges


@takes_numpy
@python_sizes
def graclus(
    edge_index: Int[Array, "2 edges"],
    weight: Float[Array, " edges"] | None = None,
    *,
    num_nodes: int,
    key: PRNGKeyArray | None = None,
) -> Int[Array, " nodes"]:
    """Puts the ends of edges into clusters of two: the heaviest edge first, then the heaviest of
    those that touch no cluster, until none is left.

    Of equal weights the first edge counts; with a `key` any. Self-loops and edges of a negative
    weight play no part. Both directions of an edge are one.

    `torch_geometric.nn.graclus` visits the nodes in a random order instead, and joins each with the
    heaviest neighbour that is left. Both give clusters to which no edge can be added.

    **Arguments:**

    - `edge_index`: the edges; padding has an end past the last node.
    - `weight`: the weight of each edge. 1 by default.
    - `num_nodes`: the number of nodes, static.
    - `key`: for the order of equal weights.

    **Returns:** the cluster of each node, by the smaller node in it.
    """
    check_edge_index(edge_index)
    check_edge_attr(weight, edge_index, "weight")
    if weight is None:
        weight = jnp.ones(edge_index.shape[1])
    pairs = heaviest_edges(edge_index, weight, num_nodes, key)
    ends = gather(edge_index.T, pairs, fill_value=num_nodes)
    cluster = jnp.arange(num_nodes, dtype=edge_index.dtype)
    return cluster.at[jnp.max(ends, axis=1)].set(jnp.min(ends, axis=1), mode="drop")


def heaviest_edges(
    edge_index: Int[Array, "2 edges"],
    weight: Float[Array, " edges"],
    num_nodes: int,
    key: PRNGKeyArray | None = None,
) -> Int[Array, " pairs"]:
    """The edges that [`graclus`][jraphx_eqx.nn.pool.graclus] joins, the heaviest first, followed by
    padding."""
    order = jnp.arange(edge_index.shape[1], dtype=jnp.int32)
    if key is not None:
        order = jax.random.permutation(key, order)
    edges, weight = edge_index[:, order], weight[order]
    edges, _ = remove_self_loops(edges, None, num_nodes)
    edges, _ = masked_edges(edges, None, (edges[0] < num_nodes) & ~(weight < 0), num_nodes)
    pairs = greedy_matching(edges, weight, num_nodes)
    return gather(order, pairs, fill_value=order.shape[0])


@takes_numpy
def voxel_grid(
    pos: Float[Array, "nodes dimensions"],
    size: Float[Array, " dimensions"] | float | int,
    batch: BatchVector | Int[Array, " nodes"] | None = None,
    start: Float[Array, " dimensions"] | float | int | None = None,
    end: Float[Array, " dimensions"] | float | int | None = None,
) -> Int[Array, " nodes"]:
    """The voxel of a grid that each position is in.

    Equal to `torch_geometric.nn.voxel_grid`. Voxels are numbered along the first dimension first,
    and graphs last. As there, positions below `start` count towards it: a voxel that reaches to
    both sides of `start` has twice the size.

    **Arguments:**

    - `pos`: the positions. Those of padding may hold anything.
    - `size`: the size of a voxel, in each dimension or in all.
    - `batch`: the graph of each position. `None` is one graph. A bare array holds no padding, and
        under tracing pass a [`BatchVector`][jraphx_eqx.data.BatchVector].
    - `start`, `end`: the ends of the grid; by default the smallest and the largest positions.

    **Returns:** an id for each position, as
    [`consecutive_cluster`][jraphx_eqx.ops.consecutive_cluster] and
    [`max_pool`][jraphx_eqx.nn.pool.max_pool] take them; -1 for padding. The ids must be below 2³¹.
    """
    if pos.ndim != 2:
        raise ValueError(f"pos must have shape (nodes, dimensions), got {pos.shape}")
    batch = resolve_batch(batch, pos.shape[0])
    real = batch.node_mask[:, None]
    least, largest = (
        jnp.min(jnp.where(real, pos, jnp.inf), axis=0, initial=jnp.inf),
        jnp.max(jnp.where(real, pos, -jnp.inf), axis=0, initial=-jnp.inf),
    )
    dimensions = pos.shape[1:]
    size, start, end = (
        jnp.broadcast_to(jnp.asarray(value, pos.dtype), dimensions)
        for value in (size, least if start is None else start, largest if end is None else end)
    )
    number = ((end - start) / size).astype(jnp.int32) + 1
    stride = jnp.concatenate([jnp.ones(1, jnp.int32), jnp.cumprod(number, dtype=jnp.int32)])
    voxel = (jnp.where(real, pos - start[None], 0) / size[None]).astype(jnp.int32)
    cluster = jnp.sum(voxel * stride[None, :-1], axis=1, dtype=jnp.int32)
    cluster = cluster + batch.index.astype(jnp.int32) * stride[-1]
    return jnp.where(batch.node_mask, cluster, -1)


@takes_numpy
@python_sizes
def normalized_cut(
    edge_index: Int[Array, "2 edges"],
    edge_attr: Float[Array, "edges *edge_features"],
    *,
    num_nodes: int,
) -> Float[Array, "edges *edge_features"]:
    r"""$e_{ij} (1 / \deg(i) + 1 / \deg(j))$, where $\deg$ is the number of edges that point at a
    node.

    Equal to `torch_geometric.utils.normalized_cut`: infinite for an edge from a node at which none
    points. 0 for padding edges, those with an end past the last node.
    """
    check_edge_index(edge_index)
    check_edge_attr(edge_attr, edge_index)
    real = edge_mask(edge_index, num_nodes)
    edges, values = masked_edges(edge_index, edge_attr, real, num_nodes)
    assert values is not None
    inverse = 1 / degree(edges[1], num_nodes, dtype=values.dtype)
    factor = gather(inverse, edges[0]) + gather(inverse, edges[1])
    return values * factor.reshape(-1, *[1] * (values.ndim - 1))


@takes_numpy
@python_sizes
def decimation_indices(
    batch: BatchVector | Int[Array, " nodes"],
    factor: float | int,
    *,
    size: int | None = None,
    key: PRNGKeyArray,
) -> tuple[Int[Array, " kept"], BatchVector]:
    """A random part of the nodes of each graph, one of `factor`, rounded down, but one at least.

    As `torch_geometric.nn.pool.decimation.decimation_indices`, which takes and returns the first
    nodes of the graphs, `ptr`, and so needs a sorted batch vector.

    **Arguments:**

    - `batch`: the graph of each node.
    - `factor`: how many nodes there are for one that is kept; at least 1.
    - `size`: the number of graphs. Needed only for a bare `batch` under tracing.
    - `key`: for the choice.

    **Returns:** `(index, batch)`: the nodes, by graph, and the graph of each. Padding, which comes
    last, is the number of nodes.
    """
    if not factor >= 1:
        raise ValueError(f"factor must be at least 1, got {factor}")
    num_nodes = (batch.index if isinstance(batch, BatchVector) else batch).shape[0]
    batch = resolve_batch(batch, num_nodes, size)
    counts = batch.counts
    kept = jnp.floor(counts / factor).astype(counts.dtype)
    kept = jnp.minimum(jnp.maximum(kept, 1), counts)
    order = descending_order(jax.random.uniform(key, (num_nodes,)), batch)
    room = min(num_nodes, math.floor(num_nodes / factor) + batch.num_graphs)
    ends, slot = jnp.cumsum(kept), jnp.arange(room, dtype=jnp.int32)
    graph = count_at_most(ends, slot)
    skipped = jnp.cumsum(counts) - counts - (ends - kept)
    rank = jnp.where(graph < batch.num_graphs, slot + gather(skipped, graph), num_nodes)
    index = gather(order, rank, fill_value=num_nodes)
    return index, BatchVector(graph, batch.num_graphs)


@takes_numpy
@python_sizes
def pool_edge(
    cluster: Int[Array, " nodes"],
    edge_index: Int[Array, "2 edges"],
    edge_attr: Shaped[Array, "edges *edge_features"] | None = None,
    aggr: str = "add",
    *,
    num_clusters: int | None = None,
) -> tuple[Int[Array, "2 edges"], Shaped[Array, "edges *edge_features"] | None]:
    """The edges between clusters, without self-loops, equal ones as one.

    Equal to PyG's `pool_edge`, which makes the edges of `max_pool`.

    **Arguments:**

    - `cluster`: the cluster of each node, of those from 0 on, as
        [`consecutive_cluster`][jraphx_eqx.ops.consecutive_cluster] returns them.
    - `edge_index`: the edges; padding has an end past the last node.
    - `edge_attr`: attributes of the edges, of any rank.
    - `aggr`: how those of equal edges are reduced: `"add"` or `"sum"`, `"mean"`, `"max"`, `"min"`.
    - `num_clusters`: the number of clusters, static. The number of nodes by default.

    **Returns:** `(edge_index, edge_attr)`, by source and then by target, with padding at the end,
    whose ends are `num_clusters`.
    """
    check_edge_index(edge_index)
    check_edge_attr(edge_attr, edge_index)
    room = cluster.shape[0] if num_clusters is None else num_clusters
    return pooled_edges(cluster, room, edge_index, edge_attr, aggr=aggr)
