from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..data import Neighbours
from ._dtype import wide_dtype
from ._edges import filter_edges
from ._gather import gather, positions
from ._loops import remove_self_loops


def neighbour_sum(
    x: Float[Array, "nodes *features"], neighbours: Neighbours
) -> Float[Array, "nodes *features"]:
    """At each node the sum of the rows of its in-neighbours, by gathers alone.

    As `segment_sum(gather(x, source), target, num_nodes)`, in the same order of additions. The
    gradient is a sum over the lists of the other direction. float16 and bfloat16 are accumulated
    in float32.
    """
    return _sum(x.astype(wide_dtype(x.dtype)), neighbours).astype(x.dtype)


def neighbour_mean(
    x: Float[Array, "nodes *features"], neighbours: Neighbours
) -> Float[Array, "nodes *features"]:
    """As [`neighbour_sum`][jraphx_eqx.ops.neighbour_sum], the mean; 0 at nodes without any."""
    total = _sum(x.astype(wide_dtype(x.dtype)), neighbours)
    count = jnp.sum(neighbours.sources < x.shape[0], axis=1, dtype=jnp.int32)
    count = count.at[neighbours.late_sources[1]].add(1, mode="drop")
    count = jnp.maximum(count, 1).astype(total.dtype)
    return (total / count.reshape(-1, *[1] * (x.ndim - 1))).astype(x.dtype)


@jax.custom_jvp
def _sum(x, neighbours):
    total = _over_columns(lambda column: gather(x, column), neighbours.sources)
    source, target = neighbours.late_sources
    return total.at[target].add(gather(x, source), mode="drop")


@_sum.defjvp
def _sum_jvp(primals, tangents):
    x, neighbours = primals
    tangent, zeros = tangents[0], jnp.zeros_like(x)
    # Written as scatters, whose transposes are gathers.
    total = _over_columns(
        lambda column: zeros.at[column].add(tangent, mode="drop"), neighbours.targets
    )
    source, target = neighbours.late_targets
    total = total.at[target].add(gather(tangent, source), mode="drop")
    return _sum(x, neighbours), total


def _over_columns(function: Callable[[Array], Array], table: Int[Array, "nodes columns"]) -> Array:
    """Column by column, since XLA turns that into one parallel loop, and a sum over the axis of
    the columns into a slow one."""
    total = function(table[:, 0])
    for column in range(1, table.shape[1]):
        total = total + function(table[:, column])
    return total


def filter_neighbours(
    neighbours: Neighbours, node_index: Int[Array, " pooled_nodes"], num_nodes: int
) -> Neighbours:
    """The lists of the nodes in `node_index`, relabelled, as
    [`filter_edges`][jraphx_eqx.ops.filter_edges] relabels edges."""
    num_kept = node_index.shape[0]
    new_label = positions(node_index, num_nodes, neighbours.sources.dtype)

    def rows(table):
        table = gather(table, node_index, fill_value=num_nodes)
        return gather(new_label, table, fill_value=num_kept)

    def late(edges):
        return filter_edges(edges, None, node_index, num_nodes)[0]

    return _each(rows, late, neighbours)


def without_self_loops(neighbours: Neighbours) -> Neighbours:
    """Turns self-loops into empty entries."""
    num_nodes = neighbours.sources.shape[0]
    own = jnp.arange(num_nodes, dtype=neighbours.sources.dtype)[:, None]

    def rows(table):
        return jnp.where(table == own, num_nodes, table)

    def late(edges):
        return remove_self_loops(edges, None, num_nodes)[0]

    return _each(rows, late, neighbours)


def _each(rows, late, neighbours):
    return Neighbours(
        rows(neighbours.sources),
        rows(neighbours.targets),
        late(neighbours.late_sources),
        late(neighbours.late_targets),
    )
