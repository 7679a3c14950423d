import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Num, Shaped

from .._number import python_sizes
from ..data import BatchVector, is_traced, resolve_batch
from ..data._batch_vector import largest_count
from ._edges import edge_mask
from ._gather import gather
from ._order import places_in_graph


@python_sizes
def to_dense_batch(
    x: Shaped[Array, "nodes *features"],
    batch: BatchVector | Int[Array, " nodes"] | None = None,
    fill_value: float | int = 0,
    max_nodes: int | None = None,
    *,
    size: int | None = None,
) -> tuple[Shaped[Array, "graphs most *features"], Bool[Array, "graphs most"]]:
    """The rows of each graph in a row of their own, filled up to the same number.

    Equal to `torch_geometric.utils.to_dense_batch`, also for a batch vector that is not sorted,
    with which PyG's loses nodes.

    **Arguments:**

    - `x`: a row for each node, of any rank. Those of padding may hold anything.
    - `batch`: the graph of each node. `None` is one graph.
    - `fill_value`: what rows without a node hold.
    - `max_nodes`: how many nodes there is room for in each graph; further ones are dropped. By
        default `batch.max_count`, or where that is unknown the size of the largest graph, for which
        `batch` must have values.
    - `size`: the number of graphs. Needed only for a bare `batch` under tracing.

    **Returns:** `(dense, mask)` of shapes `(graphs, max_nodes, *features)` and
    `(graphs, max_nodes)`.

    **Raises:** `ValueError` under tracing if nothing tells `max_nodes`.
    """
    batch = resolve_batch(batch, x.shape[0], size)
    most = _room(batch, max_nodes)
    place = batch.index, places_in_graph(batch)
    mask = jnp.zeros((batch.num_graphs, most), bool).at[place].set(True, mode="drop")
    dense = jnp.full((*mask.shape, *x.shape[1:]), fill_value, x.dtype)
    return dense.at[place].set(x, mode="drop"), mask


@python_sizes
def to_dense_adj(
    edge_index: Int[Array, "2 edges"],
    batch: BatchVector | Int[Array, " nodes"],
    edge_attr: Num[Array, "edges *edge_features"] | None = None,
    max_nodes: int | None = None,
    *,
    size: int | None = None,
) -> Num[Array, "graphs most most *edge_features"]:
    """The adjacency matrix of each graph, with sources as rows and targets as columns.

    Equal to `torch_geometric.utils.to_dense_adj`, also for a batch vector that is not sorted.

    **Arguments:**

    - `edge_index`: the edges; padding has an end past the last node.
    - `batch`: the graph of each node.
    - `edge_attr`: what the matrix holds, one row for each edge, those of equal edges added up. 1 of
        the default float dtype by default.
    - `max_nodes`, `size`: as for [`to_dense_batch`][jraphx_eqx.ops.to_dense_batch].
    """
    num_nodes = (batch.index if isinstance(batch, BatchVector) else batch).shape[0]
    batch = resolve_batch(batch, num_nodes, size)
    most = _room(batch, max_nodes)
    if edge_attr is None:
        edge_attr = jnp.ones(edge_index.shape[1])
    source = jnp.where(edge_mask(edge_index, num_nodes), edge_index[0], num_nodes)
    graph = gather(batch.index, source, fill_value=batch.num_graphs)
    row, column = gather(places_in_graph(batch), edge_index, fill_value=most)
    empty = jnp.zeros((batch.num_graphs, most, most, *edge_attr.shape[1:]), edge_attr.dtype)
    return empty.at[graph, row, column].add(edge_attr, mode="drop")


def _room(batch, max_nodes):
    if max_nodes is not None:
        if max_nodes < 0:
            raise ValueError(f"max_nodes must not be negative, got {max_nodes}")
        return max_nodes
    if batch.max_count is not None:
        return batch.max_count
    if is_traced(batch.index):
        raise ValueError(
            "max_nodes must be given where batch is traced (under jit, vmap, ...), because the "
            "size of the largest graph fixes a shape; or pass a BatchVector with max_count"
        )
    return largest_count(batch)
