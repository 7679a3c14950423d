import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..data import Data

_TEXTS = {
    "y": "graph_labels",
    "graph_attr": "graph_attributes",
    "node_label": "node_labels",
    "node_attr": "node_attributes",
    "edge_label": "edge_labels",
    "edge_attr": "edge_attributes",
}
_WHOLE = ("y", "node_label", "edge_label")


def read_tu(
    path: str | pathlib.Path, *, use_node_attr: bool = False, use_edge_attr: bool = False
) -> list[Data]:
    """The graphs of a [TU data set](https://chrsmrrs.github.io/datasets/), as PyG's `TUDataset`
    has them.

    `x` are the labels of nodes, one-hot, or `None` if there are none; `edge_attr` those of edges.
    `y` is the class, from 0 on, or the graph's attributes if there are any. Loops are removed, and
    so are double edges, whose features are added up. Edges are ordered by source and target.

    **Arguments:**

    - `path`: the folder of `NAME_A.txt` and its like, as published, or an `.npz` file with the
        arrays `edge_index` (nodes numbered through all graphs), `ptr` (where each graph's nodes
        begin, and their number), `y`, and those of `node_label`, `node_attr`, `edge_label` and
        `edge_attr` that there are.
    - `use_node_attr`, `use_edge_attr`: whether attributes come before the labels.

    **Raises:** `ValueError` for a folder without such files, and for files of other lengths than
    the graphs have nodes or edges.

    ??? cite

        [TUDataset](https://arxiv.org/abs/2007.08663): Morris et al., "TUDataset: A collection of
        benchmark datasets for learning with graphs", 2020.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        arrays = _read_texts(path)
    else:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    for name in ("edge_index", "ptr", "y"):
        if name not in arrays and not (name == "y" and "graph_attr" in arrays):
            raise ValueError(f"{path} must hold the array {name!r}, and has {sorted(arrays)}")
    return _graphs(arrays, use_node_attr, use_edge_attr)


def _read_texts(folder: pathlib.Path) -> dict[str, np.ndarray]:
    found = sorted(folder.glob("*_A.txt"))
    if len(found) != 1:
        raise ValueError(
            f"{folder} must hold one file NAME_A.txt of a TU data set, got "
            f"{[path.name for path in found] or 'none'}"
        )
    start = str(found[0]).removesuffix("A.txt")
    arrays: dict[str, np.ndarray] = {}
    for name, text in _TEXTS.items():
        file = pathlib.Path(f"{start}{text}.txt")
        if file.is_file():
            dtype = np.int64 if name in _WHOLE else np.float32
            arrays[name] = _read(file, dtype)
    arrays["edge_index"] = _read(found[0], np.int64).reshape(-1, 2).T - 1
    graph = _read(pathlib.Path(f"{start}graph_indicator.txt"), np.int64) - 1
    if np.any(graph[1:] < graph[:-1]):
        raise ValueError(f"{start}graph_indicator.txt must name the graphs in order")
    arrays["ptr"] = np.searchsorted(graph, np.arange(graph.max(initial=-1) + 2))
    return arrays


def _read(file: pathlib.Path, dtype: Any) -> np.ndarray:
    try:
        return np.loadtxt(file, dtype, delimiter=",", ndmin=1)
    except ValueError as error:
        raise ValueError(f"{file} must hold numbers, separated by commas: {error}") from error


def _graphs(arrays: Mapping[str, np.ndarray], node_attr: bool, edge_attr: bool) -> list[Data]:
    ptr = arrays["ptr"].astype(np.int64)
    num_nodes = int(ptr[-1])
    edges = arrays["edge_index"].astype(np.int64)
    graph = np.searchsorted(ptr, edges, "right")
    wrong = np.flatnonzero(
        (edges < 0).any(0) | (edges >= num_nodes).any(0) | (graph[0] != graph[1])
    )
    if wrong.size:
        source, target = edges[:, wrong[0]]
        raise ValueError(f"edge_index must hold nodes of one graph each, got {source} and {target}")
    x = _features(arrays, "node", node_attr, num_nodes)
    edge_x = _features(arrays, "edge", edge_attr, edges.shape[1])
    edges, edge_x = _without_doubles(edges, edge_x, num_nodes)
    y = arrays.get("graph_attr")
    if y is None:
        y = np.unique(arrays["y"], return_inverse=True)[1].reshape(-1).astype(np.int32)
    if len(y) != len(ptr) - 1:
        raise ValueError(f"y must have a row for each of the {len(ptr) - 1} graphs, got {len(y)}")
    cut = np.searchsorted(edges[0], ptr)
    graphs = []
    for graph in range(len(ptr) - 1):
        nodes, own = slice(ptr[graph], ptr[graph + 1]), slice(cut[graph], cut[graph + 1])
        graphs.append(
            Data(
                None if x is None else x[nodes],
                (edges[:, own] - ptr[graph]).astype(np.int32),
                None if edge_x is None else edge_x[own],
                y[graph],
                num_nodes=int(ptr[graph + 1] - ptr[graph]),
            )
        )
    return graphs


def _features(arrays: Mapping[str, Any], level: str, attr: bool, rows: int) -> np.ndarray | None:
    """Attributes, if wanted, and then the labels, one-hot."""
    columns = []
    if attr and (found := arrays.get(f"{level}_attr")) is not None:
        columns.append(found.reshape(len(found), -1).astype(np.float32))
    if (labels := arrays.get(f"{level}_label")) is not None:
        for label in labels.reshape(len(labels), -1).astype(np.int64).T:
            place = label - label.min()
            columns.append(np.eye(place.max(initial=0) + 1, dtype=np.float32)[place])
    for column in columns:
        if len(column) != rows:
            raise ValueError(f"there must be {rows} lines for the {level}s, got {len(column)}")
    return np.concatenate(columns, 1) if columns else None


def _without_doubles(edges: np.ndarray, features: np.ndarray | None, num_nodes: int) -> Any:
    kept = np.flatnonzero(edges[0] != edges[1])
    code = edges[0, kept] * num_nodes + edges[1, kept]
    order = np.argsort(code, kind="stable")
    code, kept = code[order], kept[order]
    first = np.flatnonzero(np.diff(code, prepend=-1))
    if features is not None:
        rows = features[kept]
        features = np.add.reduceat(rows, first) if len(first) else rows
    return edges[:, kept[first]], features
