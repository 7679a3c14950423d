import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from ...data import Batch, BatchVector, Data
from ...ops import gather
from ._dense import edge_weights
from ._graclus import GraclusPooling
from ._host import NONE, AbstractHostPool, as_arrays, columns_of, selection_of
from ._kmis import KMISPooling
from ._pool import AbstractPool
from ._selection import AbstractSelection, OverlapSelectOutput

_COLUMNS = "cluster|weight|kept|edges|edge_weight|matrix|modes"
_NAME = re.compile(rf"level(\d+)_({_COLUMNS})")


def precoarsen(
    graphs: Sequence[Data], poolings: AbstractPool | Sequence[AbstractPool]
) -> list[Data]:
    """The graphs of a data set with what poolings decide about them, so that it is decided once.

    The decisions are in `extras`, as `level1_cluster` and so on: in rows of the nodes, or of the
    graph after a pooling to a fixed number of clusters. Older ones of these names are replaced. So
    whatever batches and pads graphs takes them along, and
    [`selections`][jraphx_eqx.nn.pool.selections] makes selections of them in a program.

    As torch-geometric-pool's `PreCoarsening`, one level after the other; there several levels of
    `SEPPooling` come from one tree.

    **Arguments:**

    - `graphs`: all graphs that will be in batches together. Where `edge_attr` is one float
        for each edge, that is its weight; otherwise weights are 1.
    - `poolings`: those of all levels, or one. Each is an
        [`AbstractHostPool`][jraphx_eqx.nn.pool.AbstractHostPool], a
        [`GraclusPooling`][jraphx_eqx.nn.pool.GraclusPooling], or a
        [`KMISPooling`][jraphx_eqx.nn.pool.KMISPooling] with the scorer `"degree"` or `"constant"`.

    **Raises:** `ValueError` for no graphs or poolings, and for a pooling of another kind.
    """
    graphs = [graphs[number] for number in range(len(graphs))]
    poolings = [poolings] if isinstance(poolings, AbstractPool) else list(poolings)
    if not graphs or not poolings:
        what = "poolings" if graphs else "graphs"
        raise ValueError(f"{what} must hold one at least, got none")
    for pool in poolings:
        _check_pooling(pool)
    bare = [
        Data(edge_index=graph.edge_index, edge_attr=_weight(graph), num_nodes=graph.num_nodes)
        for graph in graphs
    ]
    found = [{"node": {}, "edge": {}, "graph": {}} for _ in graphs]
    level = Batch.from_data_list(bare)
    edge_index, edge_attr, batch, rows = level.edge_index, level.edge_attr, level.batch, None
    for number, pool in enumerate(poolings, 1):
        x = jnp.zeros((batch.index.shape[0], 1), None if edge_attr is None else edge_attr.dtype)
        columns = _columns(pool, x, edge_index, edge_attr, batch)
        select = selection_of(as_arrays(columns, x.dtype), batch)
        # The rows of a graph stand beside each other, here and after each level.
        cuts = np.searchsorted(np.asarray(batch.index), np.arange(len(graphs) + 1))
        for own, data, here in zip(found, graphs, map(slice, cuts, cuts[1:]), strict=True):
            kind, size = ("node", data.num_nodes) if rows is None else ("graph", rows)
            for name, array in columns.items():
                whole = np.full((size, *array.shape[1:]), NONE.get(name, 0), array.dtype)
                whole[: here.stop - here.start] = array[here]
                own[kind][f"level{number}_{name}"] = whole
        if number == len(poolings):
            break
        rows = columns["matrix"].shape[1] if "matrix" in columns else rows
        out = pool(x, edge_index, edge_attr, batch, select=select).trim()
        edge_index, edge_attr, batch = out.edge_index, out.edge_attr, out.batch
    return [_with(data, extras) for data, extras in zip(graphs, found, strict=True)]


