import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..data import BatchVector
from ._edges import edge_mask
from ._gather import gather
from ._order import descending_order
from ._topk import first_true

# A chain of edges, each better than the next, needs a round for every second one of them.
_ROUNDS = 64


def greedy_matching(
    edge_index: Int[Array, "2 edges"], score: Float[Array, " edges"], num_nodes: int
) -> Int[Array, " pairs"]:
    """The edges that are taken by going down the scores, leaving out those with an end that is
    taken; of equal scores the first edge comes first.

    An edge is taken as soon as no better one is left at either end, all such edges in one round.
    That gives the same edges as the loop over all of them, in far fewer steps: the rounds are few
    unless scores fall along a long path. After some of them, the loop does the rest.

    **Arguments:**

    - `edge_index`: the edges; padding has an end past the last node. A self-loop takes its node.
    - `score`: the score of each edge. NaN is the highest.
    - `num_nodes`: the number of nodes, static.

    **Returns:** the edges, by descending score, followed by padding, which is the number of edges.
    There are as many entries as nodes, or as edges if these are fewer.
    """
    num_edges = edge_index.shape[1]
    room = min(num_edges, num_nodes)
    if room == 0:
        return jnp.zeros(0, jnp.int32)
    real = edge_mask(edge_index, num_nodes)
    whole = BatchVector(jnp.where(real, 0, 1).astype(jnp.int32), 1)
    order = descending_order(jax.lax.stop_gradient(score), whole)
    # From here on an edge is called by its rank.
    ends = jnp.where(real[None], edge_index, num_nodes)[:, order]
    taken = _taken(ends, num_nodes)
    rank, _ = first_true(taken, room)
    return gather(order, rank, fill_value=num_edges)


def _taken(ends, num_nodes):
    """Which edges are taken, if they are sorted, best first, with padding past the end."""
    num_edges = ends.shape[1]
    left = jnp.all(ends < num_nodes, axis=0)
    # Made of the edges, so that in `shard_map` they differ between devices from the start.
    nothing = left[0] & ~left[0]
    taken, nodes = (jnp.broadcast_to(nothing, size) for size in (num_edges, num_nodes))
    _, taken, nodes, left = jax.lax.while_loop(
        lambda state: (state[0] < _ROUNDS) & jnp.any(state[3]),
        lambda state: (state[0] + 1, *_round(ends, *state[1:])),
        (0, taken, nodes, left),
    )
    steps = jnp.where(jnp.any(left), num_edges, 0)
    taken, _ = jax.lax.fori_loop(0, steps, lambda i, state: _one(ends, i, *state), (taken, nodes))
    return taken


def _round(ends, taken, nodes, left):
    """Takes all edges than which no better one is left at either end."""
    num_nodes, num_edges = nodes.shape[0], taken.shape[0]
    rank = jnp.arange(num_edges, dtype=jnp.int32)
    best = jnp.full(num_nodes, num_edges, jnp.int32)
    best = best.at[jnp.where(left[None], ends, num_nodes)].min(rank, mode="drop")
    new = left & jnp.all(gather(best, ends) == rank[None], axis=0)
    nodes = nodes.at[jnp.where(new[None], ends, num_nodes)].set(True, mode="drop")
    return taken | new, nodes, left & ~jnp.any(gather(nodes, ends), axis=0)


def _one(ends, number, taken, nodes):
    """Takes one edge, if both its ends are free."""
    pair = ends[:, number]
    free = ~jnp.any(nodes.at[pair].get(mode="fill", fill_value=True))
    nodes = nodes.at[pair].max(free, mode="drop")
    return taken.at[number].max(free), nodes
