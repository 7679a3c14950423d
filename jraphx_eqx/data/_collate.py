from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ._data import Data
from ._fields import Path, columns, from_columns, label, unchecked
from ._transfer import on_host

EDGE_INDEX: Path = ("edge", "edge_index")


def collate(graphs: Sequence[Data]) -> tuple[dict[str, Any], np.ndarray]:
    """Fields of the graphs put side by side, and their batch index."""
    for position, graph in enumerate(graphs):
        if not isinstance(graph, Data):
            raise ValueError(f"graph {position} must be a Data, got {type(graph).__name__}")
    if not graphs:
        return {"edge_index": np.zeros((2, 0), np.int32)}, np.zeros(0, np.int32)
    xp, graphs = on_host(list(graphs))
    rows = [columns(graph) | {EDGE_INDEX: graph.edge_index.T} for graph in graphs]
    for position, row in enumerate(rows):
        check_alike(position, row, rows[0])
    num_nodes = [graph.num_nodes for graph in graphs]
    first_node = np.cumsum([0, *num_nodes[:-1]])
    shift = np.repeat(first_node, [len(row[EDGE_INDEX]) for row in rows])
    joined = {}
    for path in rows[0]:
        join = xp.stack if path[0] == "graph" else xp.concatenate
        joined[path] = join([row[path] for row in rows])
    edges = joined[EDGE_INDEX]
    joined[EDGE_INDEX] = (edges + shift.astype(edges.dtype)[:, None]).T
    return from_columns(joined), np.repeat(np.arange(len(graphs), dtype=np.int32), num_nodes)


def split(batch: Any) -> list[Data]:
    """The graphs of a batch of NumPy arrays that has no padding."""
    index, edge_index = batch.batch.index, batch.edge_index
    graph_ids = np.arange(batch.num_graphs + 1)
    edge_graph = index[edge_index[0]]
    orders = {
        "node": np.argsort(index, kind="stable"),
        "edge": np.argsort(edge_graph, kind="stable"),
        "graph": slice(None),
    }
    first_node = np.searchsorted(index[orders["node"]], graph_ids)
    first_edge = np.searchsorted(edge_graph[orders["edge"]], graph_ids)
    position = np.empty_like(edge_index, shape=len(index))
    position[orders["node"]] = np.arange(len(index))
    position -= first_node[index].astype(position.dtype)
    found = columns(batch) | {EDGE_INDEX: position[edge_index].T}
    found = {path: array[orders[path[0]]] for path, array in found.items()}
    absent = {"x": None, "pos": None, "edge_attr": None, "y": None}
    graphs = []
    for graph in range(batch.num_graphs):
        rows = {
            "node": slice(first_node[graph], first_node[graph + 1]),
            "edge": slice(first_edge[graph], first_edge[graph + 1]),
            # The ellipsis keeps a label without axes an array.
            "graph": (graph, ...),
        }
        own = {path: array[rows[path[0]]] for path, array in found.items()}
        own[EDGE_INDEX] = own[EDGE_INDEX].T
        own["node", "num_nodes"] = int(first_node[graph + 1] - first_node[graph])
        # Slices of checked arrays need no second check, which would take most of the time.
        graphs.append(unchecked(Data, absent | from_columns(own)))
    return graphs


def check_alike(position: int, row: dict[Path, Any], first: dict[Path, Any]) -> None:
    """Raises if a graph does not have the fields, dtypes and shapes that graph 0 has."""
    if row.keys() != first.keys():
        _raise_other_fields(position, row, first)
    for path, theirs in first.items():
        array = row[path]
        # Row counts may differ, so the first axis counts only for what belongs to a graph.
        rest = slice(path[0] != "graph", None)
        if array.shape[rest] != theirs.shape[rest]:
            what = "has shape" if path[0] == "graph" else "has rows of shape"
            _raise_differs(position, path, what, array.shape[rest], theirs.shape[rest])
        if array.dtype != theirs.dtype and _canonical(array.dtype) != _canonical(theirs.dtype):
            _raise_differs(position, path, "has dtype", array.dtype, theirs.dtype)


def _raise_other_fields(position: int, row: dict[Path, Any], first: dict[Path, Any]) -> None:
    path = min(row.keys() ^ first.keys())
    has, lacks = (position, 0) if path in row else (0, position)
    raise ValueError(
        f"graph {has} has {label(path)}, but graph {lacks} has none; all graphs of a batch must "
        "have the same fields"
    )


def _raise_differs(position: int, path: Path, what: str, ours: object, first: object) -> None:
    raise ValueError(
        f"{label(path)} of graph {position} {what} {ours}, but that of graph 0 {first}; all "
        "graphs of a batch must agree"
    )


def _canonical(dtype: np.dtype) -> np.dtype:
    # A float64 NumPy array and a float32 JAX array may end up as the same dtype.
    return jax.dtypes.canonicalize_dtype(dtype)
