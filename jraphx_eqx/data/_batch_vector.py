from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from .._number import as_number, python_sizes
from ._fields import unchecked
from ._transfer import is_traced, on_device


def check_not_stacked(index: Array | np.ndarray) -> None:
    """Raises if there are several batch vectors, stacked along an axis of their own."""
    if index.ndim != 1:
        raise ValueError(
            "several batches were stacked into this one (by vmap or jnp.stack, say); take one of "
            "them first: jax.tree.map(lambda array: array[i], batch)"
        )


def _in_jax(index: Int[Array | np.ndarray, " nodes"]) -> Int[Array, " nodes"]:
    return on_device(index) if isinstance(index, np.ndarray) else index


def _num_graphs(value: Any) -> Any:
    return as_number(value, "num_graphs")


def _max_count(value: Any) -> Any:
    return None if value is None else as_number(value, "max_count")


class BatchVector(eqx.Module):
    """The graph of each node, together with how many graphs there are room for.

    An entry equal to `num_graphs` marks a padding node. `num_graphs` is a capacity: trailing
    graphs may have no nodes.

    **Arguments:**

    - `index`: the graph of each node, shape `(nodes,)`, entries in `[0, num_graphs]`. Need not be
        sorted, and ids may be missing.
    - `num_graphs`: the number of graphs. Static: another value compiles another program.
    - `max_count`: no graph has more nodes than this. Static as well. What grows with the square of
        a graph, as the paths of a [`GraphUNet`][jraphx_eqx.nn.models.GraphUNet], takes its room
        from it. `None` where nothing is known.

    **Raises:** `ValueError` for a negative number, and, where `index` has a value to look at (not
    under tracing), for a negative entry or a graph of more than `max_count` nodes. Under tracing
    the latter is an error at run time, which takes a callback. A vector that was made outside, or
    by this package, was looked at there and needs none.
    """

    index: Int[Array, " nodes"] = eqx.field(converter=_in_jax)
    num_graphs: int = eqx.field(static=True, converter=_num_graphs)
    max_count: int | None = eqx.field(static=True, default=None, converter=_max_count)

    def __post_init__(self):
        for name in ("num_graphs", "max_count"):
            number = getattr(self, name)
            if number is not None and number < 0:
                raise ValueError(f"{name} must not be negative, got {number}")
        if self.max_count is not None and is_traced(self.index):
            exceeds = jnp.max(self.counts, initial=0) > self.max_count
            message = (
                f"batch holds a graph of more nodes than max_count={self.max_count}; "
                "raise max_count"
            )
            self.index = eqx.error_if(self.index, exceeds, message)

    def __check_init__(self):
        if is_traced(self.index):
            return
        _check_ids(np.asarray(self.index))
        if self.max_count is not None and (found := largest_count(self)) > self.max_count:
            raise ValueError(
                f"batch holds a graph of {found} nodes, more than max_count={self.max_count}; "
                "raise max_count"
            )

    @property
    def node_mask(self) -> Bool[Array, "*stacked nodes"]:
        """False for padding nodes."""
        return self.index < self.num_graphs

    @property
    def counts(self) -> Int[Array, " graphs"]:
        """The number of nodes of each graph."""
        check_not_stacked(self.index)
        if self.num_graphs == 1:
            # Where `batch` was `None`, XLA would add up a constant, node by node, as it compiles.
            return jnp.sum(self.index == 0, keepdims=True, dtype=jnp.int32)
        ones = jnp.ones_like(self.index, dtype=jnp.int32)
        return jax.ops.segment_sum(ones, self.index, self.num_graphs)


def bounded_batch(
    index: Int[Array, "*stacked nodes"], num_graphs: int, max_count: int | None
) -> BatchVector:
    """A batch vector that holds by the way it was made, so that nothing is looked at again.

    **Arguments:**

    - `index`, `num_graphs`, `max_count`: as for [`BatchVector`][jraphx_eqx.data.BatchVector].
    """
    fields = {"index": index, "num_graphs": num_graphs, "max_count": max_count}
    return unchecked(BatchVector, fields)


def largest_count(batch: BatchVector) -> int:
    """The nodes of the largest graph, of a batch vector that has a value to look at."""
    ids = np.asarray(batch.index)
    return int(np.bincount(ids[ids < batch.num_graphs]).max(initial=0))


def most_nodes(batch: BatchVector) -> int:
    """As many nodes as one graph can have, from what is known without looking at values."""
    num_nodes = batch.index.shape[0]
    return num_nodes if batch.max_count is None else min(num_nodes, batch.max_count)


@python_sizes
def resolve_batch(
    batch: BatchVector | Int[Array, " nodes"] | None, num_nodes: int, size: int | None = None
) -> BatchVector:
    """Normalises the `batch` and `size` arguments that every function takes.

    - A [`BatchVector`][jraphx_eqx.data.BatchVector] may hold padding.
    - A bare array holds none. Where it has a value, `size` is computed as the largest id plus
        one, or checked. Under tracing `size` must be given, and ids past the end then count as
        padding.
    - `None` is one graph.

    **Raises:** `ValueError` if the length is not `num_nodes`, an id is outside `[0, size)`, `size`
    contradicts `batch`, or `size` is missing under tracing.
    """
    if size is not None and size < 0:
        raise ValueError(f"size must not be negative, got {size}")
    if batch is None:
        if size not in (None, 1):
            raise ValueError(f"size must be None or 1 without a batch vector, got {size}")
        return BatchVector(jnp.zeros(num_nodes, jnp.int32), 1)
    index = batch.index if isinstance(batch, BatchVector) else batch
    if not isinstance(index, jax.Array):
        raise ValueError(
            f"batch must be an array, got {type(index).__name__}; write jnp.asarray(batch)"
        )
    if index.shape != (num_nodes,):
        raise ValueError(
            f"batch must have one entry for each of the {num_nodes} nodes, got shape {index.shape}"
        )
    if index.dtype not in (jnp.int32, jnp.int64):
        raise ValueError(f"batch must have dtype int32 or int64, got {index.dtype.name}")
    if isinstance(batch, BatchVector):
        if size not in (None, batch.num_graphs):
            raise ValueError(f"size is {size}, but batch holds {batch.num_graphs} graphs")
        return batch
    if is_traced(index):
        if size is None:
            raise ValueError(
                "size must be given where batch is traced (under jit, vmap, ...), because the "
                "number of graphs fixes a shape; or pass a BatchVector, which carries it"
            )
        return BatchVector(index, size)
    ids = np.asarray(index)
    largest = int(ids.max(initial=-1))
    if size is None:
        size = largest + 1
    elif largest >= size:
        raise ValueError(f"batch must hold ids below size={size}, got {largest}")
    return BatchVector(index, size)


def _check_ids(ids: np.ndarray) -> None:
    if ids.size and ids.min() < 0:
        raise ValueError(f"batch must not hold negative ids, got {ids.min()}")
