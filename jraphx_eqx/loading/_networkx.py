from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..data import Data


def from_networkx(
    graph: Any, *, x: Sequence[str] | None = None, edge_attr: Sequence[str] | None = None
) -> Data:
    """A graph of networkx.

    Nodes are numbered in the order of `graph.nodes`. Of an undirected graph every edge is there in
    both directions. Attributes become arrays: those named `x`, `pos`, `edge_attr` and `y` (of the
    graph) the fields of that name, and all others extras.

    **Arguments:**

    - `graph`: a `Graph`, `DiGraph`, or their kind with several edges between two nodes.
    - `x`: names of attributes of nodes whose numbers make the columns of `x`.
    - `edge_attr`: names of attributes of edges that make the columns of `edge_attr`.

    **Raises:** `ValueError` for an attribute that some nodes (edges) lack, or that is no number,
    array or list of numbers of the same shape everywhere.
    """
    if not graph.is_directed():
        graph = graph.to_directed()
    place = {node: position for position, node in enumerate(graph.nodes)}
    ends = [(place[source], place[target]) for source, target in graph.edges()]
    levels = {
        "node": _stacked("node", [values for _, values in graph.nodes(data=True)], x, "x"),
        "edge": _stacked(
            "edge", [values for *_, values in graph.edges(data=True)], edge_attr, "edge_attr"
        ),
        "graph": {name: _array(name, value) for name, value in graph.graph.items()},
    }
    own = {"x": "node", "pos": "node", "edge_attr": "edge", "y": "graph"}
    fields = {name: levels[level].pop(name, None) for name, level in own.items()}
    edge_index = np.array(ends, np.int32).reshape(-1, 2).T
    return Data(**fields, edge_index=edge_index, num_nodes=len(place), extras=levels)


def to_networkx(data: Data, *, multi: bool = False) -> Any:
    """A `networkx.DiGraph`, with nodes 0, 1, ... and all arrays as attributes of nodes, edges and
    the graph, under their names. `to_undirected()` of networkx makes it undirected.

    **Arguments:**

    - `data`: one graph.
    - `multi`: whether to make a `networkx.MultiDiGraph`, which holds double edges.

    **Raises:** `ValueError` for double edges without `multi`.
    """
    import networkx

    edges = np.asarray(data.edge_index).T.tolist()
    if not multi and len({*map(tuple, edges)}) < len(edges):
        raise ValueError("multi must be True for a graph with double edges, which a DiGraph merges")
    extras = data.extras
    graph = networkx.MultiDiGraph() if multi else networkx.DiGraph()
    graph.graph.update(_present({"y": data.y} | extras["graph"]))
    nodes = _rows(data.num_nodes, {"x": data.x, "pos": data.pos} | extras["node"])
    graph.add_nodes_from(enumerate(nodes))
    rows = _rows(len(edges), {"edge_attr": data.edge_attr} | extras["edge"])
    graph.add_edges_from((*edge, row) for edge, row in zip(edges, rows, strict=True))
    return graph


def _present(arrays: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(array) for name, array in arrays.items() if array is not None}


def _rows(count: int, arrays: dict[str, Any]) -> list[dict[str, Any]]:
    found = _present(arrays)
    return [{name: array[row] for name, array in found.items()} for row in range(count)]


def _stacked(
    level: str, items: list[dict[str, Any]], columns: Sequence[str] | None, field: str
) -> dict[str, np.ndarray]:
    names: Iterable[str] = items[0] if items else ()
    found = {name: _column(level, name, items) for name in names}
    for position, item in enumerate(items):
        if more := set(item) - set(found):
            raise ValueError(f"{level} {position} has {sorted(more)}, and {level} 0 has not")
    if columns is None:
        return found
    joined = np.zeros((0, len(columns)), np.float32)
    if items:
        parts = [_column(level, name, items) for name in columns]
        joined = _single(np.concatenate([part.reshape(len(items), -1) for part in parts], 1))
    rest = {name: array for name, array in found.items() if name not in (*columns, field)}
    return rest | {field: joined}


def _column(level: str, name: str, items: list[dict[str, Any]]) -> np.ndarray:
    for position, item in enumerate(items):
        if name not in item:
            raise ValueError(f"{level} {position} must have the attribute {name!r}, and has not")
    return _array(name, [item[name] for item in items])


def _array(name: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "biufc":
        raise ValueError(
            f"the attribute {name!r} must hold numbers of one shape; delete it, or replace it by "
            "numbers"
        )
    return _single(array)


def _single(array: np.ndarray) -> np.ndarray:
    """Python's floats have 64 bits."""
    return array.astype(np.float32) if array.dtype == np.float64 else array