def selections(
    batch: Batch, max_nodes: Sequence[int | None] | None = None
) -> tuple[AbstractSelection, ...]:
    """What [`precoarsen`][jraphx_eqx.nn.pool.precoarsen] decided about the graphs of a batch, for
    `select=` of the poolings, level by level. In a program as well.

    **Arguments:**

    - `batch`: of graphs that `precoarsen` made, the nodes of each beside each other, as
        `Batch.from_data_list` and [`Loader`][jraphx_eqx.loading.Loader] put them.
    - `max_nodes`: for each level the room for clusters, or `None` for as many as there are rows
        before. More is an error at run time. Poolings by memberships ignore it.

    **Raises:** `ValueError` for a batch of other graphs, and if `max_nodes` has another number of
    levels.
    """
    levels = _levels(batch)
    if max_nodes is None:
        max_nodes = [None] * len(levels)
    if len(max_nodes) != len(levels):
        raise ValueError(
            f"max_nodes must hold a number for each of the {len(levels)} levels, got "
            f"{len(max_nodes)}"
        )
    made, vector = [], batch.batch
    first = base = _starts(vector)
    for number, ((rows, columns), room) in enumerate(zip(levels, max_nodes, strict=True)):
        if rows is not None:
            base = jnp.arange(batch.num_graphs, dtype=jnp.int32) * rows
        if number:
            place = jnp.arange(vector.index.shape[0], dtype=jnp.int32)
            place = place - gather(first, vector.index) + gather(base, vector.index)
            columns = {
                name: array.at[jnp.where(vector.node_mask, place, len(array))].get(
                    mode="fill", fill_value=NONE.get(name, 0)
                )
                for name, array in columns.items()
            }
        select = selection_of(columns, vector, None if "matrix" in columns else room)
        made.append(select)
        vector = select.graphs(vector)
        if "matrix" in columns:
            first = jnp.arange(batch.num_graphs, dtype=jnp.int32) * columns["matrix"].shape[1]
        else:
            first = _starts(vector)
    return tuple(made)


def _starts(batch: BatchVector) -> Int[Array, " graphs"]:
    """The first row of each graph, where graphs stand beside each other."""
    counts = batch.counts
    return jnp.cumsum(counts) - counts


def _levels(batch: Batch) -> list[tuple[int | None, dict[str, Any]]]:
    """The columns of each level. Those that are of graphs have a number of rows each."""
    dtype = batch.x.dtype if batch.x is not None and _is_float(batch.x) else None
    found: dict[int, tuple[int | None, dict[str, Any]]] = {}
    for kind in ("node", "graph"):
        for name, array in batch.extras[kind].items():
            if not (match := _NAME.fullmatch(name)):
                continue
            if _is_float(array) and dtype is not None:
                array = array.astype(dtype)
            rows = None
            if kind == "graph":
                rows = array.shape[1]
                array = array.reshape(array.shape[0] * rows, *array.shape[2:])
            found.setdefault(int(match[1]), (rows, {}))[1][match[2]] = array
    if not found:
        raise ValueError("batch must be of graphs that precoarsen has made, and has no level1_...")
    return [found[number] for number in sorted(found)]


def _columns(pool, x, edge_index, edge_attr, batch):
    if isinstance(pool, AbstractHostPool):
        weight = edge_weights(edge_index, edge_attr, x.shape[0], x.dtype)
        columns = columns_of(pool, edge_index, weight, batch)
    else:
        select = pool(x, edge_index, edge_attr, batch).select
        every = select.own if isinstance(select, OverlapSelectOutput) else select
        label, index = np.asarray(every.labels), np.asarray(batch.index)
        first = np.full(batch.num_graphs, every.num_clusters)
        np.minimum.at(first, index, label)
        columns = {"cluster": label - first[index], "weight": np.asarray(every.weight)}
        if every is not select:
            columns["kept"] = np.asarray(select.shares.labels) < every.num_clusters
    return {
        name: array.astype(x.dtype if _is_float(array) else np.int32)
        for name, array in columns.items()
    }


def _check_pooling(pool):
    if isinstance(pool, KMISPooling) and pool.scorer in ("degree", "constant"):
        return
    if not isinstance(pool, AbstractHostPool | GraclusPooling):
        raise ValueError(
            "poolings must be decided on the host, or be a GraclusPooling, or a KMISPooling with "
            f"the scorer 'degree' or 'constant', got {pool}"
        )


def _weight(graph):
    weight, edges = graph.edge_attr, graph.num_edges
    if weight is None or weight.shape not in ((edges,), (edges, 1)):
        return None
    return weight.reshape(edges) if _is_float(weight) else None


def _is_float(array):
    return jnp.issubdtype(array.dtype, jnp.floating)


def _with(graph, found):
    kept = {
        kind: {name: array for name, array in arrays.items() if not _NAME.fullmatch(name)}
        for kind, arrays in graph.extras.items()
    }
    extras = {kind: kept[kind] | found[kind] for kind in kept}
    return dataclasses.replace(graph, extras=extras)
