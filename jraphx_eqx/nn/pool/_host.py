"""Poolings that are decided on the host, graph by graph, from the edges alone."""

import abc
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from ...data import BatchVector, is_traced, resolve_batch
from ...data._transfer import on_device
from ...ops import gather, mask_rows, segment_max
from .._check import check_edge_attr, check_edge_index
from .._entry import takes_numpy
from ._choice import Choice
from ._cluster import keep_features, select_clusters
from ._dense import AbstractDensePool, edge_weights
from ._dense_selection import DenseSelectOutput
from ._output import PoolOutput
from ._pool import AbstractPool
from ._selection import AbstractSelection, OverlapSelectOutput, SelectOutput, select_nodes

# What a graph says of its nodes, a row for each, by name; numbers of clusters count from 0 in each
# graph. Either their memberships,
#     `matrix` (clusters), `modes` (modes),
# or their one cluster, -1 for none, with their weight in it, and whether it has their features,
#     `cluster`, `weight`, `kept`,
# and the edges between clusters, where each node is one, in any rows,
#     `edges` (slots, 2), `edge_weight` (slots).
Columns = Mapping[str, Any]
NONE = {"cluster": -1, "edges": -1}  # What stands where there is nothing; elsewhere 0.


class AbstractHostPool(AbstractPool):
    """A pooling that is decided on the host, from the edges and their weights.

    Eager calls decide anew, graph by graph, with matrices of nodes by nodes of one graph. In a
    program that is traced, the decision has to be made before, and be given as `select=`:
    [`precoarsen`][jraphx_eqx.nn.pool.precoarsen] makes those of a data set, once.
    """

    @abc.abstractmethod
    def columns(self, adjacency: Float[np.ndarray, "nodes _nodes"]) -> Columns:
        """The decision for one graph of one node at least, in rows of its nodes. The adjacency
        matrix is float64, a row for each source; weights of equal edges are added up."""

    @takes_numpy
    def __call__(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
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
        """**Arguments:** as for [`TopKPooling`][jraphx_eqx.nn.pool.TopKPooling]. `x` and `attn` are
        not looked at. `select`, which must be a selection, is needed under tracing, also where
        only `edge_attr` is traced, by a gradient, say.

        **Raises:** `ValueError` for inputs that do not fit each other, for an edge between two
        graphs, for weights that are not finite, and where something to decide by is traced.
        """
        if not isinstance(select, AbstractSelection):
            check_edge_index(edge_index)
            check_edge_attr(edge_attr, edge_index)
            batch = resolve_batch(batch, x.shape[0], size)
            more = {"choice": select, "max_nodes": max_nodes}
            select, max_nodes = self.assign(x, edge_index, edge_attr, batch, **more), None
        more = {"size": size, "select": select, "max_nodes": max_nodes, "max_edges": max_edges}
        return AbstractPool.__call__(self, x, edge_index, edge_attr, batch, attn, **more, key=key)

    def losses(
        self,
        select: AbstractSelection,
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None,
        batch: BatchVector,
    ) -> dict[str, Float[Array, ""]]:
        """None."""
        return {}


class AbstractHostSparsePool(AbstractHostPool):
    """One that puts a node into one cluster, or drops it."""

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
        """The cluster of each node."""
        if choice is not None:
            raise ValueError(f"select must be a selection: {_name(self)} decides by the edges")
        return _decide(self, x, edge_index, edge_attr, batch, max_nodes)


class AbstractHostDensePool(AbstractHostPool, AbstractDensePool):
    """One that gives each node memberships in all clusters of its graph."""

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
        return _decide(self, x, edge_index, edge_attr, batch)


def columns_of(
    pool: AbstractHostPool,
    edge_index: Int[Array, "2 edges"],
    weight: Float[Array, " edges"],
    batch: BatchVector,
) -> dict[str, np.ndarray]:
    """Those of each graph, in the rows of its nodes."""
    edges, weights, index = (np.asarray(array) for array in (edge_index, weight, batch.index))
    graphs, num_nodes = batch.num_graphs, len(index)
    order = np.argsort(index, kind="stable")
    bounds = np.searchsorted(index[order], np.arange(graphs + 1))
    place = np.empty(num_nodes, np.int64)
    place[order] = np.arange(num_nodes)
    edges = edges[:, real := np.all((edges >= 0) & (edges < num_nodes), axis=0)]
    of_edges = index[edges[0]]
    _check_edges(edges, weights[real], index, graphs)
    by_graph = np.argsort(of_edges, kind="stable")
    edges, weights = place[edges[:, by_graph]], weights[real][by_graph].astype(np.float64)
    cuts = np.searchsorted(of_edges[by_graph], np.arange(graphs + 1))
    found = []
    for graph in range(graphs):
        first, last = bounds[graph], bounds[graph + 1]
        if last == first:
            continue
        own = slice(cuts[graph], cuts[graph + 1])
        adjacency = np.zeros((last - first, last - first))
        np.add.at(adjacency, tuple(edges[:, own] - first), weights[own])
        found.append((order[first:last], pool.columns(adjacency)))
    return _joined(found or [(order[:0], pool.columns(np.zeros((1, 1))))], num_nodes)


def _check_edges(edges, weights, index, graphs):
    source, target = index[edges]
    across = (source != target) & ((source < graphs) | (target < graphs))
    if np.any(across):
        ends = edges[:, np.argmax(across)].tolist()
        raise ValueError(f"edge_index must not join nodes of two graphs, got an edge of {ends}")
    if not np.all(np.isfinite(weights[source < graphs])):
        raise ValueError("edge_attr must hold finite weights, got NaN or infinity")


@eqx.filter_jit
def selection_of(
    columns: Columns, batch: BatchVector, max_nodes: int | None = None
) -> SelectOutput | OverlapSelectOutput | DenseSelectOutput:
    """The selection that the columns describe."""
    if "matrix" in columns:
        rows = {name: mask_rows(array, batch.node_mask) for name, array in columns.items()}
        return DenseSelectOutput(rows["matrix"], batch, modes=rows.get("modes"))
    num_nodes, cluster = batch.index.shape[0], columns["cluster"]
    inside = batch.node_mask & (cluster >= 0)
    graph = jnp.where(inside, batch.index, batch.num_graphs)
    counts = segment_max(jnp.where(inside, cluster + 1, 0), graph, batch.num_graphs)
    first = jnp.cumsum(counts) - counts
    label = jnp.where(inside, gather(first, graph) + cluster, num_nodes)
    weight = columns.get("weight")
    if weight is not None:
        weight = jnp.where(inside, weight, 0)
    select = select_clusters(label, jnp.sum(counts), weight, max_nodes)
    if "kept" in columns:
        return keep_features(select, inside & (columns["kept"] > 0))
    if "edges" not in columns:
        return select
    room = select.num_clusters
    node = jnp.arange(num_nodes, dtype=jnp.int32)
    perm = jnp.full(room, num_nodes, jnp.int32).at[select.cluster_index].set(node, mode="drop")
    ends, weight = columns["edges"], columns["edge_weight"]
    ends = jnp.where(ends >= 0, gather(first, batch.index)[:, None, None] + ends, room)
    real = batch.node_mask[:, None] & jnp.all(ends < room, axis=2)
    ends = jnp.where(real[:, :, None], ends, room).reshape(-1, 2).T
    score = batch.node_mask.astype(weight.dtype)
    kept = select_nodes(perm, score, select.overflow, batch.max_count)
    edges = ends, jnp.where(real, weight, 0).reshape(-1)
    return eqx.tree_at(lambda kept: kept.edges, kept, edges, is_leaf=lambda leaf: leaf is None)


def packed(edges: tuple[np.ndarray, ...], weight: np.ndarray, rows: int) -> Columns:
    """Sources and targets of edges, and their weights, spread over rows, as many in each."""
    slots = -(-len(weight) // rows)
    ends, weights = np.full((rows * slots, 2), -1, np.int32), np.zeros(rows * slots)
    ends[: len(weight)], weights[: len(weight)] = np.stack(edges, axis=1), weight
    return {"edges": ends.reshape(rows, slots, 2), "edge_weight": weights.reshape(rows, slots)}


def padded_to(clusters: int, matrix: np.ndarray) -> np.ndarray:
    """Memberships in so many clusters; nobody is in the last ones."""
    return np.pad(matrix, [(0, 0), (0, clusters - matrix.shape[1])])


def symmetric(adjacency: np.ndarray) -> np.ndarray:
    """With edges in both directions, of the larger weight, and without loops."""
    adjacency = np.maximum(adjacency, adjacency.T)
    np.fill_diagonal(adjacency, 0)
    return adjacency


def _decide(pool, x, edge_index, edge_attr, batch, max_nodes=None) -> Any:
    batch = resolve_batch(batch, x.shape[0])
    if is_traced(edge_index, edge_attr, batch.index):
        raise ValueError(
            f"{_name(pool)} decides on the host, by edges that have values: under tracing pass "
            "select=, such as one of selections(batch) of graphs that precoarsen has made"
        )
    weight = edge_weights(edge_index, edge_attr, x.shape[0], x.dtype)
    columns = columns_of(pool, edge_index, weight, batch)
    return selection_of(as_arrays(columns, x.dtype), batch, max_nodes)


def as_arrays(columns: Columns, dtype: np.dtype) -> Columns:
    """On the device, numbers in `dtype`."""
    return {
        name: on_device(array.astype(dtype if array.dtype.kind == "f" else np.int32))
        for name, array in columns.items()
    }


def _joined(found, num_nodes):
    """The columns of all graphs, in the rows of all nodes, with as many slots as the most have."""
    joined = {}
    for name, example in found[0][1].items():
        shape = np.max([columns[name].shape[1:] for _, columns in found], axis=0).astype(int)
        joined[name] = np.full((num_nodes, *shape), NONE.get(name, 0), example.dtype)
        for rows, columns in found:
            own = columns[name]
            joined[name][rows, *map(slice, own.shape[1:])] = own
    return joined


def _name(pool):
    return type(pool).__name__
