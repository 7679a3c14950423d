import dataclasses
from collections.abc import Callable
from typing import TypeVar

import jax.numpy as jnp
from jaxtyping import Array, Int, Num

from ...data import Batch, BatchVector, Data, resolve_batch
from ...data._transfer import on_device
from ...ops import add_self_loops, aggregation, consecutive_cluster, gather
from .._check import check_positive, check_rows
from ._cluster import connect_clusters, select_clusters

_Graphs = TypeVar("_Graphs", Data, Batch)


def max_pool(
    cluster: Int[Array, " nodes"],
    data: Data | Batch,
    transform: Callable[[Batch], Batch] | None = None,
) -> Batch:
    """Makes one node of each cluster, with the largest value of each feature.

    Positions are averaged. Edges are those between different clusters, equal ones as one, their
    attributes added up. The clusters come in the order of their ids.

    Equal to `torch_geometric.nn.max_pool`, with room for as many nodes and edges as there were:
    `trim()` of the result drops what is padding. What belongs to a graph (`y`, `graph_mask`,
    `extras["graph"]`) is kept, other extras are not, as they are no features of clusters; PyG
    keeps none of them.

    **Arguments:**

    - `cluster`: the id of the cluster of each node, any integer. That of a padding node may be
        anything. A cluster must not have nodes of several graphs.
    - `data`: one graph, or a batch of graphs, with or without padding.
    - `transform`: a function of the result, which is then returned instead.

    **Returns:** a [`Batch`][jraphx_eqx.data.Batch], of one graph if `data` is one.
    """
    return _pooled(cluster, data, "max", transform)


def avg_pool(
    cluster: Int[Array, " nodes"],
    data: Data | Batch,
    transform: Callable[[Batch], Batch] | None = None,
) -> Batch:
    """Makes one node of each cluster, with the mean of each feature.

    Equal to `torch_geometric.nn.avg_pool`; apart from the mean as
    [`max_pool`][jraphx_eqx.nn.pool.max_pool].
    """
    return _pooled(cluster, data, "mean", transform)


def max_pool_x(
    cluster: Int[Array, " nodes"],
    x: Num[Array, "nodes *features"],
    batch: BatchVector | Int[Array, " nodes"] | None = None,
    clusters: int | None = None,
    *,
    size: int | None = None,
) -> tuple[Num[Array, "clusters *features"], BatchVector | None]:
    """The largest value of each feature in each cluster.

    Equal to `torch_geometric.nn.max_pool_x`, whose `batch_size` is `size`, and whose `size` is
    `clusters`.

    **Arguments:**

    - `cluster`: the id of the cluster of each node, any integer. That of a padding node may be
        anything. A cluster must not have nodes of several graphs.
    - `x`: a row for each node. Those of padding may hold anything.
    - `batch`: the graph of each node. `None` is one graph.
    - `clusters`: if each graph has this many clusters: then cluster `k` of graph `b` must have the
        id `b * clusters + k`, and no cluster is left out. One without nodes is 0.
    - `size`: the number of graphs. Needed only for a bare `batch` under tracing.

    **Returns:** `(x, batch)`: the clusters in the order of their ids, with room for as many as
    there were nodes, and the graph of each; or with `clusters` `(graphs * clusters, *features)` and
    `None`.
    """
    return _pooled_x(cluster, x, batch, clusters, size, "max")


def avg_pool_x(
    cluster: Int[Array, " nodes"],
    x: Num[Array, "nodes *features"],
    batch: BatchVector | Int[Array, " nodes"] | None = None,
    clusters: int | None = None,
    *,
    size: int | None = None,
) -> tuple[Num[Array, "clusters *features"], BatchVector | None]:
    """The mean of each feature in each cluster.

    Equal to `torch_geometric.nn.avg_pool_x`; apart from the mean as
    [`max_pool_x`][jraphx_eqx.nn.pool.max_pool_x].
    """
    return _pooled_x(cluster, x, batch, clusters, size, "mean")


def max_pool_neighbor_x(data: _Graphs, flow: str = "source_to_target") -> _Graphs:
    """The largest value of each feature among a node and the nodes whose edges point at it.

    Equal to `torch_geometric.nn.max_pool_neighbor_x`, which changes `data` instead.

    **Arguments:**

    - `data`: one graph, or a batch of graphs, with or without padding.
    - `flow`: `"source_to_target"`, or `"target_to_source"` for the nodes that its edges point at.
    """
    return _neighbours(data, flow, "max")


def avg_pool_neighbor_x(data: _Graphs, flow: str = "source_to_target") -> _Graphs:
    """The mean of each feature among a node and the nodes whose edges point at it.

    Equal to `torch_geometric.nn.avg_pool_neighbor_x`. A node with a self-loop counts itself twice,
    as there. Apart from the mean as
    [`max_pool_neighbor_x`][jraphx_eqx.nn.pool.max_pool_neighbor_x].
    """
    return _neighbours(data, flow, "mean")


def _pooled_x(cluster, x, batch, clusters, size, aggr):
    cluster, x = on_device((cluster, x))
    check_rows(cluster, x.shape[0], "cluster", "nodes of x")
    batch = resolve_batch(batch, x.shape[0], size)
    if clusters is not None:
        check_positive(clusters=clusters)
        rows = batch.num_graphs * clusters
        place = jnp.where(batch.node_mask & (cluster >= 0), cluster, rows)
        return aggregation(aggr)(x, place, rows), None
    select = select_clusters(*consecutive_cluster(cluster, batch.node_mask))
    return select.reduce(x, aggr), select.graphs(batch)


def _neighbours(data, flow, aggr):
    if flow not in ("source_to_target", "target_to_source"):
        raise ValueError(f"flow must be 'source_to_target' or 'target_to_source', got {flow!r}")
    if data.x is None:
        raise ValueError("data must have x, got None")
    x, edge_index = on_device((data.x, data.edge_index))
    edges, _ = add_self_loops(edge_index, None, x.shape[0])
    source, target = edges if flow == "source_to_target" else edges[::-1]
    target = jnp.where(source < x.shape[0], target, x.shape[0])
    rows = aggregation(aggr)(gather(x, source), target, x.shape[0])
    return dataclasses.replace(data, x=rows)


def _pooled(cluster, data, aggr, transform):
    if isinstance(data, Data):
        data = Batch.from_data_list([data])
    check_rows(cluster, data.num_nodes, "cluster", "nodes of data")
    label, total = consecutive_cluster(cluster, data.node_mask)
    select = select_clusters(label, total)
    edge_index, edge_attr, batch = connect_clusters(
        select, data.edge_index, data.edge_attr, data.batch
    )
    out = Batch(
        x=None if data.x is None else select.reduce(data.x, aggr),
        edge_index=edge_index,
        edge_attr=edge_attr,
        y=data.y,
        pos=None if data.pos is None else select.reduce(data.pos, "mean"),
        batch=batch,
        graph_mask=data.graph_mask,
        extras={"graph": data.extras["graph"]},
    )
    return out if transform is None else transform(out)
