import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from ._gather import gather
from ._segment import segment_max, segment_min
from ._varying import varying_zero


def independent_nodes(
    edge_index: Int[Array, "2 edges"], rank: Int[Array, " nodes"], hops: int = 1
) -> Bool[Array, " nodes"]:
    """The nodes that are taken one by one, the lowest rank first, where no node that was taken
    reaches them in so many steps: a maximal independent set.

    In each round all nodes are taken that have the lowest rank of those that are left within their
    reach; so the rounds grow with the logarithm of the number of nodes, for ranks in any order.

    **Arguments:**

    - `edge_index`: the edges; padding has an end past the last node.
    - `rank`: another number for each node, from 0 on. Those with the number of nodes are never
        taken, as padding.
    - `hops`: the number of steps.
    """
    none = jnp.asarray(rank.shape[0], rank.dtype)
    taken = (rank != rank) | (varying_zero(jnp.int32, edge_index, rank) > 0)

    def round_(state):
        taken, left = state
        ranks = jnp.where(left, rank, none)
        taken = taken | (left & (lowest_rank(edge_index, ranks, hops) == rank))
        near = taken.astype(rank.dtype)
        for _ in range(hops):
            reached = segment_max(gather(near, edge_index[0]), edge_index[1], rank.shape[0])
            near = jnp.maximum(near, reached)
        return taken, left & (near == 0)

    state = (taken, (rank < none) & ~taken)
    return jax.lax.while_loop(lambda state: jnp.any(state[1]), round_, state)[0]


def lowest_rank(
    edge_index: Int[Array, "2 edges"], rank: Int[Array, " nodes"], hops: int = 1
) -> Int[Array, " nodes"]:
    """The lowest rank from which a node is reached in so many steps at most, its own included."""
    source, target = edge_index
    none = jnp.asarray(rank.shape[0], rank.dtype)
    for _ in range(hops):
        offered = gather(rank, source, fill_value=rank.shape[0])
        # A node without edges is offered nothing; the smallest of nothing is 0.
        offered = segment_min(offered - none, target, rank.shape[0]) + none
        rank = jnp.minimum(rank, offered)
    return rank
