from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._batch_vector import is_traced
from ._fields import columns, from_columns, level_of


def on_host(batch: Any) -> tuple[ModuleType, Any]:
    """The batch with NumPy arrays, and NumPy; or itself and `jax.numpy` under tracing."""
    if batch.batch.index.ndim != 1:
        raise ValueError(
            "several batches were stacked into this one (by vmap or jnp.stack, say); take one of "
            "them first: jax.tree.map(lambda array: array[i], batch)"
        )
    if is_traced(*jax.tree.leaves(batch)):
        return jnp, batch
    # Eager JAX operations compile once for each shape.
    return np, jax.tree.map(np.asarray, batch)


def real_edges(xp: ModuleType, edge_index: Any, node_mask: Any) -> Any:
    """Which edges have two real nodes as ends."""
    if len(node_mask) == 0:
        return xp.zeros(edge_index.shape[1], bool)
    inside = edge_index < len(node_mask)
    known = node_mask[xp.where(inside, edge_index, 0)]
    return (inside & known).all(axis=0)


def check_graph_mask(index: np.ndarray, graph_mask: np.ndarray) -> None:
    """No real node may belong to a padding graph."""
    used = np.zeros(len(graph_mask), bool)
    used[index[index < len(graph_mask)]] = True
    wrong = np.flatnonzero(used & ~graph_mask)
    if wrong.size:
        raise ValueError(
            f"graph_mask must be True for every graph with nodes; graph {wrong[0]} has nodes, "
            "but graph_mask says it is padding"
        )


def padded(xp: ModuleType, batch: Any, sizes: dict[str, int]) -> tuple[dict[str, Any], Any]:
    """Fields of the padded batch, and its batch index."""
    node_mask = batch.batch.index < batch.num_graphs
    masks = {
        "node": node_mask,
        "edge": real_edges(xp, batch.edge_index, node_mask),
        "graph": batch.graph_mask,
    }

    def fill(level: str, array: Any, value: int) -> Any:
        return _fill(xp, array, masks[level], sizes[level], value)

    fields = from_columns(
        {path: fill(level_of(path), array, 0) for path, array in columns(batch).items()}
    )
    fields["edge_index"] = fill("edge", batch.edge_index.T, sizes["node"]).T
    fields["graph_mask"] = fill("graph", batch.graph_mask, 0)
    return fields, fill("node", batch.batch.index, sizes["graph"])


def trimmed(batch: Any) -> tuple[dict[str, Any], Any]:
    """Fields of the batch without padding, and its batch index."""
    index, graph_mask = batch.batch.index, batch.graph_mask
    check_graph_mask(index, graph_mask)
    node_mask = index < batch.num_graphs
    edge_mask = real_edges(np, batch.edge_index, node_mask)
    masks = {"node": node_mask, "edge": edge_mask, "graph": graph_mask}
    fields = from_columns(
        {path: array[masks[level_of(path)]] for path, array in columns(batch).items()}
    )
    edge_index = _ranks(node_mask)[batch.edge_index[:, edge_mask]]
    fields["edge_index"] = edge_index.astype(batch.edge_index.dtype)
    return fields, _ranks(graph_mask)[index[node_mask]].astype(index.dtype)


def _ranks(mask: np.ndarray) -> np.ndarray:
    """The new position of each entry that `mask` keeps."""
    return np.cumsum(mask) - 1


def _fill(xp: ModuleType, array: Any, mask: Any, size: int, value: int) -> Any:
    """Grows `array` to `size` rows; `value` replaces the masked rows and fills the new ones."""
    filler = xp.full((size, *array.shape[1:]), value, array.dtype)
    mask = mask.reshape(-1, *[1] * (array.ndim - 1))
    kept = xp.where(mask, array, filler[: len(array)])
    return xp.concatenate([kept, filler[len(array) :]])
