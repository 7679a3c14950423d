import abc
from typing import Any, ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from ...data import BatchVector, EdgeIndex, as_array, resolve_batch
from ...ops import compact_edges, error_if, filter_neighbours
from .._check import check_edge_attr, check_edge_index, check_features, check_rows
from .._entry import one_program
from ._choice import Choice
from ._output import PoolOutput
from ._selection import AbstractSelection


class AbstractPool(eqx.Module):
    """A pooling: assign → connect → reduce, with losses where it has some; lift goes back.

    The call is here, once. What a family of poolings has in common is in
    [`AbstractKeepPool`][jraphx_eqx.nn.pool.AbstractKeepPool],
    [`AbstractClusterPool`][jraphx_eqx.nn.pool.AbstractClusterPool] and
    [`AbstractDensePool`][jraphx_eqx.nn.pool.AbstractDensePool].
    """

    in_features: eqx.AbstractVar[int]
    relabels_edges: ClassVar[bool] = False
    """Whether the pooled edges are those between nodes that were kept, and no others."""

    @property
    @abc.abstractmethod
    def dtype(self) -> np.dtype | None:
        """That of the parameters, which features must have; `None` if any will do."""

    @abc.abstractmethod
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
    ) -> AbstractSelection:
        """Decides which node goes to which cluster; `choice` is a decision made elsewhere."""

    @abc.abstractmethod
    def reduce(
        self, x: Float[Array, "nodes features"], select: Any
    ) -> Float[Array, "clusters features"]:
        """Features of the clusters."""

    @abc.abstractmethod
    def connect(
        self,
        select: Any,
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None = None,
        batch: BatchVector | None = None,
    ) -> tuple[Int[Array, "2 pooled_edges"], Shaped[Array, "pooled_edges ..."] | None, BatchVector]:
        """Edges between the clusters, their attributes, and the graph of each cluster."""

    @abc.abstractmethod
    def lift(
        self, x: Float[Array, "clusters features"], select: Any
    ) -> Float[Array, "nodes features"]:
        """Features of the nodes from those of their clusters; 0 for nodes without a cluster."""

    @abc.abstractmethod
    def losses(
        self,
        select: Any,
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None,
        batch: BatchVector,
    ) -> dict[str, Float[Array, ""]]:
        """What to add to the loss of a model, by PyG's names."""

    @one_program
    def __call__(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"] | EdgeIndex,
        edge_attr: Shaped[Array, "edges ..."] | None = None,
        batch: BatchVector | Int[Array, " nodes"] | None = None,
        attn: Float[Array, "nodes ..."] | None = None,
        *,
        size: int | None = None,
        select: AbstractSelection | Choice = None,
        max_nodes: int | None = None,
        max_edges: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> PoolOutput:
        """**Arguments:**

        - `x`: node features, shape `(nodes, in_features)`. Padding rows may hold anything.
        - `edge_index`: source and target of each edge, shape `(2, edges)`. An edge with an end
            past the last node is padding. An [`EdgeIndex`][jraphx_eqx.data.EdgeIndex] comes back as
            one from poolings that keep nodes, and as a plain array from all others.
        - `edge_attr`: edge attributes of any rank, one row for each edge, handed on for the edges
            that stay.
        - `batch`: the graph of each node, as a [`BatchVector`][jraphx_eqx.data.BatchVector], which
            may hold padding, or as a bare array, which holds none. Need not be sorted. `None` is
            one graph.
        - `attn`: what to decide by instead of `x`, shape `(nodes, in_features)`.
        - `size`: the number of graphs. Needed only for a bare `batch` under tracing.
        - `select`: what to do with the nodes, if that is known: a selection, which is used as it
            is; or a choice, whose scores are then computed as ever, so that they have gradients. A
            choice is an array, the nodes to keep (for
            [`EdgePooling`][jraphx_eqx.nn.pool.EdgePooling] the edges to merge), in order, entries
            past the end being padding; or a function that makes it of the pooling's own. By
            default the pooling's own.
        - `max_nodes`: room for this many nodes in the output, instead of for as many as there can
            be. To need more is an error at run time. There is room for one at least.
        - `max_edges`: the same for edges, which then move to the front.
        - `key`: for dropout.

        **Returns:** a [`PoolOutput`][jraphx_eqx.nn.pool.PoolOutput].

        **Raises:** `ValueError` for inputs that do not fit each other or the layer; an error at
        run time if `max_nodes` or `max_edges` is exceeded.
        """
        edges = as_array(edge_index)
        check_edge_index(edges)
        check_edge_attr(edge_attr, edges)
        if isinstance(edge_index, EdgeIndex):
            check_rows(x, edge_index.num_nodes, "x", "lists of neighbours")
        seen = self._checked(x, attn)
        batch = resolve_batch(batch, x.shape[0], size)
        if isinstance(select, AbstractSelection):
            check_rows(x, select.num_nodes, "x", "nodes of select")
            if max_nodes is not None:
                raise ValueError("max_nodes must not be given with a selection, which has a room")
            made = select
        else:
            more = {"choice": select, "max_nodes": max_nodes, "key": key}
            made = self.assign(seen, edges, edge_attr, batch, **more)
        pooled, more = self.connect(made, edges, edge_attr, batch), {}
        if max_edges is not None and max_edges < pooled[0].shape[1]:
            made, pooled, overflow = _limited(made, pooled, max_edges)
            more = {"edge_overflow": overflow}
        loss = self.losses(made, edges, edge_attr, batch)
        left, attr, graphs = pooled
        if isinstance(edge_index, EdgeIndex) and self.relabels_edges:
            neighbours = filter_neighbours(edge_index.neighbours, made.perm, made.num_nodes)
            left = EdgeIndex(left, neighbours)
        return PoolOutput(self.reduce(x, made), left, attr, graphs, made, loss, **more)

    def _checked(self, x, attn):
        """What to decide by."""
        if attn is None:
            check_features(x, self.in_features, self.dtype)
            return x
        attn = attn[:, None] if attn.ndim == 1 else attn
        check_features(x, None, self.dtype)
        check_features(attn, self.in_features, self.dtype, name="attn")
        check_rows(attn, x.shape[0], "attn", "nodes")
        return attn


def _limited(select, pooled, max_edges):
    """The edges in less room. Everything that is returned, rows and edges, depends on the check
    that they fit: the compiler drops a check whose result nobody uses, or has no entries."""
    if max_edges < 0:
        raise ValueError(f"max_edges must not be negative, got {max_edges}")
    edge_index, edge_attr, batch = pooled
    edge_index, edge_attr, total = compact_edges(
        edge_index, edge_attr, select.num_clusters, max(max_edges, 1)
    )
    overflow = total > max_edges
    message = f"more edges are left than max_edges={max_edges} has room for; raise max_edges"
    checked = error_if((select, edge_index, edge_attr, batch), overflow, message)
    select, edge_index, edge_attr, batch = checked
    return select, (edge_index, edge_attr, batch), overflow
