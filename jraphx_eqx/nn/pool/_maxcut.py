import itertools
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from ..._number import python_numbers
from ...data import BatchVector, resolve_batch
from ...ops import add_self_loops, gather, mask_rows, remove_self_loops, segment_sum
from ...ops._spread import spread_labels
from .._activation import activation
from .._check import check_positive
from .._entry import takes_numpy
from .._linear import Linear
from .._mlp import MLP
from ..conv import GCNConv
from ._choice import Choice, settle
from ._cluster import connect_clusters, keep_features
from ._dense import edge_weights, neighbours
from ._dense_losses import mean_over, quotient, root, widened
from ._pool import AbstractPool
from ._select_topk import check_ratio, keep_best
from ._selection import OverlapSelectOutput, SelectOutput


class MaxCutPooling(AbstractPool):
    r"""Keeps the nodes with the highest scores, which are trained to cut as many edges as they can,
    and merges each of the others into a kept one near it.

    $$\mathbf{P} = (1 - \delta) \mathbf{I} + \delta \mathbf{D}^{-1/2} \mathbf{A}
    \mathbf{D}^{-1/2}, \qquad
    \mathbf{s} = \tanh(\mathrm{MLP}(\mathrm{GNN}(\mathbf{X}, \mathbf{P}))), \qquad
    \mathbf{x}'_c = \sum_{n \in c} s_n \mathbf{x}_n$$

    The GNN is a linear map, followed by convolutions $\sigma(\mathbf{P} \mathbf{X} \mathbf{W} +
    \mathbf{b})$; in $\mathbf{P}$, $\mathbf{A}$ is without loops. A node that is not kept joins the
    cluster from which the most edges point at it, of several the first, as soon as there is one:
    kept nodes take their neighbours in the first round, these take theirs in the second, and so on.
    Nodes that are left after `max_iter` rounds join the best kept node of their graph. Clusters
    come in the order of their kept nodes. Equal edges between clusters become one, their weights
    added, and loops are removed; then weights are divided by the largest one of their graph. `loss`
    has the mean over the graphs of

    $$\frac{\mathbf{s}^\top \mathbf{A} \mathbf{s}}{\sum_{ij} a_{ij}}$$

    as `maxcut_loss`.

    The same as torch-geometric-pool's, except that there nodes which are left join a random kept
    node; that nodes after the last one with an edge have no entry in $\mathbf{P}$ there; and that
    with `assign_all_nodes=False` rows come by score there, although edges are numbered by node.
    Nodes whose weights do not add up to something positive have 0 for $\mathbf{D}^{-1/2}$.

    ??? cite

        [MaxCutPool: differentiable feature-aware Maxcut for pooling in graph neural
        networks](https://arxiv.org/abs/2409.05100), Abate and Bianchi, 2025
    """

    lin: Linear
    convs: list[GCNConv]
    mlp: MLP
    mp_act: Callable
    act: Callable
    in_features: int = eqx.field(static=True)
    ratio: float | int = eqx.field(static=True)
    assign_all_nodes: bool = eqx.field(static=True)
    max_iter: int = eqx.field(static=True)
    delta: float | int = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        ratio: float | int = 0.5,
        assign_all_nodes: bool = True,
        max_iter: int = 5,
        mp_units: Sequence[int] = (32, 32, 32, 32),
        mp_act: str | Callable = "tanh",
        mlp_units: Sequence[int] = (16, 16),
        mlp_act: str | Callable = "relu",
        act: str | Callable = "tanh",
        delta: float | int = 2.0,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        r"""**Arguments:**

        - `in_features`: the number of features of a node.
        - `ratio`: the fraction of each graph's nodes to keep, in (0, 1), rounded up; or from 1 on
            their number.
        - `assign_all_nodes`: whether features are those of all nodes of a cluster. If not, those of
            the kept one. Edges are always those of all.
        - `max_iter`: how far from a kept node the nodes of its cluster are at most, in edges.
        - `mp_units`: the number of features after each convolution.
        - `mp_act`: $\sigma$, by name or as a callable.
        - `mlp_units`: the numbers of features between the linear maps of the MLP.
        - `mlp_act`: the activation between them.
        - `act`: what makes scores of the output of the MLP.
        - `delta`: $\delta$. Above 1 neighbours drift apart.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for a size or `max_iter` below 1, a `ratio` that is not positive,
        or above 1 and not whole, and an unknown activation.
        """
        check_ratio(ratio)
        check_positive(in_features=in_features, max_iter=max_iter)
        check_positive(**{"all of mp_units": min(mp_units, default=1)})
        check_positive(**{"all of mlp_units": min(mlp_units, default=1)})
        widths = [in_features, *mp_units]
        keys = jax.random.split(key, len(widths) + 1)
        self.lin = Linear(in_features, in_features, dtype=dtype, key=keys[0])
        self.convs = [
            GCNConv(*pair, normalize=False, dtype=dtype, key=one)
            for pair, one in zip(itertools.pairwise(widths), keys[1:-1], strict=True)
        ]
        features = [widths[-1], *mlp_units, 1]
        self.mlp = MLP(
            features, act=activation(mlp_act, "mlp_act"), norm=None, dtype=dtype, key=keys[-1]
        )
        self.mp_act = activation(mp_act, "mp_act")
        self.act = activation(act, "act")
        self.in_features = in_features
        self.ratio = ratio
        self.assign_all_nodes = assign_all_nodes
        self.max_iter = max_iter
        self.delta = delta

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
        edge_attr: Shaped[Array, "edges ..."] | None = None,
        size: int | None = None,
    ) -> Float[Array, " nodes"]:
        r"""$\mathbf{s}$; 0 in padding."""
        mask = resolve_batch(batch, x.shape[0], size).node_mask
        weight = edge_weights(edge_index, edge_attr, x.shape[0], self.dtype)
        edges, weight = self._propagation(edge_index, weight, x.shape[0])
        x = mask_rows(self.lin(mask_rows(x, mask)), mask)
        for conv in self.convs:
            x = self.mp_act(conv(x, edges, weight))
        score = self.act(self.mlp(x, node_mask=mask)[:, 0])
        return jnp.where(mask, score, 0)

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
    ) -> SelectOutput | OverlapSelectOutput:
        """Scores the nodes, keeps the best, or those in `choice`, and gives each of the others to
        one of them."""
        batch, num_nodes = resolve_batch(batch, x.shape[0]), x.shape[0]
        score = self.score(x, edge_index, batch, edge_attr=edge_attr)
        own = keep_best(score, batch, self.ratio, max_nodes=max_nodes)
        perm = settle(own.perm, score, choice)
        room = perm.shape[0]
        kept = jnp.zeros(num_nodes, bool).at[perm].set(True, mode="drop") & batch.node_mask
        label = jnp.where(kept, jnp.cumsum(kept, dtype=jnp.int32) - 1, num_nodes)
        cluster = spread_labels(edge_index, label, self.max_iter)
        # Of each graph the first in `perm`, which is the best.
        place = jnp.full(batch.num_graphs, room, jnp.int32)
        graph = gather(batch.index, perm, fill_value=batch.num_graphs)
        place = place.at[graph].min(jnp.arange(room, dtype=jnp.int32), mode="drop")
        best = gather(label, gather(perm, place, fill_value=num_nodes), fill_value=num_nodes)
        cluster = jnp.where(cluster < num_nodes, cluster, gather(best, batch.index))
        cluster = jnp.where(batch.node_mask & (cluster < room), cluster, room)
        every = SelectOutput(
            jnp.arange(num_nodes, dtype=jnp.int32),
            cluster,
            score,
            num_nodes=num_nodes,
            num_clusters=room,
            overflow=own.overflow,
            max_count=own.max_count,
        )
        return every if self.assign_all_nodes else keep_features(every, kept)

    def reduce(
        self, x: Float[Array, "nodes features"], select: SelectOutput | OverlapSelectOutput
    ) -> Float[Array, "clusters features"]:
        """The sum of the features of the nodes of each cluster, times their scores."""
        return select.reduce(x)

    def connect(
        self,
        select: SelectOutput | OverlapSelectOutput,
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None = None,
        batch: BatchVector | None = None,
    ) -> tuple[Int[Array, "2 pooled_edges"], Float[Array, " pooled_edges"] | None, BatchVector]:
        """The edges between clusters, by source and then by target, and the graph of each."""
        return connect_clusters(select, edge_index, edge_attr, batch, edge_norm="max")

    def lift(
        self, x: Float[Array, "clusters features"], select: SelectOutput | OverlapSelectOutput
    ) -> Float[Array, "nodes features"]:
        """The features of the cluster of each node whose features are in it, times its score; 0 for
        all others."""
        pairs = select if isinstance(select, SelectOutput) else select.shares
        return pairs.lift(x) * _scores(pairs)[:, None]

    def losses(
        self,
        select: SelectOutput | OverlapSelectOutput,
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None,
        batch: BatchVector,
    ) -> dict[str, Float[Array, ""]]:
        """`maxcut_loss`."""
        score = _scores(select if isinstance(select, SelectOutput) else select.own)
        weight = edge_weights(edge_index, edge_attr, select.num_nodes, self.dtype)
        score, weight = widened((score, weight))
        near = neighbours(score[:, None], edge_index, weight)[:, 0]
        cut = segment_sum(score * near, batch.index, batch.num_graphs)
        graph = gather(batch.index, edge_index[0], fill_value=batch.num_graphs)
        volume = segment_sum(weight, graph, batch.num_graphs)
        loss = cut / jnp.where(volume == 0, 1, volume)
        return {"maxcut_loss": mean_over(loss, batch.counts > 0).astype(self.dtype)}

    def _propagation(self, edge_index, weight, num_nodes):
        r"""$\mathbf{P}$ as edges and weights."""
        edges, weight = remove_self_loops(edge_index, weight, num_nodes)
        assert weight is not None
        degree = root(segment_sum(weight, edges[0], num_nodes))
        factor = quotient(jnp.ones_like(degree), degree)
        near = self.delta * gather(factor, edges[0]) * weight * gather(factor, edges[1])
        return add_self_loops(edges, near, num_nodes, 1 - self.delta)


def _scores(pairs):
    if pairs.weight is None:
        raise ValueError("select must have the scores of its nodes as weights")
    return segment_sum(pairs.weight, pairs.node_index, pairs.num_nodes)
