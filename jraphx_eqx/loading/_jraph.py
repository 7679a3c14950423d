from collections.abc import Mapping
from typing import Any

import numpy as np

from ..data import Batch, Data

_LEVELS = {"node": "nodes", "edge": "edges", "graph": "globals"}
# What an array without a name is called, and the other fields of a level.
_FIELDS = {"node": ("x", "pos"), "edge": ("edge_attr",), "graph": ("y",)}


def from_jraph(graphs: Any) -> list[Data]:
    """The graphs of a `jraph.GraphsTuple`.

    `senders` and `receivers` become the rows of `edge_index`. `nodes`, `edges` and `globals` are
    each an array, which becomes `x`, `edge_attr` and `y`, or a dictionary of arrays, whose names
    are those fields and `pos`, or else those of extras. Padding of `jraph.pad_with_graphs` looks
    like graphs: remove it by `jraph.unpad_with_graphs` first.

    **Raises:** `ValueError` for features that are neither an array nor a dictionary of arrays, or
    have other numbers of rows than there are nodes, edges or graphs.
    """
    counts = {"node": np.asarray(graphs.n_node), "edge": np.asarray(graphs.n_edge)}
    counts["graph"] = np.ones_like(counts["node"])
    ends = {level: np.cumsum(count) for level, count in counts.items()}
    arrays = {
        level: _named(level, getattr(graphs, name), int(counts[level].sum()))
        for level, name in _LEVELS.items()
    }
    edges = np.stack([np.asarray(graphs.senders), np.asarray(graphs.receivers)])
    found = []
    for graph, num_nodes in enumerate(counts["node"].tolist()):
        rows: dict[str, Any] = {
            level: slice(ends[level][graph] - counts[level][graph], ends[level][graph])
            for level in _LEVELS
        }
        own = edges[:, rows["edge"]] - (ends["node"][graph] - num_nodes).astype(edges.dtype)
        rows["graph"] = (graph, ...)
        extras = {level: {n: a[rows[level]] for n, a in arrays[level].items()} for level in arrays}
        fields = {
            name: extras[level].pop(name, None) for level in extras for name in _FIELDS[level]
        }
        found.append(Data(**fields, edge_index=own, num_nodes=num_nodes, extras=extras))
    return found


def to_jraph(batch: Batch) -> Any:
    """A `jraph.GraphsTuple` of the graphs of a batch, without its padding.

    `x`, `edge_attr` and `y` become `nodes`, `edges` and `globals`, or entries of dictionaries where
    there are `pos` or extras beside them.

    **Raises:** `ValueError` under tracing.
    """
    import jraph

    batch = batch.trim()
    index, edge_index = np.asarray(batch.batch.index), np.asarray(batch.edge_index)
    count = batch.num_graphs
    if np.any(index[1:] < index[:-1]) or np.any(np.diff(index[edge_index[0]]) < 0):
        batch = Batch.from_data_list(batch.to_data_list())
        return to_jraph(batch)
    n_node = np.bincount(index, minlength=count).astype(np.int32)
    n_edge = np.bincount(index[edge_index[0]], minlength=count).astype(np.int32)
    features = {}
    for level, name in _LEVELS.items():
        fields = {field: getattr(batch, field) for field in _FIELDS[level]}
        arrays = {n: a for n, a in (fields | batch.extras[level]).items() if a is not None}
        alone = set(arrays) == {_FIELDS[level][0]}
        features[name] = arrays[_FIELDS[level][0]] if alone else arrays or None
    senders, receivers = batch.edge_index
    return jraph.GraphsTuple(
        **features, senders=senders, receivers=receivers, n_node=n_node, n_edge=n_edge
    )


def _named(level: str, features: Any, rows: int) -> dict[str, np.ndarray]:
    if features is None:
        return {}
    if not isinstance(features, Mapping):
        features = {_FIELDS[level][0]: features}
    found = {}
    for name, array in features.items():
        if not hasattr(array, "shape") or array.shape[:1] != (rows,):
            got = getattr(array, "shape", type(array).__name__)
            raise ValueError(
                f"{_LEVELS[level]} must hold arrays with a row for each of the {rows} {level}s, "
                f"got {got} for {name}"
            )
        found[name] = np.asarray(array)
    return found
