import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from ..data import BatchVector
from ..data._batch_vector import most_nodes
from ._edges import edge_mask
from ._gather import gather
from ._order import places_in_graph
from ._segment import segment_sum


def walks_by_graph(
    edge_index: Int[Array, "2 edges"], batch: BatchVector, steps: int, dtype: DTypeLike
) -> tuple[Int[Array, "2 all_edges"], Float[Array, "lengths all_edges"]]:
    """How many walks of 0, 1, ... and `steps` edges lead from a node to another.

    By a table with a row for each node, and a column for each node that a graph can have, for each
    number of steps.

    **Arguments:**

    - `edge_index`: the edges; padding has an end past the last node. Equal edges are different
        steps.
    - `batch`: the graph of each node. No graph may have more nodes than its `max_count`; without it
        one graph may have all.
    - `steps`: the largest number of steps, static.
    - `dtype`: of the numbers.

    **Returns:** `(edge_index, walks)`: an edge from each node to each node that some of the walks
    lead to, by source and then by target, with padding in between, which has both ends past the
    last node; and the numbers, in a row for each number of steps.
    """
    num_nodes, most = batch.index.shape[0], most_nodes(batch)
    source, target = jnp.where(edge_mask(edge_index, num_nodes)[None], edge_index, num_nodes)
    places = jnp.where(batch.node_mask, places_in_graph(batch), most)
    table = jax.nn.one_hot(places, most, dtype=dtype)
    tables = [table]
    for _ in range(steps):
        table = segment_sum(gather(table, target), source, num_nodes)
        tables.append(table)
    walks = jnp.stack(tables).reshape(steps + 1, num_nodes * most)
    joined = jnp.any(walks > 0, axis=0)
    return _ends(joined, batch, places, most, edge_index.dtype), walks


def _ends(joined, batch, places, most, dtype):
    """The row and the node of the column of each entry of the table that is `joined`."""
    num_nodes = places.shape[0]
    node = jnp.arange(num_nodes, dtype=dtype)
    label = jnp.full((batch.num_graphs, most), num_nodes, dtype)
    label = label.at[batch.index, places].set(node, mode="drop")
    target = gather(label, batch.index, fill_value=num_nodes).reshape(-1)
    source = jnp.repeat(node, most)
    return jnp.where(joined[None], jnp.stack([source, target]), num_nodes)
