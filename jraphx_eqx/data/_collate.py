from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._batch_vector import is_traced
from ._data import Data
from ._fields import Path, columns, from_columns, label, level_of


def collate(graphs: Sequence[Data]) -> tuple[dict[Path, Any], Any, np.ndarray]:
    """The columns, edge index and batch index of graphs put side by side."""
    for position, graph in enumerate(graphs):
        if not isinstance(graph, Data):
            raise ValueError(f"graph {position} must be a Data, got {type(graph).__name__}")
    if not graphs:
        return {}, np.zeros((2, 0), np.int32), np.zeros(0, np.int32)
    # Eager JAX operations compile once for each shape, so that concrete arrays go to NumPy.
    xp, host = (jnp, jnp.asarray) if is_traced(*jax.tree.leaves(graphs)) else (np, np.asarray)
    rows = [{path: host(array) for path, array in columns(g).items()} for g in graphs]
    edges = [host(graph.edge_index) for graph in graphs]
    for position, (row, edge_index) in enumerate(zip(rows, edges, strict=True)):
        _check_alike(position, row, rows[0])
        if not _same_dtype(edge_index.dtype, edges[0].dtype):
            raise ValueError(_differs(position, "edge_index", edge_index.dtype, edges[0].dtype))
    fields = {}
    for path in rows[0]:
        join = xp.stack if level_of(path) == "graph" else xp.concatenate
        fields[path] = join([row[path] for row in rows])
    num_nodes = [graph.num_nodes for graph in graphs]
    first_node = np.cumsum([0, *num_nodes[:-1]])
    shift = np.repeat(first_node, [graph.num_edges for graph in graphs])
    edge_index = xp.concatenate(edges, axis=1)
    index = np.repeat(np.arange(len(graphs), dtype=np.int32), num_nodes)
    return fields, edge_index + shift.astype(edge_index.dtype)[None], index


def split(batch: Any) -> list[Data]:
    """The graphs of a batch of NumPy arrays that has no padding."""
    index, edge_index = batch.batch.index, batch.edge_index
    order = np.argsort(index, kind="stable")
    edge_graph = index[edge_index[0]]
    edge_order = np.argsort(edge_graph, kind="stable")
    node_ends = np.searchsorted(index[order], np.arange(batch.num_graphs + 1))
    edge_ends = np.searchsorted(edge_graph[edge_order], np.arange(batch.num_graphs + 1))
    position = np.empty_like(index)
    position[order] = np.arange(len(index)) - node_ends[index[order]]
    edge_index = position[edge_index[:, edge_order]].astype(edge_index.dtype)
    orders = {"node": order, "edge": edge_order, "graph": slice(None)}
    fields = {path: array[orders[level_of(path)]] for path, array in columns(batch).items()}
    result = []
    for graph in range(batch.num_graphs):
        nodes = slice(node_ends[graph], node_ends[graph + 1])
        edges = slice(edge_ends[graph], edge_ends[graph + 1])
        # The ellipsis keeps a label of no axes an array.
        rows = {"node": nodes, "edge": edges, "graph": (graph, ...)}
        own = {path: array[rows[level_of(path)]] for path, array in fields.items()}
        num_nodes = int(nodes.stop - nodes.start)
        own = from_columns(own)
        result.append(Data(edge_index=edge_index[:, edges], num_nodes=num_nodes, **own))
    return result


def _check_alike(position: int, row: Mapping[Path, Any], first: Mapping[Path, Any]) -> None:
    if row.keys() != first.keys():
        path = min(row.keys() ^ first.keys())
        has, lacks = (position, 0) if path in row else (0, position)
        raise ValueError(
            f"graph {has} has {label(path)}, but graph {lacks} has none; the graphs of a batch "
            "must have the same fields"
        )
    for path, array in row.items():
        ours, theirs = _row_shape(path, array), _row_shape(path, first[path])
        if ours != theirs:
            raise ValueError(_differs(position, label(path), f"rows of shape {ours}", theirs))
        if not _same_dtype(array.dtype, first[path].dtype):
            raise ValueError(_differs(position, label(path), array.dtype, first[path].dtype))


def _row_shape(path: Path, array: Any) -> tuple[int, ...]:
    return array.shape if level_of(path) == "graph" else array.shape[1:]


def _differs(position: int, name: str, ours: object, theirs: object) -> str:
    return (
        f"graph {position} has {name} of {ours}, but graph 0 of {theirs}; the graphs of a batch "
        "must agree"
    )


def _same_dtype(ours: np.dtype, theirs: np.dtype) -> bool:
    # A float64 NumPy array and a float32 JAX array may end up as the same dtype.
    return ours == theirs or jax.dtypes.canonicalize_dtype(
        ours
    ) == jax.dtypes.canonicalize_dtype(theirs)
