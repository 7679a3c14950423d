import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from ...data import BatchVector, resolve_batch
from ...ops import edge_mask, gather, mask_rows, masked_edges, segment_sum
from ._choice import Choice
from ._dense_losses import mean_over, normalized, widened
from ._dense_selection import DenseSelectOutput
from ._pool import AbstractPool


class AbstractMembershipPool(AbstractPool):
    """A pooling that gives each node memberships in clusters of its graph.

    It takes the edge list and never makes a matrix of nodes by nodes: the largest arrays have a
    row of memberships for each edge and each node. The pooled graph is flat: cluster `k` of graph
    `b` is row `b * K + k`, and there is an edge, with a weight, from each cluster of a graph to
    each, with `keeps_loops` itself included.
    """

    keeps_loops: eqx.AbstractVar[bool]

    def connect(
        self,
        select: DenseSelectOutput,
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None = None,
        batch: BatchVector | None = None,
    ) -> tuple[Int[Array, "2 pooled_edges"], Float[Array, " pooled_edges"], BatchVector]:
        r"""The edges between all clusters of a graph, with weights $\mathbf{S}^\top \mathbf{A}
        \mathbf{S}$, and the graph of each cluster.

        Without `keeps_loops` those from a cluster to itself are left out, and the other weights
        $a_{ij}$ are divided by $\sqrt{d_i d_j}$, where $d_i = \sum_j a_{ij}$.
        """
        batch = resolve_batch(batch, select.num_nodes)
        return connect_memberships(select, edge_index, edge_attr, batch, self.keeps_loops)

    def lift(
        self, x: Float[Array, "clusters features"], select: DenseSelectOutput
    ) -> Float[Array, "nodes _features"]:
        r"""$\mathbf{S} \mathbf{X}$: each node gets the features of its clusters, by membership."""
        return select.lift(x)


class AbstractDensePool(AbstractMembershipPool):
    """A pooling that gives each node a membership in all of the clusters of its graph, of which
    each graph has the same number."""

    clusters: eqx.AbstractVar[int]

    @abc.abstractmethod
    def memberships(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None,
        batch: BatchVector,
        *,
        key: PRNGKeyArray | None = None,
    ) -> DenseSelectOutput:
        """The memberships of each node, 0 in padding."""

    def assign(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None = None,
        batch: BatchVector | None = None,
        *,
        choice: Choice = None,
        max_nodes: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> DenseSelectOutput:
        """The memberships of each node."""
        if choice is not None:
            raise ValueError("select must be a selection: memberships are no choice of nodes")
        batch = resolve_batch(batch, x.shape[0])
        check_room(batch.num_graphs * self.clusters, max_nodes)
        return self.memberships(x, edge_index, edge_attr, batch, key=key)


class AbstractSoftmaxPool(AbstractDensePool):
    """A pooling by memberships that are a softmax."""

    @abc.abstractmethod
    def logits(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None,
        batch: BatchVector,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "nodes clusters"]:
        """What the memberships of each node are a softmax of. Rows of padding mean nothing."""

    def memberships(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None,
        batch: BatchVector,
        *,
        key: PRNGKeyArray | None = None,
    ) -> DenseSelectOutput:
        """The softmax of the logits of each node; 0 in padding."""
        logits = self.logits(x, edge_index, edge_attr, batch, key=key)
        rows = jax.nn.softmax(mask_rows(logits, batch.node_mask), axis=-1)
        return DenseSelectOutput(mask_rows(rows, batch.node_mask), batch)


class AbstractCutPool(AbstractSoftmaxPool):
    """A pooling by a softmax that pools features as they are, and whose losses are means over the
    graphs that have nodes."""

    @abc.abstractmethod
    def graph_losses(
        self,
        select: DenseSelectOutput,
        edge_index: Int[Array, "2 edges"],
        weight: Float[Array, " edges"],
    ) -> dict[str, Float[Array, " graphs"]]:
        """The losses of each graph. Half precision comes as float32; padding weighs 0."""

    def reduce(
        self, x: Float[Array, "nodes features"], select: DenseSelectOutput
    ) -> Float[Array, "clusters features"]:
        r"""$\mathbf{S}^\top \mathbf{X}$, graph by graph."""
        return select.reduce(x)

    def losses(
        self,
        select: DenseSelectOutput,
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None,
        batch: BatchVector,
    ) -> dict[str, Float[Array, ""]]:
        """Those of `graph_losses`, means over the graphs that have nodes."""
        dtype, real = select.matrix.dtype, batch.counts > 0
        weight = edge_weights(edge_index, edge_attr, select.num_nodes, dtype)
        losses = self.graph_losses(widened(select), edge_index, widened(weight))
        return {name: mean_over(loss, real).astype(dtype) for name, loss in losses.items()}


def check_room(rows: int, max_nodes: int | None) -> None:
    """Raises unless there is room for the clusters of all graphs."""
    if max_nodes is not None and max_nodes < rows:
        raise ValueError(
            f"max_nodes must be at least {rows}, the clusters of all graphs, got {max_nodes}"
        )


def connect_memberships(
    select: DenseSelectOutput,
    edge_index: Int[Array, "2 edges"],
    edge_attr: Shaped[Array, "edges ..."] | None,
    batch: BatchVector,
    keep_loops: bool,
) -> tuple[Int[Array, "2 pooled_edges"], Float[Array, " pooled_edges"], BatchVector]:
    """The edges between all clusters of a graph, as
    [`connect`][jraphx_eqx.nn.pool.AbstractDensePool.connect] says."""
    weight = edge_weights(edge_index, edge_attr, select.num_nodes, select.matrix.dtype)
    adjacency = select.product(neighbours(select.matrix, edge_index, weight))
    clusters = adjacency.shape[1]
    pooled, entries = select.graphs(batch), np.ones((clusters, clusters), bool)
    if not keep_loops:
        adjacency = normalized(adjacency)
        np.fill_diagonal(entries, False)
    pairs = np.nonzero(entries)
    edges, rows = _edges_of(pairs, pooled, clusters, edge_index.dtype), pooled.index.shape[0]
    between = adjacency[:, *pairs].ravel()
    edges, between = masked_edges(edges, between, edge_mask(edges, rows), rows)
    assert between is not None
    return edges, between, pooled


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
    rows: Float[Array, "nodes columns"],
    edge_index: Int[Array, "2 edges"],
    weight: Float[Array, " edges"],
) -> Float[Array, "nodes columns"]:
    r"""$\mathbf{A}$ times the rows: those of the targets of each node's edges, added up."""
    source, target = edge_index
    return segment_sum(gather(rows, target) * weight[:, None], source, rows.shape[0])


def inside(
    select: DenseSelectOutput, edge_index: Int[Array, "2 edges"], weight: Float[Array, " edges"]
) -> Float[Array, " graphs"]:
    r"""$\mathrm{tr}(\mathbf{S}^\top \mathbf{A} \mathbf{S})$ of each graph: the weights inside of
    clusters."""
    near = jnp.sum(select.matrix * neighbours(select.matrix, edge_index, weight), axis=1)
    return segment_sum(near, select.batch.index, select.batch.num_graphs)


def _edges_of(pairs, pooled, clusters, dtype):
    """These pairs of clusters in each graph; padding for those of a graph without any."""
    num_rows = pooled.index.shape[0]
    row = jnp.arange(num_rows, dtype=dtype)
    row = jnp.where(pooled.node_mask, row, num_rows).reshape(-1, clusters)
    return jnp.stack([row[:, end].ravel() for end in pairs])
