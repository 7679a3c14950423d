import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Num, Shaped

from ...data import BatchVector, resolve_batch
from ...ops import coalesce, edge_mask, error_if, gather, masked_edges, remove_self_loops
from ._pool import AbstractPool
from ._selection import OverlapSelectOutput, SelectOutput


class AbstractClusterPool(AbstractPool):
    """A pooling that makes one node of each cluster of nodes.

    The features of a cluster are the sum of those of its nodes, times their weights. Its edges are
    those of its nodes; equal ones become one, their attributes added.
    """

    keeps_loops: eqx.AbstractVar[bool]

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
        batch = resolve_batch(batch, select.num_nodes)
        edges = connect_clusters(select, edge_index, edge_attr, keep_loops=self.keeps_loops)
        return *edges, select.graphs(batch)

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
    *,
    keep_loops: bool,
) -> tuple[Int[Array, "2 edges"], Num[Array, "edges ..."] | None]:
    """The edges between the clusters of their ends, equal ones as one, their attributes added.

    A node must be in one cluster at most.
    """
    return pooled_edges(
        select.labels, select.num_clusters, edge_index, edge_attr, keep_loops=keep_loops
    )


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
