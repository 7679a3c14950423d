from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num, Shaped

from ...data import BatchVector, resolve_batch
from ...ops import (
    aggregation,
    coalesce,
    edge_mask,
    error_if,
    gather,
    masked_edges,
    remove_self_loops,
    segment_max,
    segment_sum,
)
from ._dense import edge_weights
from ._dense_losses import quotient, root
from ._pool import AbstractPool
from ._selection import OverlapSelectOutput, SelectOutput


class AbstractClusterPool(AbstractPool):
    """A pooling that makes one node of each cluster of nodes.

    The features of a cluster are the sum of those of its nodes, times their weights. Its edges are
    those of its nodes; equal ones become one, their attributes reduced by `edge_aggr`, which is
    mostly `"add"`, and divided as `edge_norm` says.
    """

    keeps_loops: eqx.AbstractVar[bool]
    edge_aggr: eqx.AbstractVar[str]
    edge_norm: eqx.AbstractVar[str | None]

    def reduce(
        self, x: Float[Array, "nodes features"], select: SelectOutput | OverlapSelectOutput
    ) -> Float[Array, "clusters features"]:
        """The sum of the features of the nodes of each cluster, times their weights."""
        return select.reduce(x)

    def connect(
        self,
        select: SelectOutput | OverlapSelectOutput,
        edge_index: Int[Array, "2 edges"],
        edge_attr: Num[Array, "edges ..."] | None = None,
        batch: BatchVector | None = None,
    ) -> tuple[Int[Array, "2 pooled_edges"], Num[Array, "pooled_edges ..."] | None, BatchVector]:
        """The edges between clusters, by source and then by target, and the graph of each."""
        options = (self.keeps_loops, self.edge_aggr, self.edge_norm)
        return connect_clusters(select, edge_index, edge_attr, batch, *options)

    def losses(
        self,
        select: SelectOutput | OverlapSelectOutput,
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None,
        batch: BatchVector,
    ) -> dict[str, Float[Array, ""]]:
        """None."""
        return {}


def connect_clusters(
    select: SelectOutput | OverlapSelectOutput,
    edge_index: Int[Array, "2 edges"],
    edge_attr: Num[Array, "edges ..."] | None,
    batch: BatchVector | None = None,
    keep_loops: bool = False,
    edge_aggr: str = "add",
    edge_norm: str | None = None,
) -> tuple[Int[Array, "2 edges"], Num[Array, "edges ..."] | None, BatchVector]:
    """The edges between the clusters of their ends, equal ones as one, and the graph of each
    cluster.

    A node must be in one cluster at most. `edge_norm` is one of `EDGE_NORMS`, for weights.
    """
    pooled, label = select.graphs(resolve_batch(batch, select.num_nodes)), select.labels
    room = select.num_clusters
    if edge_norm is not None and edge_attr is not None:
        edge_attr = edge_weights(edge_index, edge_attr, select.num_nodes, edge_attr.dtype)
    more = {"keep_loops": keep_loops, "aggr": edge_aggr}
    edges, edge_attr = pooled_edges(label, room, edge_index, edge_attr, **more)
    if edge_norm == "degree" and edge_attr is None:
        own = select if isinstance(select, SelectOutput) else select.own
        dtype = jnp.result_type(float) if own.weight is None else own.weight.dtype
        edge_attr = edge_mask(edges, room).astype(dtype)
    if edge_norm is not None and edge_attr is not None:
        edge_attr = EDGE_NORMS[edge_norm](edges, edge_attr, pooled)
    return edges, edge_attr, pooled


def check_edges(edge_aggr: str, edge_norm: str | None) -> None:
    """Raises unless `connect_clusters` knows these."""
    aggregation(edge_aggr, "edge_aggr")
    if edge_norm is not None and edge_norm not in EDGE_NORMS:
        names = ", ".join(map(repr, (None, *EDGE_NORMS)))
        raise ValueError(f"edge_norm must be one of {names}, got {edge_norm!r}")


def _by_degrees(edges, weight, pooled):
    degree = root(segment_sum(weight, edges[0], pooled.index.shape[0]))
    factor = quotient(jnp.ones_like(degree), degree)
    return weight * gather(factor, edges[0]) * gather(factor, edges[1])


def _by_largest(edges, weight, pooled):
    graph = gather(pooled.index, edges[0], fill_value=pooled.num_graphs)
    largest = segment_max(jnp.abs(weight), graph, pooled.num_graphs)
    return quotient(weight, gather(largest, graph))


