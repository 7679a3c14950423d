import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from ._gather import gather
from ._segment import segment_count


def paths(
    end: Int[Array, " edges"], begin: Int[Array, " others"], num_nodes: int, capacity: int
) -> tuple[Int[Array, " paths"], Int[Array, " paths"], Int[Array, ""]]:
    """The paths of two edges: each edge of one list with each of another that begins at its end.

    **Arguments:**

    - `end`: the node at which each edge of the first list ends; `num_nodes` for padding.
    - `begin`: the node at which each edge of the second list begins, in ascending order, with
        padding, `num_nodes`, last.
    - `num_nodes`: the number of nodes, static.
    - `capacity`: room for this many paths, static.

    **Returns:** the positions of both edges in their lists, and the number of paths. Paths are
    ordered by the first position, then by the second. Padding comes last: its second position is
    past the end, and its first one is any. A number above `capacity` means that paths are missing.
    """
    capacity = capacity if end.shape[0] else 0  # jnp.repeat makes nothing of nothing
    leaving = segment_count(begin, num_nodes)
    first_leaving = jnp.cumsum(leaving) - leaving
    branches = gather(leaving, end)
    total = capped_sum(branches)
    slot = jnp.arange(capacity, dtype=jnp.int32)
    edge = jnp.arange(end.shape[0], dtype=jnp.int32)
    edge = jnp.repeat(edge, branches, total_repeat_length=capacity)
    branch = slot - gather(jnp.cumsum(branches) - branches, edge)
    step = gather(first_leaving, gather(end, edge)) + branch
    return edge, jnp.where(slot < total, step, begin.shape[0]), total


def capped_sum(numbers: Int[Array, "..."]) -> Int[Array, ""]:
    """The sum of numbers from 0 on, or the largest number of 32 bits if it is above."""
    with jax.enable_x64(True):
        total = jnp.minimum(jnp.sum(numbers, dtype=jnp.int64), jnp.iinfo(jnp.int32).max)
        return total.astype(jnp.int32)
