from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Int

from .._number import python_sizes
from ._gather import gather


@python_sizes
def original_nodes(perms: Sequence[Int[Array, "_kept"]], num_nodes: int) -> Int[Array, " kept"]:
    """Which nodes of the first graph are left after several poolings, one after the other.

    **Arguments:**

    - `perms`: `perm` of each pooling, the first one first.
    - `num_nodes`: the rows of the graph that was pooled first.

    **Returns:** for each row of the last graph a node of the first one; `num_nodes` for padding.

    **Raises:** `ValueError` for no poolings.
    """
    if not perms:
        raise ValueError("perms must hold the perm of at least one pooling, got none")
    first, *rest = perms
    nodes = jnp.where(first < num_nodes, first, num_nodes).astype(first.dtype)
    for perm in rest:
        nodes = gather(nodes, perm, num_nodes)
    return nodes
