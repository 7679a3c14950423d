from collections.abc import Callable

from jaxtyping import Array, Int

from ...data import Batch, Data
from ...ops import consecutive_cluster
from .._check import check_rows
from ._cluster import connect_clusters, select_clusters


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


def _pooled(cluster, data, aggr, transform):
    if isinstance(data, Data):
        data = Batch.from_data_list([data])
    check_rows(cluster, data.num_nodes, "cluster", "nodes of data")
    label, total = consecutive_cluster(cluster, data.node_mask)
    select = select_clusters(label, total)
    edge_index, edge_attr = connect_clusters(
        select, data.edge_index, data.edge_attr, keep_loops=False
    )
    out = Batch(
        x=None if data.x is None else select.reduce(data.x, aggr),
        edge_index=edge_index,
        edge_attr=edge_attr,
        y=data.y,
        pos=None if data.pos is None else select.reduce(data.pos, "mean"),
        batch=select.graphs(data.batch),
        graph_mask=data.graph_mask,
        extras={"graph": data.extras["graph"]},
    )
    return out if transform is None else transform(out)
