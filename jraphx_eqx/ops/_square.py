import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ._coalesce import coalesce
from ._edges import filter_edges
from ._gather import gather, positions
from ._loops import remove_self_loops
from ._paths import paths
from ._topk import first_true


def augment_edges(
    edge_index: Int[Array, "2 edges"],
    edge_weight: Float[Array, " edges"],
    num_nodes: int,
    max_paths: int | None = None,
    node_index: Int[Array, " pooled_nodes"] | None = None,
) -> tuple[Int[Array, "2 all_edges"], Float[Array, " all_edges"], Int[Array, ""]]:
    r"""Connects nodes that are one or two steps apart, as Graph U-Nets do.

    With $\mathbf{A}$ the weights without the self-loops, the result is what
    $(\mathbf{A} + \mathbf{I})^2 = \mathbf{A}^2 + 2 \mathbf{A} + \mathbf{I}$ holds off its
    diagonal. An entry at which weights cancel stays an edge, of weight 0. So it is the same as
    PyG's `GraphUNet.augment_adj`, whose edges have the same order, except that PyTorch leaves those
    with the same source in any order.

    Each path of two edges is written out and then added to those with the same ends, so the work
    follows the number of paths and not the square of the number of nodes.

    **Arguments:**

    - `edge_index`, `edge_weight`: the edges; padding has an end past the last node. Weights of
        equal edges are added.
    - `num_nodes`: the number of nodes, static.
    - `max_paths`: room for this many paths of two edges. By default
        [`path_capacity`][jraphx_eqx.ops.path_capacity], which is always enough.
    - `node_index`: only the part of the result between these nodes, each at most once, relabelled
        by their position. Entries `>= num_nodes` are padding. The paths may still lead through any
        node, but only those count for `max_paths` that begin and end here. By default all nodes.

    **Returns:** `(edge_index, edge_weight, total)`. The edges are ordered by source, then by
    target, and padding, with both ends the number of nodes (of entries of `node_index`), comes
    last. `total` is the number of paths, which may exceed a small `max_paths`; the edges are then
    not complete.
    """
    if node_index is None:
        node_index = jnp.arange(num_nodes, dtype=jnp.int32)
    num_kept, num_edges = node_index.shape[0], edge_index.shape[1]
    needed = path_capacity(num_edges, num_nodes, num_kept)
    capacity = needed if max_paths is None else min(needed, max_paths)
    labels = positions(node_index, num_nodes, jnp.int32)
    single, single_weight = _simple(edge_index, edge_weight, num_nodes)
    direct, direct_weight = filter_edges(single, single_weight, node_index, num_nodes)
    assert direct_weight is not None
    longer, path_weight, total = _paths(
        single, single_weight, num_nodes, labels, num_kept, capacity
    )
    joined = jnp.concatenate([direct, longer.astype(direct.dtype)], axis=1)
    joined, weight = _simple(joined, jnp.concatenate([2 * direct_weight, path_weight]), num_kept)
    room = num_kept * (num_kept - 1)
    return joined[:, :room], weight[:room], total


def path_capacity(num_edges: int, num_nodes: int, num_kept: int | None = None) -> int:
    """The largest number of paths of two edges in a graph without self-loops and double edges.

    A node with `a` edges in and `b` out is the middle of `a b` paths. If `num_kept` of the nodes
    may be ends, `b` is at most `num_kept`, and all `a` together are at most `num_edges`.
    """
    ends = num_nodes if num_kept is None else num_kept
    return num_edges * max(min(num_edges, ends, num_nodes - 1), 0)


def _simple(edge_index, edge_weight, num_nodes):
    """The edges without self-loops, equal ones as one, by source and then by target."""
    edge_index, weight = remove_self_loops(edge_index, edge_weight, num_nodes)
    edge_index, weight = coalesce(edge_index, weight, num_nodes)
    assert weight is not None
    return edge_index, weight


def _paths(edge_index, edge_weight, num_nodes, labels, num_labels, capacity):
    """The paths of two edges between labelled nodes: labels of the ends, products, number.

    `edge_index` must be ordered by source, with padding last.
    """
    num_edges = edge_index.shape[1]
    source, target = edge_index
    begin, end = (gather(labels, node, fill_value=num_labels) for node in edge_index)
    # The second steps, still ordered by source, so that those from one node are neighbours.
    second, _ = first_true(end < num_labels, num_edges)
    end, end_weight = gather(end, second), gather(edge_weight, second)
    middle = jnp.where(begin < num_labels, target, num_nodes)
    leaving = gather(source, second, fill_value=num_nodes)
    edge, step, total = paths(middle, leaving, num_nodes, capacity)
    # After the last path there is none: padding, wherever it begins.
    begin, end = gather(begin, edge), gather(end, step, fill_value=num_labels)
    return jnp.stack([begin, end]), gather(edge_weight, edge) * gather(end_weight, step), total
