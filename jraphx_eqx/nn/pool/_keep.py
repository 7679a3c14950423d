import abc
from typing import ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from ...data import BatchVector, resolve_batch
from ...ops import filter_edges, gather_once, scale_rows
from .._check import check_rows
from ._choice import Choice, settle
from ._pool import AbstractPool
from ._select_topk import SelectTopK
from ._selection import SelectOutput, select_nodes


class AbstractKeepPool(AbstractPool):
    """A pooling that scores nodes, keeps the best, and gates their features by the score."""

    select: eqx.AbstractVar[SelectTopK]
    multiplier: eqx.AbstractVar[float | int]
    relabels_edges: ClassVar[bool] = True

    @property
    def dtype(self) -> np.dtype:
        """That of the parameters."""
        return self.select.weight.dtype

    @abc.abstractmethod
    def score(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        batch: BatchVector | Int[Array, " nodes"] | None = None,
        *,
        edge_attr: Shaped[Array, "edges ..."] | None = None,
        size: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, " nodes"]:
        """What nodes are ranked by, after the nonlinearity or softmax."""

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
    ) -> SelectOutput:
        """Scores the nodes and keeps the best, or those in `choice`, with their scores."""
        batch = resolve_batch(batch, x.shape[0])
        score = self.score(x, edge_index, batch, edge_attr=edge_attr, key=key)
        own = self.select(score, batch, max_nodes=max_nodes)
        perm = settle(own.perm, score, choice)
        return own if perm is own.perm else select_nodes(perm, score, max_count=own.max_count)

    def reduce(
        self, x: Float[Array, "nodes features"], select: SelectOutput
    ) -> Float[Array, "clusters features"]:
        """The features of the kept nodes times their score, times `multiplier`.

        `select` must keep each node at most once, as this pooling's own does.
        """
        check_rows(x, select.num_nodes, "x", "nodes of select")
        return self.multiplier * scale_rows(gather_once(x, select.perm), select.score)

    def connect(
        self,
        select: SelectOutput,
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None = None,
        batch: BatchVector | None = None,
    ) -> tuple[Int[Array, "2 pooled_edges"], Shaped[Array, "pooled_edges ..."] | None, BatchVector]:
        """The edges between kept nodes, in their places, and the graph of each kept node."""
        batch = resolve_batch(batch, select.num_nodes)
        edges = filter_edges(edge_index, edge_attr, select.perm, select.num_nodes)
        return *edges, select.graphs(batch)

    def lift(
        self, x: Float[Array, "clusters features"], select: SelectOutput
    ) -> Float[Array, "nodes features"]:
        """Brings features of kept nodes back to where they were, and 0 to all other nodes."""
        return select.lift(x)

    def losses(
        self,
        select: SelectOutput,
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None,
        batch: BatchVector,
    ) -> dict[str, Float[Array, ""]]:
        """None."""
        return {}
