import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num

from ...data import BatchVector, is_traced, register_serialization
from ...data._batch_vector import bounded_batch
from ...data._transfer import on_device
from ...ops import gather, gather_once, segment_sum
from .._check import check_rows
from ..aggr import AbstractAggregation, aggregation_resolver


def _false():
    return jnp.zeros((), bool)


class AbstractSelection(eqx.Module):
    """What a pooling decided: which node goes to which cluster.

    `num_nodes` and `num_clusters` are static and count padding. `overflow` says whether there were
    more clusters to make than there is room for, and `keeps_nodes` whether each cluster is one
    node, as it is after [`TopKPooling`][jraphx_eqx.nn.pool.TopKPooling].
    """

    num_nodes: eqx.AbstractVar[int]
    num_clusters: eqx.AbstractVar[int]
    overflow: eqx.AbstractVar[Bool[Array, ""]]
    keeps_nodes: eqx.AbstractVar[bool]

    @abc.abstractmethod
    def reduce(
        self, x: Num[Array, "nodes *features"], aggr: str | AbstractAggregation = "add"
    ) -> Num[Array, "clusters *features"]:
        """Features of the clusters from those of their nodes, times the weights."""

    @abc.abstractmethod
    def lift(self, x: Float[Array, "clusters features"]) -> Float[Array, "nodes features"]:
        """Features of the nodes from those of their clusters; 0 for nodes without a cluster."""

    @abc.abstractmethod
    def graphs(self, batch: BatchVector) -> BatchVector:
        """The graph of each cluster. `batch` is that of the nodes."""

    @abc.abstractmethod
    def trim(self) -> "AbstractSelection":
        """The same without padding. Its shapes depend on values: not under tracing."""

    @abc.abstractmethod
    def _kept(self, name: str) -> tuple[Any, Any]:
        """The node that each cluster is, and its score. Raises where clusters are no nodes; `name`
        is what was asked for."""

    @property
    def perm(self) -> Int[Array, "*stacked clusters"]:
        """The node that each cluster is. Padding entries are the number of nodes.

        **Raises:** `AttributeError` where clusters are not single nodes; so do `score` and
        `num_kept`.
        """
        return self._kept("perm")[0]

    @property
    def score(self) -> Float[Array, "*stacked clusters"]:
        """The scores of the kept nodes; 0 in padding."""
        return self._kept("score")[1]

    @property
    def num_kept(self) -> Int[Array, "*stacked"]:
        """The number of nodes kept, padding not counted."""
        kept = self._kept("num_kept")[0] < self.num_nodes
        return jnp.sum(kept, axis=-1, dtype=jnp.int32)


