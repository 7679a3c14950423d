from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ..data import Batch, BatchVector, Data
from ..data._collate import EDGE_INDEX, check_alike
from ..data._edge_index import Neighbours, lists_of_neighbours
from ..data._fields import Path, columns, from_columns, label, unchecked
from ..data._transfer import narrowed
from ._budget import Budget


class Row(NamedTuple):
    """A graph of NumPy arrays."""

    num_nodes: int
    num_edges: int
    edge_index: np.ndarray
    fields: dict[Path, np.ndarray]
    lists: tuple[np.ndarray, ...] = ()

    @property
    def num_late(self) -> int:
        """Room for the edges that have no column."""
        return max((late.shape[1] for late in self.lists[2:]), default=0)


class Form(NamedTuple):
    """What all graphs of a data set have in common: the shape and the dtype of a row."""

    edge_index: np.dtype
    fields: dict[Path, tuple[tuple[int, ...], np.dtype]]


def as_row(position: int, graph: Any, num_columns: int = 0) -> Row:
    """The arrays of a graph, with lists of neighbours of so many columns, if any."""
    if not isinstance(graph, Data):
        raise ValueError(f"graph {position} must be a Data, got {type(graph).__name__}")
    fields = {path: np.asarray(array) for path, array in columns(graph).items()}
    edge_index = np.asarray(graph.edge_index)
    lists = lists_of_neighbours(edge_index, graph.num_nodes, num_columns) if num_columns else ()
    return Row(graph.num_nodes, graph.num_edges, edge_index, fields, lists)


def form_of(row: Row) -> Form:
    canonical = jax.dtypes.canonicalize_dtype
    fields = {
        path: (array.shape[path[0] != "graph" :], canonical(array.dtype))
        for path, array in row.fields.items()
    }
    return Form(canonical(row.edge_index.dtype), fields)


def check_row(position: int, row: Row, first: Row, finite: bool) -> None:
    """Raises if a graph is unlike graph 0, or holds a number that is not finite."""
    check_alike(position, *(r.fields | {EDGE_INDEX: r.edge_index.T} for r in (row, first)))
    for array in row.fields.values():
        narrowed(array)  # raises for an integer that does not fit
    for path, array in row.fields.items() if finite else ():
        if np.issubdtype(array.dtype, np.inexact) and not np.isfinite(array).all():
            raise ValueError(
                f"{label(path)} of graph {position} must be finite, and holds NaN or infinity"
            )


def fill(
    groups: Sequence[Sequence[Row]], form: Form, room: Budget, *, stack: int | None = None
) -> Any:
    """A padded `Batch` of NumPy arrays, of one group of graphs; or a stack of them."""
    lead = len(groups)
    sizes = {"node": room.num_nodes, "edge": room.num_edges, "graph": room.num_graphs}
    found = {
        path: np.empty((lead, sizes[path[0]], *shape), dtype)
        for path, (shape, dtype) in form.fields.items()
    }
    edge_index = np.empty((lead, 2, room.num_edges), form.edge_index)
    index = np.empty((lead, room.num_nodes), np.int32)
    graph_mask = np.arange(room.num_graphs) < np.array([len(group) for group in groups])[:, None]
    for number, group in enumerate(groups):
        nodes = [row.num_nodes for row in group]
        edges = sum(row.num_edges for row in group)
        used = {"node": sum(nodes), "edge": edges, "graph": len(group)}
        for path, array in found.items():
            join = np.stack if path[0] == "graph" else np.concatenate
            _join(join, [row.fields[path] for row in group], array[number], used[path[0]])
        _edges(edge_index[number], [row.edge_index for row in group], nodes, room.num_nodes)
        index[number, : used["node"]] = np.repeat(np.arange(len(group), dtype=np.int32), nodes)
        index[number, used["node"] :] = room.num_graphs
    fields = {"x": None, "pos": None, "edge_attr": None, "y": None} | from_columns(found)
    vector = {"index": index, "num_graphs": room.num_graphs, "max_count": room.max_count}
    batch = unchecked(BatchVector, vector)
    neighbours = None
    if room.columns:
        parts = [_neighbours(group, form.edge_index, room) for group in groups]
        neighbours = jax.tree.map(lambda *arrays: np.stack(arrays), *parts)
    fields |= {"edge_index": edge_index, "batch": batch, "graph_mask": graph_mask}
    fields |= {"neighbours": neighbours}
    batch = unchecked(Batch, fields)
    return batch if stack else jax.tree.map(lambda array: array[0], batch)


def _join(join: Any, rows: list[np.ndarray], out: np.ndarray, used: int) -> None:
    if rows:
        join(rows, out=out[:used], casting="unsafe")
    out[used:] = 0


def _edges(out: np.ndarray, parts: Sequence[np.ndarray], nodes: list[int], end: int) -> None:
    """Edges of graphs of so many nodes side by side in `out`, and padding behind."""
    edges = [part.shape[1] for part in parts]
    used = sum(edges)
    if parts:
        np.concatenate(parts, 1, out=out[:, :used], casting="unsafe")
        out[:, :used] += np.repeat(_first(nodes), edges).astype(out.dtype)
    out[:, used:] = end


_LISTS = ("sources", "targets", "late_sources", "late_targets")


def _neighbours(group: Sequence[Row], dtype: np.dtype, room: Budget) -> Neighbours:
    nodes, end = [row.num_nodes for row in group], room.num_nodes
    first = np.repeat(_first(nodes), nodes).astype(dtype)[:, None]
    tables = np.empty((2, end, room.columns), dtype)
    tables[:, len(first) :] = end
    late = np.empty((2, 2, room.num_late), dtype)
    for side in range(2):
        if group:
            used = tables[side, : len(first)]
            np.concatenate([row.lists[side] for row in group], out=used, casting="unsafe")
            used += first
            np.minimum(used, end, out=used)
        _edges(late[side], [row.lists[2 + side] for row in group], nodes, end)
    arrays = zip(_LISTS, (*tables, *late), strict=True)
    return unchecked(Neighbours, dict(arrays))


def _first(nodes: list[int]) -> np.ndarray:
    """The number of nodes before each graph."""
    return np.cumsum(nodes, dtype=np.int64) - np.array(nodes, np.int64)
