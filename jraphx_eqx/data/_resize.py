from types import ModuleType
from typing import Any

import numpy as np

from ._fields import columns, from_columns


def real_edges(xp: ModuleType, edge_index: Any, node_mask: Any) -> Any:
    """Which edges have two real nodes as ends."""
    if node_mask.shape[0] == 0:
        return xp.zeros(edge_index.shape[1], bool)
    inside = edge_index < node_mask.shape[0]
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
    grown = {
        path: _fill(xp, array, masks[path[0]], sizes[path[0]], 0)
        for path, array in columns(batch).items()
    }
    fields = from_columns(grown)
    edges = batch.edge_index.T
    fields["edge_index"] = _fill(xp, edges, masks["edge"], sizes["edge"], sizes["node"]).T
    fields["graph_mask"] = _fill(xp, batch.graph_mask, masks["graph"], sizes["graph"], False)
    index = batch.batch.index
    return fields, _fill(xp, index, masks["node"], sizes["node"], sizes["graph"])


def trimmed(batch: Any) -> tuple[dict[str, Any], Any]:
    """Fields of the batch without padding, and its batch index."""
    index, graph_mask = batch.batch.index, batch.graph_mask
    check_graph_mask(index, graph_mask)
    node_mask = index < batch.num_graphs
    edge_mask = real_edges(np, batch.edge_index, node_mask)
    masks = {"node": node_mask, "edge": edge_mask, "graph": graph_mask}
    fields = from_columns({path: array[masks[path[0]]] for path, array in columns(batch).items()})
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
