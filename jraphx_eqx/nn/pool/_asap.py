from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from ..._number import python_numbers
from ..._twin import DROPOUT, IN, Option, inside, twin
from ...data import BatchVector, resolve_batch
from ...data._batch_vector import most_nodes
from ...ops import (
    edge_mask,
    gather,
    mask_rows,
    masked_edges,
    remove_self_loops,
    scale_rows,
    segment_max,
    segment_reduce_by_block,
    segment_softmax,
    segment_sum,
    self_loop_weights,
)
from ...ops._order import places_in_graph
from .._activation import leaky_relu
from .._check import check_features, check_positive, check_rows
from .._layer import apply_dropout, make_dropout, split_key
from .._linear import Linear
from ..conv import LEConv
from ._choice import Choice, settle
from ._dense import edge_weights
from ._network import call_network, made_network
from ._pool import AbstractPool
from ._select_topk import RATIO, STAGES, SelectTopK
from ._selection import OverlapSelectOutput, SelectOutput, select_nodes


class ASAPooling(AbstractPool):
    r"""Adaptive structure aware pooling: each node and its neighbours are a cluster, of which the
    fittest are kept.

    $$s_{ji} = \mathrm{softmax}_{j \in \mathcal{N}(i) \cup \{i\}}\left(\mathrm{LeakyReLU}\left(
    \mathbf{w}^\top [\mathbf{W} \mathbf{m}_i \,\Vert\, \mathbf{x}_j] + b\right)\right), \qquad
    \mathbf{c}_i = \sum_j s_{ji} \mathbf{x}_j$$

    $$\mathbf{f} = \mathrm{sigmoid}(\mathrm{LEConv}(\mathbf{C}, \mathbf{A})), \qquad
    \mathbf{i} = \mathrm{top}_k(\mathbf{f}), \qquad
    \mathbf{X}' = (\mathbf{C} \odot \mathbf{f})_{\mathbf{i}}, \qquad
    \mathbf{A}' = \mathbf{S}_{:,\mathbf{i}}^\top \mathbf{A} \mathbf{S}_{:,\mathbf{i}}$$

    $\mathbf{m}_i$ is the largest of each feature over the neighbours of node $i$ and itself. With
    `gnn`, the features in $\mathbf{m}_i$ and in the attention are what that makes of
    $\mathbf{x}$. Clusters are joined that share an edge between any of their nodes.

    Equal to `torch_geometric.nn.ASAPooling`, except that ties go to the lowest index, that
    `select.weight`, whose sign multiplies the scores, starts at 1, as that of
    [`SAGPooling`][jraphx_eqx.nn.pool.SAGPooling] does, and that edge weights have gradients, for
    which PyG raises an error on a CPU. Edges come by source and then by target, PyG's targets in
    any order. PyG returns no scores; here they are the fitness of the kept clusters.

    There is room for an edge from each kept cluster to as many as a graph can keep, by
    `batch.max_count`; the largest arrays have that many numbers for each node and edge. `max_edges`
    cuts the edges after that.

    ??? cite

        [ASAP: Adaptive Structure Aware Pooling for Learning Hierarchical Graph
        Representations](https://arxiv.org/abs/1911.07979), Ranjan et al., 2020
    """

    lin: Linear
    att: Linear
    gnn_score: LEConv
    gnn_intra_cluster: Callable | None
    select: SelectTopK
    dropout: eqx.nn.Dropout
    in_features: int = eqx.field(static=True)
    negative_slope: float | int = eqx.field(static=True)
    add_self_loops: bool = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        ratio: float | int = 0.5,
        gnn: str | Callable | None = None,
        dropout: float | int = 0.0,
        negative_slope: float | int = 0.2,
        add_self_loops: bool = False,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_features`: the number of features of a node.
        - `ratio`: the fraction of each graph's nodes to keep, in (0, 1), rounded up; or from 1 on
            their number.
        - `gnn`: `None`, or a network as for [`DiffPooling`][jraphx_eqx.nn.pool.DiffPooling], with
            as many features in its results as in `x`. Self-loops, which each node then has, are
            among the edges that it gets.
        - `dropout`: the probability in [0, 1) that an attention weight becomes 0 in training.
        - `negative_slope`: the slope of the LeakyReLU below 0.
        - `add_self_loops`: whether clusters keep the edges to themselves.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for a `ratio` that is not positive, or above 1 and not whole, for
        an `in_features` below 1, an unknown `gnn`, and a `dropout` outside [0, 1).
        """
        check_positive(in_features=in_features)
        keys = jax.random.split(key, 5)
        self.lin = Linear(in_features, in_features, dtype=dtype, key=keys[0])
        self.att = Linear(2 * in_features, 1, dtype=dtype, key=keys[1])
        self.gnn_score = LEConv(in_features, 1, dtype=dtype, key=keys[2])
        self.gnn_intra_cluster = (
            None if gnn is None else made_network(gnn, in_features, in_features, dtype, keys[3])
        )
        select = SelectTopK(1, ratio, dtype=dtype, key=keys[4])
        self.select = eqx.tree_at(lambda s: s.weight, select, replace_fn=jnp.ones_like)
        self.dropout = make_dropout(dropout)
        self.in_features = in_features
        self.negative_slope = negative_slope
        self.add_self_loops = add_self_loops

    @property
    def dtype(self) -> np.dtype:
        """That of the parameters."""
        return self.lin.weight.dtype

    def attention(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None = None,
        batch: BatchVector | Int[Array, " nodes"] | None = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Int[Array, "2 all_edges"], Float[Array, " all_edges"]]:
        r"""The edges with a self-loop at each node, and $s_{ji}$ of each; 0 for padding."""
        check_features(x, self.in_features, self.dtype)
        batch, num_nodes = resolve_batch(batch, x.shape[0]), x.shape[0]
        edges, weight = _with_loops(edge_index, edge_attr, batch, self.dtype)
        source, target = edges
        gnn_key, key = split_key(key, 2)
        x = mask_rows(x, batch.node_mask)
        if self.gnn_intra_cluster is not None:
            weight = None if edge_attr is None else weight
            x = call_network(self.gnn_intra_cluster, x, edges, weight, batch, gnn_key)
            check_rows(x, num_nodes, "what gnn returns", "nodes")
            x = mask_rows(x, batch.node_mask)
        largest = segment_max(gather(x, source), target, num_nodes)
        # A linear map of two joined rows is a sum of one number for each of them.
        halves = self.att.weight.reshape(2, self.in_features)
        assert self.att.bias is not None
        query, near = self.lin(largest) @ halves[0] + self.att.bias, x @ halves[1]
        score = gather(query, target) + gather(near, source)
        score = segment_softmax(leaky_relu(score, self.negative_slope), target, num_nodes)
        return edges, apply_dropout(self.dropout, score, key)

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
        """Makes a cluster of each node and keeps the fittest, or those in `choice`."""
        batch, num_nodes = resolve_batch(batch, x.shape[0]), x.shape[0]
        edges, share = self.attention(x, edge_index, edge_attr, batch, key=key)
        x = mask_rows(x, batch.node_mask)
        source, target = edges
        clusters = segment_sum(gather(x, source) * share[:, None], target, num_nodes)
        fitness = jax.nn.sigmoid(self.gnn_score(clusters, edges)[:, 0])
        score = self.select.score(fitness[:, None], batch)
        own = self.select(score, batch, max_nodes=max_nodes)
        perm = settle(own.perm, score, choice)
        own = select_nodes(perm, fitness, own.overflow, own.max_count)
        cluster = gather(own.labels, target, fill_value=own.num_clusters)
        shares = SelectOutput(
            source, cluster, share, num_nodes=num_nodes, num_clusters=own.num_clusters
        )
        return OverlapSelectOutput(own, shares)

    def reduce(
        self, x: Float[Array, "nodes features"], select: OverlapSelectOutput
    ) -> Float[Array, "clusters features"]:
        r"""$\mathbf{c}_i f_i$ of the kept clusters."""
        return scale_rows(select.reduce(x), select.score)

    def connect(
        self,
        select: OverlapSelectOutput,
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None = None,
        batch: BatchVector | None = None,
    ) -> tuple[Int[Array, "2 pooled_edges"], Float[Array, " pooled_edges"] | None, BatchVector]:
        """The edges between kept clusters, by source and then by target, with padding in between,
        and the graph of each cluster."""
        batch = resolve_batch(batch, select.num_nodes)
        pooled, dtype = select.graphs(batch), self.dtype
        edges, weight = _with_loops(edge_index, edge_attr, batch, dtype)
        pairs, share = select.shares, select.shares.weight
        assert share is not None
        ones = (jnp.ones(array.shape, dtype) for array in (share, weight))
        joined, ends = _product(select, pooled, edges, *ones), _ends(pooled, edge_index.dtype)
        joined = joined.reshape(-1) > 0
        if not self.add_self_loops:
            joined = joined & (ends[0] != ends[1])
        values = None
        if edge_attr is not None:
            values = _product(select, pooled, edges, share, weight).reshape(-1)
        return *masked_edges(ends, values, joined, pairs.num_clusters), pooled

    def lift(
        self, x: Float[Array, "clusters features"], select: OverlapSelectOutput
    ) -> Float[Array, "nodes features"]:
        """Brings features of kept clusters back to the nodes that they are named by, and 0 to all
        others."""
        return select.lift(x)

    def losses(
        self,
        select: OverlapSelectOutput,
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None,
        batch: BatchVector,
    ) -> dict[str, Float[Array, ""]]:
        """None."""
        return {}


def _with_loops(edge_index, edge_attr, batch, dtype):
    """The edges, whose self-loops move to the end, where each node has one; and their weights."""
    num_nodes = batch.index.shape[0]
    weight = edge_weights(edge_index, edge_attr, num_nodes, dtype)
    nodes = jnp.arange(num_nodes, dtype=edge_index.dtype)
    nodes = jnp.where(batch.node_mask, nodes, num_nodes)
    inside = jnp.where(edge_mask(edge_index, num_nodes), edge_index, num_nodes)
    loops = self_loop_weights(inside, weight, num_nodes, 1)
    edges, others = remove_self_loops(edge_index, weight, num_nodes)
    assert others is not None
    edges = jnp.concatenate([edges, jnp.stack([nodes, nodes])], axis=1)
    return edges, jnp.concatenate([others, jnp.where(batch.node_mask, loops, 0)])


def _product(select, pooled, edges, share, weight):
    """SᵀAS, with a row for each cluster and a column for each that its graph can have."""
    pairs, most = select.shares, most_nodes(pooled)
    place = jnp.where(pooled.node_mask, places_in_graph(pooled), most)
    column = gather(place, pairs.cluster_index, fill_value=most)
    table = jnp.zeros((select.num_nodes, most), share.dtype)
    table = table.at[pairs.node_index, column].add(share, mode="drop")

    def rows_of(table):
        return lambda given: gather(table, given[0]) * given[1][:, None]

    source, target = edges
    table = segment_reduce_by_block(rows_of(table), (target, weight), source, select.num_nodes)
    given = pairs.node_index, share
    return segment_reduce_by_block(rows_of(table), given, pairs.cluster_index, select.num_clusters)


def _ends(pooled, dtype):
    """The clusters that each entry of the product is between."""
    num_clusters, most = pooled.index.shape[0], most_nodes(pooled)
    cluster = jnp.arange(num_clusters, dtype=dtype)
    label = jnp.full((pooled.num_graphs, most), num_clusters, dtype)
    label = label.at[pooled.index, places_in_graph(pooled)].set(cluster, mode="drop")
    target = gather(label, pooled.index, fill_value=num_clusters).reshape(-1)
    return jnp.stack([jnp.repeat(cluster, most), target])


twin(
    ASAPooling,
    "torch_geometric.nn.ASAPooling",
    IN,
    *inside("select", RATIO),
    Option("gnn", "GNN", "gnn_intra_cluster", "gnn_intra_cluster", kind="made"),
    DROPOUT,
    "negative_slope",
    "add_self_loops",
    holds={"select": STAGES["select"]},
    inference="dropout.inference",
)
