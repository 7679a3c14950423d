import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from ._gather import gather
from ._varying import varying_zero


def connected_components(edge_index: Int[Array, "2 edges"], num_nodes: int) -> Int[Array, " nodes"]:
    """The smallest node of the component of each node, whatever the directions of the edges.

    Each node points at a smaller one of its component, or at itself. In each round, the smallest
    node that an end of an edge points at is offered to the other end and to what that points at;
    then each node points at what the one that it points at does. The rounds grow with the logarithm
    of the size of a component, for most graphs.

    **Arguments:**

    - `edge_index`: the edges; padding has an end past the last node.
    - `num_nodes`: the number of nodes, static.
    """
    ends = jnp.concatenate([edge_index, edge_index[::-1]], axis=1)
    start = jnp.arange(num_nodes, dtype=jnp.int32) + varying_zero(jnp.int32, edge_index)

    def round_(state):
        label, _ = state
        own, other = (gather(label, end, fill_value=num_nodes) for end in ends)
        new = label.at[own].min(other, mode="drop").at[ends[0]].min(other, mode="drop")
        new = gather(new, new)
        return new, jnp.any(new != label)

    changes = jnp.any(start >= 0)
    label, _ = jax.lax.while_loop(lambda state: state[1], round_, (start, changes))
    return label
