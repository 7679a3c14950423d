import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from ._edges import edge_mask, masked_edges
from ._gather import gather
from ._segment import aggregation, segment_sum


def remove_self_loops(
    edge_index: Int[Array, "2 edges"],
    edge_attr: Shaped[Array, "edges *edge_features"] | None,
    num_nodes: int,
) -> tuple[Int[Array, "2 edges"], Shaped[Array, "edges *edge_features"] | None]:
    """Turns self-loops into padding."""
    mask = (edge_index[0] != edge_index[1]) & jnp.all(edge_index < num_nodes, axis=0)
    return masked_edges(edge_index, edge_attr, mask, num_nodes)


def add_self_loops(
    edge_index: Int[Array, "2 edges"],
    edge_attr: Float[Array, "edges *edge_features"] | None,
    num_nodes: int,
    fill_value: float | int | str = 1.0,
) -> tuple[Int[Array, "2 all_edges"], Float[Array, "all_edges *edge_features"] | None]:
    """Appends one self-loop per node, whether or not it has one.

    **Arguments:**

    - `edge_index`, `edge_attr`: the edges. Padding stays where it is.
    - `num_nodes`: the number of nodes, static.
    - `fill_value`: the attribute of the new edges, or the name of a reduction (`"mean"`, `"add"`,
        `"max"`, `"min"`) of the attributes of the edges that point at the node.
    """
    loops = jnp.broadcast_to(jnp.arange(num_nodes, dtype=edge_index.dtype), (2, num_nodes))
    if edge_attr is not None:
        if isinstance(fill_value, str):
            target = jnp.where(edge_mask(edge_index, num_nodes), edge_index[1], num_nodes)
            fill = aggregation(fill_value)(edge_attr, target, num_nodes)
        else:
            fill = jnp.full((num_nodes, *edge_attr.shape[1:]), fill_value, edge_attr.dtype)
        edge_attr = jnp.concatenate([edge_attr, fill])
    return jnp.concatenate([edge_index, loops], axis=1), edge_attr


def self_loop_weights(
    edge_index: Int[Array, "2 edges"],
    edge_weight: Float[Array, " edges"],
    num_nodes: int,
    fill_value: float | int,
) -> Float[Array, " nodes"]:
    """The weight of each node's self-loop, and `fill_value` where it has none.

    Of several self-loops the last one counts, as in PyG's `add_remaining_self_loops`.
    """
    num_edges = edge_weight.shape[0]
    is_loop = edge_index[0] == edge_index[1]
    target = jnp.where(is_loop, edge_index[1], num_nodes)
    # 1-based, so that 0 means that there is none.
    place = jnp.arange(1, num_edges + 1, dtype=jnp.int32)
    last = aggregation("max")(place, target, num_nodes) - 1
    existing = gather(edge_weight, jnp.where(last < 0, num_edges, last))
    return jnp.where(last < 0, fill_value, existing)


def degree(
    index: Int[Array, " edges"],
    num_nodes: int,
    edge_weight: Float[Array, " edges"] | None = None,
    dtype: jnp.dtype | None = None,
) -> Float[Array, " nodes"]:
    """The number of edges, or the sum of their weights, at each node in `index`."""
    if edge_weight is None:
        edge_weight = jnp.ones(index.shape, dtype)
    return segment_sum(edge_weight, index, num_nodes)
