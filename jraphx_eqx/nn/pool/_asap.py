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
    coalesce,
    edge_mask,
    error_if,
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
from ...ops._order import integer_order, places_in_graph
from ...ops._paths import paths
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
    cuts the edges after that. Where one graph of a data set has thousands of nodes, give
    `max_paths`, for which [`count_paths`][jraphx_eqx.nn.pool.ASAPooling.count_paths] counts what
    a batch needs: time and memory then follow from that number.

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
    max_paths: int | None = eqx.field(static=True)

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
        max_paths: int | None = None,
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
        - `max_paths`: room for this many paths from cluster to cluster, which are then listed one
            by one. To need more is an error at run time. By default there is a table with a row for
            each node and a column for each cluster of its graph, which is faster for graphs of up
            to a few hundred nodes.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for a `ratio` that is not positive, or above 1 and not whole, for
        an `in_features` or a `max_paths` below 1, an unknown `gnn`, and a `dropout` outside [0, 1).
        """
        check_positive(in_features=in_features)
        if max_paths is not None:
            check_positive(max_paths=max_paths)
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
        self.max_paths = max_paths

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
        share = select.shares.weight
        if self.max_paths is not None:
            values = None if edge_attr is None else (share, weight)
            listed = _listed(select, pooled, edges, values, self.max_paths, self.add_self_loops)
            return *listed, pooled
        assert share is not None
        ones = (jnp.ones(array.shape, dtype) for array in (share, weight))
        joined, ends = _product(select, pooled, edges, *ones), _ends(pooled, edge_index.dtype)
        joined = joined.reshape(-1) > 0
        if not self.add_self_loops:
            joined = joined & (ends[0] != ends[1])
        values = None
        if edge_attr is not None:
            values = _product(select, pooled, edges, share, weight).reshape(-1)
        return *masked_edges(ends, values, joined, select.num_clusters), pooled

    def count_paths(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None = None,
        batch: BatchVector | Int[Array, " nodes"] | None = None,
    ) -> int:
        """The `max_paths` that these graphs need. Must not be traced.

        It depends on what is kept, and so on the parameters: leave some room above.
        """
        batch = resolve_batch(batch, x.shape[0])
        select = self.assign(x, edge_index, edge_attr, batch)
        edges, _ = _with_loops(edge_index, None, batch, self.dtype)
        # The first paths are counted right in any room, the second ones where there is room for
        # the first.
        count = eqx.filter_jit(
            lambda select, edges, room: _listed_product(select, edges, None, room)[2]
        )
        first = int(count(select, edges, 1))
        return int(count(select, edges, max(first, 1)))

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


def _listed(select, pooled, edges, values, max_paths, add_self_loops):
    """The edges between clusters and their values, from a list of the paths that lead to them."""
    joined, values, total = _listed_product(select, edges, values, max_paths)
    if not add_self_loops:
        joined, values = remove_self_loops(joined, values, select.num_clusters)
    room = select.num_clusters * most_nodes(pooled)
    listed = joined[:, :room], None if values is None else values[:room]
    message = (
        f"there are more paths between clusters than max_paths={max_paths} has room for; "
        "raise max_paths (ASAPooling.count_paths counts them)"
    )
    return error_if(listed, total > max_paths, message)


def _listed_product(select, edges, values, capacity):
    """The entries of SᵀAS by row and column, with padding last; their values, if those of S and A
    are given; and for how many paths there has to be room."""
    pairs, num_nodes, num_clusters = select.shares, select.num_nodes, select.num_clusters
    share, weight = (None, None) if values is None else values
    # Both sorts of steps by the node at which they begin: to a cluster, and to a neighbour.
    kept, real = pairs.cluster_index < num_clusters, edge_mask(edges, num_nodes)
    node = jnp.where(kept, pairs.node_index, num_nodes)
    source = jnp.where(real, edges[0], num_nodes)
    by_node, by_source = integer_order(node, kept), integer_order(source, real)
    # Each cluster and the neighbours of its nodes, once.
    first, second, total = paths(node, source[by_source], num_nodes, capacity)
    neighbour = gather(edges[1][by_source], second, fill_value=num_nodes)
    cluster = gather(pairs.cluster_index, first)
    value = _times(share, first, weight, by_source, second)
    (cluster, neighbour), value = coalesce(jnp.stack([cluster, neighbour]), value, num_nodes)
    # On to the clusters of those neighbours.
    first, second, further = paths(neighbour, node[by_node], num_nodes, capacity)
    other = gather(pairs.cluster_index[by_node], second, fill_value=num_clusters)
    value = _times(value, first, share, by_node, second)
    joined = jnp.stack([gather(cluster, first), other]).astype(edges.dtype)
    return *coalesce(joined, value, num_clusters), jnp.maximum(total, further)


def _times(values, first, others, order, second):
    return None if values is None else gather(values, first) * gather(others[order], second)


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
