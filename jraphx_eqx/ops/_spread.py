import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from ._coalesce import coalesce
from ._edges import edge_mask, masked_edges
from ._gather import gather
from ._segment import segment_max
from ._varying import varying_zero


def spread_labels(
    edge_index: Int[Array, "2 edges"], label: Int[Array, " nodes"], rounds: int
) -> Int[Array, " nodes"]:
    """Labels for nodes that have none, from the nodes near them.

    In each round a node without a label gets the one that most of the edges to it bring, of several
    the smallest.

    **Arguments:**

    - `edge_index`: the edges; padding has an end past the last node.
    - `label`: a label below the number of nodes, or the number of nodes for none.
    - `rounds`: the number of rounds at most.
    """
    num_nodes = label.shape[0]
    source, target = edge_index

    def round_(state):
        number, label, _ = state
        brought = gather(label, source, fill_value=num_nodes).astype(target.dtype)
        free = gather(label, target, fill_value=0) == num_nodes
        pairs, _ = masked_edges(jnp.stack([target, brought]), None, free, num_nodes)
        pairs, votes = coalesce(pairs, jnp.ones(free.shape, jnp.int32), num_nodes)
        assert votes is not None
        most = segment_max(votes, pairs[0], num_nodes)
        wins = edge_mask(pairs, num_nodes) & (votes == gather(most, pairs[0]))
        node = jnp.where(wins, pairs[0], num_nodes)
        found = label.at[node].min(pairs[1].astype(label.dtype), mode="drop")
        return number + 1, found, label

    label = label + varying_zero(label.dtype, edge_index, label)
    state = jax.lax.while_loop(
        lambda state: (state[0] < rounds) & jnp.any(state[1] != state[2]),
        round_,
        (0, label, label - 1),
    )
    return state[1]
