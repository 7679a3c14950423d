import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from ._order import integer_order


def consecutive_cluster(
    cluster: Int[Array, " nodes"], mask: Bool[Array, " nodes"] | None = None
) -> tuple[Int[Array, " nodes"], Int[Array, ""]]:
    """Numbers the clusters that are used from 0 on, in the order of their ids.

    PyG's `consecutive_cluster` returns the last node of each cluster instead of their number.

    **Arguments:**

    - `cluster`: the id of the cluster of each node, any integer.
    - `mask`: False for nodes in no cluster, whose id may be anything. All are in one by default.

    **Returns:** `(label, total)`: the number of the cluster of each node, which for those outside
    `mask` is the number of nodes; and how many clusters there are.
    """
    num_nodes = cluster.shape[0]
    if mask is None:
        mask = jnp.ones(num_nodes, bool)
    order = integer_order(cluster, mask)
    ids, real = cluster[order], mask[order]
    before = jnp.concatenate([jnp.zeros(1, bool), ids[1:] == ids[:-1]])[:num_nodes]
    number = jnp.cumsum(real & ~before, dtype=jnp.int32)
    label = jnp.full(num_nodes, num_nodes, jnp.int32)
    label = label.at[jnp.where(real, order, num_nodes)].set(number - 1, mode="drop")
    return label, jnp.max(number, initial=0)
