import jax.numpy as jnp
from jaxtyping import Array, Int, Num

from ._edges import edge_mask
from ._gather import gather
from ._order import edge_order
from ._segment import aggregation


def coalesce(
    edge_index: Int[Array, "2 edges"],
    edge_attr: Num[Array, "edges *edge_features"] | None,
    num_nodes: int,
    aggr: str = "add",
) -> tuple[Int[Array, "2 edges"], Num[Array, "edges *edge_features"] | None]:
    """Sorts edges by source, then by target, and merges duplicate edges, as PyG's `coalesce`.

    **Arguments:**

    - `edge_index`, `edge_attr`: the edges. Those with an end past the last node are padding.
    - `num_nodes`: the number of nodes, static.
    - `aggr`: how the attributes of equal edges are reduced: `"add"` or `"sum"`, `"mean"`, `"max"`,
        `"min"`.

    **Returns:** as many edges as were given; slots freed by merging are padding at the end: both
    ends `num_nodes`, attributes 0.
    """
    num_edges = edge_index.shape[1]
    order = edge_order(edge_index, num_nodes)
    edge_index = edge_index[:, order]
    real = edge_mask(edge_index, num_nodes)
    before = jnp.concatenate([jnp.full((2, 1), -1, edge_index.dtype), edge_index[:, :-1]], axis=1)
    first = real & jnp.any(edge_index != before[:, :num_edges], axis=0)
    place = jnp.cumsum(first, dtype=jnp.int32) - 1
    slot = jnp.where(first, place, num_edges)
    merged = jnp.full_like(edge_index, num_nodes).at[:, slot].set(edge_index, mode="drop")
    if edge_attr is not None:
        place = jnp.where(real, place, num_edges)
        edge_attr = aggregation(aggr)(gather(edge_attr, order), place, num_edges)
    return merged, edge_attr
