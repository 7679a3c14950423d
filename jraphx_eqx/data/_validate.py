from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Shaped

from ._batch_vector import BatchVector, bounded_batch, is_traced
from ._fields import as_edge_index, as_index
from ._problems import Problem, batch_problems, crossing_problems, edge_problems, raise_first


def validate(
    x: Shaped[Array, "nodes *features"],
    edge_index: Int[Array, "2 edges"],
    batch: BatchVector | Int[Array, " nodes"] | None = None,
) -> tuple[
    Shaped[Array, "nodes *features"],
    Int[Array, "2 edges"],
    BatchVector | Int[Array, " nodes"] | None,
]:
    """Checks the values of a graph's indices, also under tracing.

    Use what it returns, `x, edge_index, batch = validate(x, edge_index, batch)`: under tracing the
    check happens where one of the returned arrays is computed, and is dropped if none is used.

    An edge must join two nodes of one graph, or be a padding edge, with the number of nodes in
    both rows. An id of `batch` must name a graph, or be the number of graphs, for a padding node;
    a bare array has no number of graphs to compare with under tracing.

    **Arguments:**

    - `x`: features of the nodes. Their values are not looked at.
    - `edge_index`: sources and targets of the edges.
    - `batch`: the graph of each node, by default one graph.

    **Returns:** the three arguments, unchanged.

    **Raises:** `ValueError` where the indices have values; under tracing a runtime error, when the
    program runs.
    """
    index = batch.index if isinstance(batch, BatchVector) else batch
    num_graphs = batch.num_graphs if isinstance(batch, BatchVector) else None
    num_nodes = x.shape[0]
    edges = as_edge_index(edge_index)
    ids = np.zeros(num_nodes, np.int32) if index is None else as_index("batch", index)
    if ids.shape != (num_nodes,):
        raise ValueError(
            f"batch must have one entry for each of the {num_nodes} nodes, got shape {ids.shape}"
        )
    if not is_traced(edges, ids):
        raise_first(_problems(np, np.asarray(edges), np.asarray(ids), num_graphs))
        return x, edge_index, batch
    problems = list(_problems(jnp, edges, jnp.asarray(ids), num_graphs))
    x, edge_index, index = _error_if((x, edge_index, index), problems)
    if isinstance(batch, BatchVector):
        index = bounded_batch(index, batch.num_graphs, batch.max_count)
    return x, edge_index, index


def _problems(xp: ModuleType, edges: Any, ids: Any, num_graphs: int | None) -> Iterator[Problem]:
    yield from edge_problems(edges, ids.shape[0])
    yield from batch_problems(ids, num_graphs)
    yield from crossing_problems(xp, edges, ids)


def _error_if(arrays: Any, problems: Sequence[Problem]) -> Any:
    bad = jnp.stack([problem.bad.any() for problem in problems])
    rules = [problem.rule for problem in problems]
    return eqx.branched_error_if(arrays, bad.any(), jnp.argmax(bad), rules)
