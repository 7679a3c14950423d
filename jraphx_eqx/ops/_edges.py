import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Shaped

from ._gather import gather, positions
from ._topk import first_true


def edge_mask(edge_index: Int[Array, "2 edges"], num_nodes: int) -> Bool[Array, " edges"]:
    """False for padding: edges with an end past the last node."""
    return jnp.all(edge_index < num_nodes, axis=0)


def masked_edges(
    edge_index: Int[Array, "2 edges"],
    edge_attr: Shaped[Array, "edges *edge_features"] | None,
    mask: Bool[Array, " edges"],
    num_nodes: int,
) -> tuple[Int[Array, "2 edges"], Shaped[Array, "edges *edge_features"] | None]:
    """Turns the edges outside `mask` into padding: both ends `num_nodes`, attributes 0."""
    edge_index = jnp.where(mask, edge_index, num_nodes)
    if edge_attr is not None:
        rows = mask.reshape(mask.shape + (1,) * (edge_attr.ndim - 1))
        edge_attr = jnp.where(rows, edge_attr, jnp.zeros_like(edge_attr))
    return edge_index, edge_attr


def filter_edges(
    edge_index: Int[Array, "2 edges"],
    edge_attr: Shaped[Array, "edges *edge_features"] | None,
    node_index: Int[Array, " pooled_nodes"],
    num_nodes: int,
) -> tuple[Int[Array, "2 edges"], Shaped[Array, "edges *edge_features"] | None]:
    """The edges between the nodes in `node_index`, relabelled by their position in it.

    These keep their places, including self-loops and double edges. The others become padding.

    **Arguments:**

    - `edge_index`: source and target of each edge.
    - `edge_attr`: an array with one row per edge, of any rank, or `None`.
    - `node_index`: the nodes to keep, each at most once. Entries `>= num_nodes` are padding.
    - `num_nodes`: the number of nodes, static.
    """
    num_kept = node_index.shape[0]
    new_label = positions(node_index, num_nodes, edge_index.dtype)
    relabelled = gather(new_label, edge_index, fill_value=num_kept)
    return masked_edges(relabelled, edge_attr, edge_mask(relabelled, num_kept), num_kept)


def compact_edges(
    edge_index: Int[Array, "2 edges"],
    edge_attr: Shaped[Array, "edges *edge_features"] | None,
    num_nodes: int,
    capacity: int,
) -> tuple[Int[Array, "2 kept"], Shaped[Array, "kept *edge_features"] | None, Int[Array, ""]]:
    """Moves the edges that are not padding to the front and cuts after `capacity`.

    **Returns:** `(edge_index, edge_attr, total)`, where `total` is the number of edges that are
    not padding, which may exceed `capacity`.
    """
    position, total = first_true(edge_mask(edge_index, num_nodes), capacity)
    edge_index = edge_index.at[:, position].get(mode="fill", fill_value=num_nodes)
    return edge_index, None if edge_attr is None else gather(edge_attr, position), total
