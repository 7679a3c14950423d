from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from ..._number import python_numbers
from ..._twin import DROPOUT, IN, number, twin
from ...data import BatchVector, resolve_batch
from ...ops import (
    connected_components,
    consecutive_cluster,
    edge_mask,
    first_true,
    gather,
    masked_edges,
    remove_self_loops,
    segment_count,
)
from .._check import check_features, check_positive, check_rows
from .._entry import takes_numpy
from .._layer import apply_dropout, make_dropout
from .._linear import Linear
from ._choice import Choice, settle
from ._cluster import AbstractClusterPool, select_clusters
from ._edge import raw_scores
from ._selection import OverlapSelectOutput, SelectOutput


def _log_softmax(raw, real):
    """Over all edges of the batch, as in PyG."""
    largest = jax.lax.stop_gradient(jnp.max(jnp.where(real, raw, -jnp.inf), initial=-jnp.inf))
    raw = raw - jnp.where(jnp.isfinite(largest), largest, 0)
    total = jnp.sum(jnp.where(real, jnp.exp(raw), 0))
    return raw - jnp.log(jnp.where(total > 0, total, 1))


SCORES: dict[str, Callable[[Array, Array], Array]] = {
    "tanh": lambda raw, real: jnp.tanh(raw),
    "sigmoid": lambda raw, real: jax.nn.sigmoid(raw),
    "log_softmax": _log_softmax,
}


class ClusterPooling(AbstractClusterPool):
    r"""Merges all nodes that are joined by edges with a score above a threshold.

    $$s_{ij} = \tanh(\mathbf{w}^\top [\mathbf{x}_i \,\Vert\, \mathbf{x}_j] + b), \qquad
    \mathbf{x}'_c = \sum_{j \in c} \sum_{i} s_{ij} \mathbf{x}_i$$

    A cluster $c$ is what edges with $s_{ij} > \theta$ connect, in either direction. The second sum
    is over all edges that point at node $j$, also those below the threshold and from other
    clusters, so that a cluster gets features of its neighbours as well. A node that no such edge
    touches is a cluster of its own, and its own features are added. Clusters come in the order of
    their first nodes. Self-loops play no part, and none are left.

    Equal to `torch_geometric.nn.ClusterPooling`, without its matrices of nodes by nodes, and in any
    dtype; PyG's takes float32 alone. Attributes of edges, which PyG's does not take, are added up
    where edges become one. `"log_softmax"` is over all edges of the batch, as in PyG, so that one
    graph changes another, and is never above the default threshold.

    ??? cite

        [Graph Pooling by Local Cluster Selection](https://arxiv.org/abs/2409.11856), Lin et al.,
        2024
    """

    lin: Linear
    dropout: eqx.nn.Dropout
    in_features: int = eqx.field(static=True)
    edge_score_method: str = eqx.field(static=True)
    threshold: float | int = eqx.field(static=True)
    keeps_loops: bool = eqx.field(static=True)
    edge_aggr: str = eqx.field(static=True)
    edge_norm: str | None = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        edge_score_method: str = "tanh",
        dropout: float | int = 0.0,
        threshold: float | int | None = None,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        r"""**Arguments:**

        - `in_features`: the number of features of a node.
        - `edge_score_method`: what makes scores of raw scores: `"tanh"`, `"sigmoid"` or
            `"log_softmax"`.
        - `dropout`: the probability in [0, 1) that a raw score becomes 0 in training.
        - `threshold`: $\theta$. 0.5 for `"sigmoid"` and 0 for the others by default.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for an `in_features` below 1, an unknown `edge_score_method`, and a
        `dropout` outside [0, 1).
        """
        if edge_score_method not in SCORES:
            names = ", ".join(repr(name) for name in SCORES)
            raise ValueError(f"edge_score_method must be one of {names}, got {edge_score_method!r}")
        check_positive(in_features=in_features)
        if threshold is None:
            threshold = 0.5 if edge_score_method == "sigmoid" else 0.0
        self.lin = Linear(2 * in_features, 1, dtype=dtype, key=key)
        self.dropout = make_dropout(dropout)
        self.in_features = in_features
        self.edge_score_method = edge_score_method
        self.threshold = threshold
        self.keeps_loops, self.edge_aggr, self.edge_norm = False, "add", None

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
        """The score of each edge; those of padding and of self-loops mean nothing."""
        check_features(x, self.in_features, self.dtype)
        batch = resolve_batch(batch, x.shape[0], size)
        raw = apply_dropout(self.dropout, raw_scores(self.lin, x, edge_index, batch), key)
        return SCORES[self.edge_score_method](raw, _between_nodes(edge_index, x.shape[0]))

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
    ) -> OverlapSelectOutput:
        """Scores the edges and merges along those above the threshold, or along those in `choice`,
        with their scores."""
        batch, (num_nodes, num_edges) = (
            resolve_batch(batch, x.shape[0]),
            (x.shape[0], len(edge_index[0])),
        )
        score = self.score(x, edge_index, batch, key=key)
        real = _between_nodes(edge_index, num_nodes)
        own, _ = first_true(real & (score > self.threshold), num_edges)
        merged = jnp.zeros(num_edges, bool).at[settle(own, score, choice)].set(True, mode="drop")
        return merge_along(edge_index, score, merged & real, batch, max_nodes)

    def lift(
        self, x: Float[Array, "clusters features"], select: OverlapSelectOutput
    ) -> Float[Array, "nodes features"]:
        """The features of the cluster of each node; 0 in padding. PyG has no such method."""
        check_rows(x, select.num_clusters, "x", "clusters of select")
        return select.lift(x)


def merge_along(
    edge_index: Int[Array, "2 edges"],
    score: Float[Array, " edges"],
    merged: Bool[Array, " edges"],
    batch: BatchVector,
    max_nodes: int | None = None,
) -> OverlapSelectOutput:
    """The selection that puts nodes into one cluster that `merged` edges connect.

    The shares are a pair for each edge, of its source and the cluster of its target, with its
    score, and one for each node that no merged edge touches, with 1.

    **Arguments:**

    - `edge_index`: the edges; padding has an end past the last node.
    - `score`: the score of each edge.
    - `merged`: along which edges to merge.
    - `batch`: the graph of each node.
    - `max_nodes`: room for this many clusters.
    """
    num_nodes = batch.index.shape[0]
    joining, _ = masked_edges(edge_index, None, merged, num_nodes)
    label, total = consecutive_cluster(connected_components(joining, num_nodes), batch.node_mask)
    own = select_clusters(label, total, max_nodes=max_nodes)
    alone = segment_count(joining.reshape(-1), num_nodes) == 0
    (source, target), weight = remove_self_loops(edge_index, score, num_nodes)
    assert weight is not None
    shares = SelectOutput(
        jnp.concatenate([source, own.node_index.astype(source.dtype)]),
        jnp.concatenate(
            [gather(own.cluster_index, target, fill_value=own.num_clusters), own.cluster_index]
        ),
        jnp.concatenate([weight, alone.astype(score.dtype)]),
        num_nodes=num_nodes,
        num_clusters=own.num_clusters,
    )
    return OverlapSelectOutput(own, shares)


def _between_nodes(edge_index, num_nodes):
    return edge_mask(edge_index, num_nodes) & (edge_index[0] != edge_index[1])


twin(
    ClusterPooling,
    "torch_geometric.nn.ClusterPooling",
    IN,
    "edge_score_method",
    DROPOUT,
    number("threshold"),
    inference="dropout.inference",
)