# By the roots of the sums at both ends, and by the largest weight of the graph.
EDGE_NORMS: dict[str, Callable[[Array, Array, BatchVector], Array]] = {
    "degree": _by_degrees,
    "max": _by_largest,
}


def pooled_edges(
    label: Int[Array, " nodes"],
    room: int,
    edge_index: Int[Array, "2 edges"],
    edge_attr: Num[Array, "edges ..."] | None,
    *,
    keep_loops: bool = False,
    aggr: str = "add",
) -> tuple[Int[Array, "2 edges"], Num[Array, "edges ..."] | None]:
    """The same by the label of each node, of which there are `room`; from `room` on it has none."""
    edges = gather(label.astype(edge_index.dtype), edge_index, fill_value=room)
    edges, edge_attr = masked_edges(edges, edge_attr, edge_mask(edges, room), room)
    if not keep_loops:
        edges, edge_attr = remove_self_loops(edges, edge_attr, room)
    return coalesce(edges, edge_attr, room, aggr)


def select_clusters(
    cluster: Int[Array, " nodes"],
    total: Int[Array, ""],
    weight: Float[Array, " nodes"] | None = None,
    max_nodes: int | None = None,
) -> SelectOutput:
    """The selection that puts each node into one cluster.

    **Arguments:**

    - `cluster`: the cluster of each node, of those from 0 on; padding is the number of nodes.
    - `total`: the number of clusters.
    - `weight`: the weight of each node. 1 by default.
    - `max_nodes`: room for this many clusters, and for one at least, instead of for as many as
        there are nodes. To need more is an error at run time.
    """
    num_nodes = cluster.shape[0]
    node = jnp.arange(num_nodes, dtype=jnp.int32)
    if max_nodes is None or max_nodes >= num_nodes:
        return SelectOutput(node, cluster, weight, num_nodes=num_nodes, num_clusters=num_nodes)
    if max_nodes < 0:
        raise ValueError(f"max_nodes must not be negative, got {max_nodes}")
    room, overflow = max(max_nodes, 1), total > max_nodes
    message = f"there are more clusters than max_nodes={max_nodes} has room for; raise max_nodes"
    cluster = error_if(jnp.minimum(cluster, room), overflow, message)
    return SelectOutput(
        node, cluster, weight, num_nodes=num_nodes, num_clusters=room, overflow=overflow
    )


def keep_features(select: SelectOutput, kept: Bool[Array, " nodes"]) -> OverlapSelectOutput:
    """The same clusters, but with the features of the nodes in `kept` alone."""
    cluster = jnp.where(kept, select.cluster_index, select.num_clusters)
    return OverlapSelectOutput(select, eqx.tree_at(lambda s: s.cluster_index, select, cluster))


def lift_by_weights(
    x: Float[Array, "clusters features"], select: SelectOutput, lift_by: str
) -> Float[Array, "nodes features"]:
    """The features of the cluster of each node times its weight, by `"inverse"` divided by the sum
    of the squares of the weights in the cluster; 0 in padding."""
    weight = jnp.ones(select.node_index.shape, x.dtype) if select.weight is None else select.weight
    if lift_by == "inverse":
        square = segment_sum(weight**2, select.cluster_index, select.num_clusters)
        weight = quotient(weight, gather(square, select.cluster_index))
    return select.lift(x) * segment_sum(weight, select.node_index, select.num_nodes)[:, None]


def join_pairs(
    first: Int[Array, " pairs"], second: Int[Array, " pairs"], batch: BatchVector
) -> tuple[Int[Array, " nodes"], Int[Array, ""]]:
    """The cluster of each node, by the order of the first nodes of pairs and of those in none, and
    their number; padding is the number of nodes.

    **Arguments:**

    - `first`, `second`: the nodes of each pair. Entries past the last node are padding.
    - `batch`: the graph of each node.
    """
    num_nodes = batch.index.shape[0]
    node = jnp.arange(num_nodes, dtype=jnp.int32)
    leader = node.at[second].set(first.astype(jnp.int32), mode="drop")
    number = jnp.cumsum(batch.node_mask & (leader == node), dtype=jnp.int32)
    cluster = jnp.where(batch.node_mask, gather(number, leader) - 1, num_nodes)
    return cluster, jnp.max(number, initial=0)


def check_lift(lift_by: str) -> None:
    """Raises unless `lift_by_weights` knows it."""
    if lift_by not in ("transpose", "inverse"):
        raise ValueError(f"lift_by must be 'transpose' or 'inverse', got {lift_by!r}")
