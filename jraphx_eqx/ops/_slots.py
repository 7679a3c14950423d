import jax.numpy as jnp
from jaxtyping import Array, Int

from ..data import BatchVector
from ._gather import positions
from ._order import places_in_graph


def graph_slots(batch: BatchVector, room: int) -> Int[Array, "graphs rows"]:
    """The nodes of each graph, in their order, in a row of `room`; the number of nodes where there
    is none. Nodes beyond the room have no place."""
    slots = batch.num_graphs * room
    place = places_in_graph(batch)
    slot = batch.index.astype(jnp.int32) * room + place
    slot = jnp.where(batch.node_mask & (place < room), slot, slots)
    return positions(slot, slots, jnp.int32).reshape(batch.num_graphs, room)
