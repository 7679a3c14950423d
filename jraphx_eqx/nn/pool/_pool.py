import abc

import equinox as eqx
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from ...data import BatchVector, bounded_batch, resolve_batch
from ...ops import compact_edges, error_if, filter_edges, gather, gather_once, scale_rows
from .._check import check_edge_attr, check_edge_index, check_features, check_rows
from .._entry import one_program
from ._output import PoolOutput
from ._select import SelectOutput, lift
from ._select_topk import SelectTopK


class AbstractPool(eqx.Module):
    """A pooling: select → reduce → connect, and lift on the way back."""

    @abc.abstractmethod
    def reduce(
        self, x: Float[Array, "nodes features"], select: SelectOutput
    ) -> Float[Array, "clusters features"]:
        """Features of the clusters."""

    @abc.abstractmethod
    def connect(
        self,
        select: SelectOutput,
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None = None,
        batch: BatchVector | None = None,
    ) -> tuple[Int[Array, "2 pooled_edges"], Shaped[Array, "pooled_edges ..."] | None, BatchVector]:
        """Edges between the clusters, their attributes, and the graph of each cluster."""

    def lift(
        self, x: Float[Array, "clusters features"], select: SelectOutput
    ) -> Float[Array, "nodes out_features"]:
        """Features of the nodes from those of their clusters; 0 for nodes without a cluster."""
        return lift(x, select)


class AbstractScorePool(AbstractPool):
    """A pooling that scores nodes, keeps the best, and gates their features by the score."""

    select: eqx.AbstractVar[SelectTopK]
    in_features: eqx.AbstractVar[int]
    multiplier: eqx.AbstractVar[float | int]

    @abc.abstractmethod
    def score(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        batch: BatchVector | Int[Array, " nodes"] | None = None,
        *,
        size: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, " nodes"]:
        """What nodes are ranked by, after the nonlinearity or softmax."""

    def reduce(
        self, x: Float[Array, "nodes features"], select: SelectOutput
    ) -> Float[Array, "clusters features"]:
        """The features of the kept nodes times their score, times `multiplier`.

        `select` must keep each node at most once, as this pooling's own does.
        """
        check_rows(x, select.num_nodes, "x", "nodes of select")
        return self.multiplier * scale_rows(gather_once(x, select.node_index), select.weight)

    def connect(
        self,
        select: SelectOutput,
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None = None,
        batch: BatchVector | None = None,
    ) -> tuple[Int[Array, "2 pooled_edges"], Shaped[Array, "pooled_edges ..."] | None, BatchVector]:
        """The edges between kept nodes, in their places, and the graph of each kept node."""
        batch = resolve_batch(batch, select.num_nodes)
        edge_index, edge_attr = filter_edges(
            edge_index, edge_attr, select.node_index, select.num_nodes
        )
        graph = gather(batch.index, select.node_index, fill_value=batch.num_graphs)
        max_count = batch.max_count if select.max_count is None else select.max_count
        return edge_index, edge_attr, bounded_batch(graph, batch.num_graphs, max_count)

    @one_program
    def __call__(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None = None,
        batch: BatchVector | Int[Array, " nodes"] | None = None,
        attn: Float[Array, "nodes ..."] | None = None,
        *,
        size: int | None = None,
        max_nodes: int | None = None,
        max_edges: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> PoolOutput:
        """**Arguments:**

        - `x`: node features, shape `(nodes, in_features)`. Padding rows may hold anything.
        - `edge_index`: source and target of each edge, shape `(2, edges)`. An edge with an end
            past the last node is padding.
        - `edge_attr`: edge attributes of any rank, one row for each edge, handed on for the edges
            that stay.
        - `batch`: the graph of each node, as a [`BatchVector`][jraphx_eqx.data.BatchVector], which
            may hold padding, or as a bare array, which holds none. Need not be sorted. `None` is
            one graph.
        - `attn`: what to score the nodes by instead of `x`, shape `(nodes, in_features)`.
        - `size`: the number of graphs. Needed only for a bare `batch` under tracing.
        - `max_nodes`: room for this many nodes in the output, instead of for as many as there can
            be. To keep more is an error at run time.
        - `max_edges`: the same for edges, which then move to the front.
        - `key`: for a scorer with dropout.

        **Returns:** a [`PoolOutput`][jraphx_eqx.nn.pool.PoolOutput].

        **Raises:** `ValueError` for inputs that do not fit each other or the layer; an error at
        run time if `max_nodes` or `max_edges` is exceeded.
        """
        check_edge_index(edge_index)
        check_edge_attr(edge_attr, edge_index)
        if attn is None:
            check_features(x, self.in_features, self.select.weight.dtype)
        else:
            attn = attn[:, None] if attn.ndim == 1 else attn
            check_features(x, None, self.select.weight.dtype)
            check_features(attn, self.in_features, self.select.weight.dtype, name="attn")
            check_rows(attn, x.shape[0], "attn", "nodes")
        batch = resolve_batch(batch, x.shape[0], size)
        score = self.score(x if attn is None else attn, edge_index, batch, key=key)
        select = self.select(score, batch, max_nodes=max_nodes)
        x = self.reduce(x, select)
        edge_index, edge_attr, batch = self.connect(select, edge_index, edge_attr, batch)
        if max_edges is None or max_edges >= edge_index.shape[1]:
            return PoolOutput(x, edge_index, edge_attr, batch, select)
        edge_index, edge_attr, overflow = _limit_edges(edge_index, edge_attr, x.shape[0], max_edges)
        return PoolOutput(x, edge_index, edge_attr, batch, select, edge_overflow=overflow)


def _limit_edges(edge_index, edge_attr, num_nodes, max_edges):
    if max_edges < 0:
        raise ValueError(f"max_edges must not be negative, got {max_edges}")
    edge_index, edge_attr, total = compact_edges(edge_index, edge_attr, num_nodes, max_edges)
    overflow = total > max_edges
    message = f"more edges are left than max_edges={max_edges} has room for; raise max_edges"
    edge_index, edge_attr = error_if((edge_index, edge_attr), overflow, message)
    return edge_index, edge_attr, overflow