class SelectOutput(AbstractSelection):
    """Pairs of a node and its cluster, with a weight.

    The same as `torch_geometric.nn.pool.select.SelectOutput`, with room for padding.

    **Arguments:**

    - `node_index`: a node, for each pair of node and cluster. Entries `>= num_nodes` are padding.
    - `cluster_index`: its cluster. Entries `>= num_clusters` are padding.
    - `weight`: its weight in the cluster; 0 in padding. For a
        [`TopKPooling`][jraphx_eqx.nn.pool.TopKPooling] the score. `None` is 1 for all.
    - `num_nodes`: the number of nodes that were pooled, padding included. Static.
    - `num_clusters`: the number of clusters, padding included. Static.
    - `overflow`: whether there were more clusters to make than `num_clusters`.
    - `keeps_nodes`: whether each cluster is the one node of the pair at its place. Static.
    - `max_count`: no graph has more clusters than this; `None` where nothing is known. Static.
    - `edges`: the edges between the clusters and their weights, where the pooling made both at
        once, as [`NDPPooling`][jraphx_eqx.nn.pool.NDPPooling] does.
    """

    node_index: Int[Array, " pairs"]
    cluster_index: Int[Array, " pairs"]
    weight: Float[Array, " pairs"] | None = None
    num_nodes: int = eqx.field(static=True, kw_only=True)
    num_clusters: int = eqx.field(static=True, kw_only=True)
    overflow: Bool[Array, ""] = eqx.field(default_factory=_false, kw_only=True)
    keeps_nodes: bool = eqx.field(default=False, static=True, kw_only=True)
    max_count: int | None = eqx.field(default=None, static=True, kw_only=True)
    edges: tuple[Int[Array, "2 edges"], Float[Array, " edges"]] | None = eqx.field(
        default=None, kw_only=True
    )

    def reduce(
        self, x: Num[Array, "nodes *features"], aggr: str | AbstractAggregation = "add"
    ) -> Num[Array, "clusters *features"]:
        """The rows of the nodes, times their weights, reduced by cluster.

        `aggr` is an [aggregation][jraphx_eqx.nn.aggr.AbstractAggregation] or its name. A cluster
        without nodes is what that makes of no rows, mostly 0.
        """
        check_rows(x, self.num_nodes, "x", "nodes of select")
        # Padding is masked on the way in, so that the gradient of its weight is finite.
        node, cluster = self._pairs()
        rows = gather(x, node)
        if self.weight is not None:
            rows = rows * self.weight.reshape(-1, *[1] * (x.ndim - 1))
        batch = bounded_batch(cluster, self.num_clusters, None)
        return aggregation_resolver(aggr).aggregate(rows, batch)

    def lift(self, x: Float[Array, "clusters features"]) -> Float[Array, "nodes features"]:
        """Brings features of clusters back to their nodes, and 0 to nodes without a cluster.

        What Graph U-Nets call unpooling; PyG writes it as `up[perm] = x`. Weights are not applied.
        A node of several clusters gets their sum.
        """
        check_rows(x, self.num_clusters, "x", "clusters of select")
        return segment_sum(gather(x, self.cluster_index), self.node_index, self.num_nodes)

    @property
    def labels(self) -> Int[Array, " nodes"]:
        """The cluster of each node, if it is in one at most; `num_clusters` where it is in none."""
        label = jnp.full(self.num_nodes, self.num_clusters, self.cluster_index.dtype)
        return label.at[self.node_index].set(self.cluster_index, mode="drop")

    def graphs(self, batch: BatchVector) -> BatchVector:
        """The graph of each cluster, which is that of the last of its nodes."""
        last = self.node_index
        if not self.keeps_nodes:
            none = jnp.full(self.num_clusters, -1, self.node_index.dtype)
            node, cluster = self._pairs()
            last = none.at[cluster].max(node, mode="drop")
            last = jnp.where(last < 0, self.num_nodes, last)
        graph = gather(batch.index, last, fill_value=batch.num_graphs)
        # A graph has as many clusters as nodes at most.
        max_count = batch.max_count if self.max_count is None else self.max_count
        return bounded_batch(graph, batch.num_graphs, max_count)

    def trim(self) -> "SelectOutput":
        """The pairs that are no padding, and as many clusters as they need."""
        out = untraced(self, self.node_index)
        real = (out.node_index < self.num_nodes) & (out.cluster_index < self.num_clusters)
        weight = None if out.weight is None else out.weight[real]
        node, cluster, weight = on_device_as_they_are(
            (out.node_index[real], out.cluster_index[real], weight)
        )
        edges = out.edges
        if edges is not None:
            inside = np.all(edges[0] < out.num_clusters, axis=0)
            edges = on_device_as_they_are((edges[0][:, inside], edges[1][inside]))
        return SelectOutput(
            node,
            cluster,
            weight,
            num_nodes=self.num_nodes,
            num_clusters=int(np.max(out.cluster_index[real], initial=-1)) + 1,
            overflow=self.overflow,
            keeps_nodes=self.keeps_nodes,
            max_count=self.max_count,
            edges=edges,
        )

    def _kept(self, name):
        if not self.keeps_nodes:
            raise not_nodes(name)
        return self.node_index, self.weight

    def _pairs(self):
        """Nodes and clusters, both past the end in padding."""
        real = (self.node_index < self.num_nodes) & (self.cluster_index < self.num_clusters)
        node = jnp.where(real, self.node_index, self.num_nodes)
        return node, jnp.where(real, self.cluster_index, self.num_clusters)


