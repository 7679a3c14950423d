from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from ..._number import python_numbers
from ..._twin import DROPOUT, IN, Option, twin
from ...data import BatchVector, resolve_batch
from ...ops import (
    edge_mask,
    gather,
    gather_once,
    greedy_matching,
    masked_edges,
    masked_matmul,
    segment_softmax,
    segment_sum,
)
from .._check import check_dtype, check_features, check_rows
from .._entry import takes_numpy
from .._layer import apply_dropout, make_dropout
from .._linear import Linear
from ._choice import Choice, settle
from ._cluster import AbstractClusterPool, select_clusters
from ._selection import SelectOutput


def _softmax(raw, edge_index, num_nodes):
    return segment_softmax(raw, edge_index[1], num_nodes)


EDGE_SCORES: dict[str, Callable[[Array, Array, int], Array]] = {
    "softmax": _softmax,
    "tanh": lambda raw, edge_index, num_nodes: jnp.tanh(raw),
    "sigmoid": lambda raw, edge_index, num_nodes: jax.nn.sigmoid(raw),
}


class EdgePooling(AbstractClusterPool):
    r"""Merges the ends of edges: the best edge first, then the best of those that touch no merged
    node, until none is left.

    $$r_{ij} = \mathbf{w}^\top [\mathbf{x}_i \,\Vert\, \mathbf{x}_j] + b, \qquad
    s_{ij} = \mathrm{softmax}_{i \in \mathcal{N}(j)}(r_{ij}) + 0.5, \qquad
    \mathbf{x}'_{ij} = s_{ij} (\mathbf{x}_i + \mathbf{x}_j)$$

    The softmax is over the edges with the same target $j$. Nodes that are left stay as they are. A
    self-loop can be merged, which multiplies its node by its score. The merged nodes come first,
    by descending score over all graphs, and then the others in their order.

    Equal to `torch_geometric.nn.EdgePooling`, except that ties go to the first edge (PyG's sort is
    not stable, and a node with one incoming edge always gives it the score 1.5). Its `unpool` is
    [`lift`][jraphx_eqx.nn.pool.EdgePooling.lift]; the edges and the batch vector that it returns
    are those that were pooled. Attributes of edges, which PyG's does not take, are added up where
    edges become one.

    ??? cite

        [Towards Graph Pooling by Edge Contraction](https://graphreason.github.io/papers/17.pdf),
        Diehl et al., 2019; [Edge Contraction Pooling for Graph Neural
        Networks](https://arxiv.org/abs/1905.10990), Diehl, 2019
    """

    lin: Linear
    edge_score_method: Callable
    dropout: eqx.nn.Dropout
    in_features: int = eqx.field(static=True)
    add_to_edge_score: float | int = eqx.field(static=True)
    keeps_loops: bool = eqx.field(static=True)
    edge_aggr: str = eqx.field(static=True)
    edge_norm: str | None = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        edge_score_method: str | Callable = "softmax",
        dropout: float | int = 0.0,
        add_to_edge_score: float | int = 0.5,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_features`: the number of features of a node.
        - `edge_score_method`: what makes scores of raw scores: `"softmax"`, `"tanh"`, `"sigmoid"`,
            or a callable `(raw, edge_index, num_nodes) -> scores`, to which padding edges have raw
            scores of 0 and both ends `num_nodes`.
        - `dropout`: the probability in [0, 1) that a raw score becomes 0 in training.
        - `add_to_edge_score`: added to each score.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for an `in_features` below 1, an unknown `edge_score_method`, and a
        `dropout` outside [0, 1).
        """
        if isinstance(edge_score_method, str) and edge_score_method not in EDGE_SCORES:
            names = ", ".join(repr(name) for name in EDGE_SCORES)
            raise ValueError(
                f"edge_score_method must be one of {names}, or a callable, got "
                f"{edge_score_method!r}"
            )
        if in_features < 1:
            raise ValueError(f"in_features must be at least 1, got {in_features}")
        method = edge_score_method
        self.lin = Linear(2 * in_features, 1, dtype=dtype, key=key)
        self.edge_score_method = EDGE_SCORES[method] if isinstance(method, str) else method
        self.dropout = make_dropout(dropout)
        self.in_features = in_features
        self.add_to_edge_score = add_to_edge_score
        self.keeps_loops, self.edge_aggr, self.edge_norm = True, "add", None

    @property
    def dtype(self) -> np.dtype:
        """That of the parameters."""
        return self.lin.weight.dtype

    @takes_numpy
    def score(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        batch: BatchVector | Int[Array, " nodes"] | None = None,
        *,
        size: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, " edges"]:
        """The score of each edge; those of padding mean nothing."""
        check_features(x, self.in_features, self.dtype)
        batch, num_nodes = resolve_batch(batch, x.shape[0], size), x.shape[0]
        raw = apply_dropout(self.dropout, raw_scores(self.lin, x, edge_index, batch), key)
        mask = edge_mask(edge_index, num_nodes)
        edge_index, raw = masked_edges(edge_index, raw, mask, num_nodes)
        assert raw is not None
        score = self.edge_score_method(raw, edge_index, num_nodes)
        if score.shape != raw.shape:
            raise ValueError(
                "edge_score_method must return one score for each of the "
                f"{raw.shape[0]} edges, got shape {score.shape}"
            )
        check_dtype(score, self.dtype, "what edge_score_method returns")
        return score + self.add_to_edge_score

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
        """Scores the edges and merges the best, or those in `choice`, with their scores."""
        batch = resolve_batch(batch, x.shape[0])
        score = self.score(x, edge_index, batch, key=key)
        own = greedy_matching(edge_index, score, x.shape[0])
        merged = settle(own, score, choice)
        return merge_edges(edge_index, score, merged, batch, max_nodes)

    def lift(
        self, x: Float[Array, "clusters features"], select: SelectOutput
    ) -> Float[Array, "nodes features"]:
        """What PyG calls `unpool`: the features of the cluster of each node, divided by its score.

        `x` has the shape that this pooling returned; 0 in padding.
        """
        check_rows(x, select.num_clusters, "x", "clusters of select")
        assert select.weight is not None
        real = select.cluster_index < select.num_clusters
        rows = gather(x, select.cluster_index) / jnp.where(real, select.weight, 1)[:, None]
        return segment_sum(rows, select.node_index, select.num_nodes)


def raw_scores(
    lin: Linear,
    x: Float[Array, "nodes features"],
    edge_index: Int[Array, "2 edges"],
    batch: BatchVector,
) -> Float[Array, " edges"]:
    """`lin` of the joined features of both ends of each edge."""
    # A linear map of two joined rows is a sum of one number for each of them.
    halves = lin.weight.reshape(2, -1).T
    parts = masked_matmul(x, halves, batch.node_mask)
    source, target = edge_index
    raw = gather(parts[:, 0], source) + gather(parts[:, 1], target)
    return raw if lin.bias is None else raw + lin.bias


def merge_edges(
    edge_index: Int[Array, "2 edges"],
    score: Float[Array, " edges"],
    merged: Int[Array, " pairs"],
    batch: BatchVector,
    max_nodes: int | None = None,
) -> SelectOutput:
    """The selection that puts both ends of each merged edge into one cluster, and each of the
    other nodes into one of its own.

    **Arguments:**

    - `edge_index`: the edges.
    - `score`: the score of each edge, which becomes the weight of its ends.
    - `merged`: the edges to merge, which must not share nodes, in the order of their clusters.
        Entries past the last edge are padding, and come last.
    - `batch`: the graph of each node.
    - `max_nodes`: room for this many clusters.
    """
    num_nodes, num_edges = batch.index.shape[0], edge_index.shape[1]
    ends = gather(edge_index.T, merged, fill_value=num_nodes)
    number = jnp.arange(merged.shape[0], dtype=jnp.int32)
    cluster = jnp.full(num_nodes, num_nodes, jnp.int32)
    cluster = cluster.at[ends].set(number[:, None], mode="drop")
    left = batch.node_mask & (cluster == num_nodes)
    total = jnp.sum(merged < num_edges, dtype=jnp.int32) + jnp.cumsum(left, dtype=jnp.int32)
    cluster = jnp.where(left, total - 1, cluster)
    own = gather(gather_once(score, merged), cluster)
    weight = jnp.where(left, jnp.ones_like(own), own)
    return select_clusters(cluster, jnp.max(total, initial=0), weight, max_nodes)


twin(
    EdgePooling,
    "torch_geometric.nn.EdgePooling",
    IN,
    Option(
        "edge_score_method",
        theirs_at="compute_edge_score",
        names={
            function: f"torch_geometric.nn.EdgePooling.compute_edge_score_{name}"
            for name, function in EDGE_SCORES.items()
        },
    ),
    DROPOUT,
    "add_to_edge_score",
    inference="dropout.inference",
)