class OverlapSelectOutput(AbstractSelection):
    """Clusters that overlap: a node gives shares of its features to several of them.

    **Arguments:**

    - `own`: the clusters themselves: the node that each is, or the one cluster of each node.
    - `shares`: pairs of a node and a cluster that gets a share of it, with weights.
    """

    own: SelectOutput
    shares: SelectOutput

    def __init__(self, own: SelectOutput, shares: SelectOutput):
        self.own, self.shares = own, shares

    @property
    def num_nodes(self) -> int:
        """The number of nodes that were pooled, padding included."""
        return self.own.num_nodes

    @property
    def num_clusters(self) -> int:
        """The number of clusters, padding included."""
        return self.own.num_clusters

    @property
    def overflow(self) -> Bool[Array, ""]:
        """Whether there were more clusters to make than there is room for."""
        return self.own.overflow

    @property
    def keeps_nodes(self) -> bool:
        """Whether each cluster is one node."""
        return self.own.keeps_nodes

    @property
    def labels(self) -> Int[Array, " nodes"]:
        """The cluster of each node; `num_clusters` where it is in none."""
        return self.own.labels

    def reduce(
        self, x: Num[Array, "nodes *features"], aggr: str = "add"
    ) -> Num[Array, "clusters *features"]:
        """The shares of the features of the nodes, reduced by cluster."""
        return self.shares.reduce(x, aggr)

    def lift(self, x: Float[Array, "clusters features"]) -> Float[Array, "nodes features"]:
        """Brings features of clusters back to the nodes that they are, or are made of."""
        return self.own.lift(x)

    def graphs(self, batch: BatchVector) -> BatchVector:
        """The graph of each cluster."""
        return self.own.graphs(batch)

    def trim(self) -> "OverlapSelectOutput":
        """Without padding."""
        return OverlapSelectOutput(self.own.trim(), self.shares.trim())

    def _kept(self, name):
        return self.own._kept(name)


def select_nodes(
    perm: Int[Array, " pooled_nodes"],
    score: Float[Array, " nodes"],
    overflow: Bool[Array, ""] | None = None,
    max_count: int | None = None,
) -> SelectOutput:
    """The selection that keeps the nodes in `perm`, each a cluster of its own.

    **Arguments:**

    - `perm`: the nodes to keep. Entries past the last node are padding.
    - `score`: the score of each node, which becomes the weight of those kept.
    - `overflow`: whether `perm` was too short for the nodes to keep. No by default.
    - `max_count`: no graph keeps more nodes than this. By default nothing is known.
    """
    num_nodes, num_kept = score.shape[0], perm.shape[0]
    clusters = jnp.arange(num_kept, dtype=jnp.int32)
    return SelectOutput(
        node_index=perm,
        cluster_index=jnp.where(perm < num_nodes, clusters, num_kept),
        weight=gather_once(score, perm),
        num_nodes=num_nodes,
        num_clusters=num_kept,
        overflow=_false() if overflow is None else overflow,
        keeps_nodes=True,
        max_count=max_count,
    )


def not_nodes(name: str) -> AttributeError:
    """The error for a selection whose clusters are not single nodes."""
    return AttributeError(
        f"{name} exists only where each cluster is one node that was kept; here clusters have "
        "several nodes: read the fields of the selection instead, or use its lift()"
    )


def untraced(selection_or_output, index):
    """The same with NumPy arrays, since an eager slice of a JAX array would compile a program for
    each number of rows. `index` is the array whose axes tell whether it is a stack of several."""
    if is_traced(*jax.tree.leaves(selection_or_output)):
        raise ValueError("trim() needs values for its shapes: call it outside jit, vmap, grad")
    if index.ndim != 1:
        raise ValueError(
            "trim() needs one pooled batch, and this one is several stacked ones (by vmap, "
            "say): take one first, jax.tree.map(lambda array: array[i], out)"
        )
    return jax.tree.map(np.asarray, selection_or_output)


def on_device_as_they_are(tree):
    """The tree with JAX arrays. 64-bit results keep their types, even if 64-bit types are disabled
    by now."""
    with jax.enable_x64(True):
        return on_device(tree)


register_serialization(SelectOutput, "jraphx_eqx.nn.pool.SelectOutput")
register_serialization(OverlapSelectOutput, "jraphx_eqx.nn.pool.OverlapSelectOutput")
