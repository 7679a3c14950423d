from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Int, Shaped

from .._number import python_sizes
from ._batch_vector import (
    BatchVector,
    bounded_batch,
    check_not_stacked,
    is_traced,
    largest_count,
)
from ._collate import collate, split
from ._data import Data
from ._edge_index import EdgeIndex, Neighbours
from ._fields import as_edge_index, as_index, check_rows, normalise_extras
from ._problems import batch_problems, crossing_problems, edge_problems, raise_first
from ._resize import check_graph_mask, padded, real_edges, trimmed
from ._transfer import on_device, on_host

# Bounds on the nodes of a graph below this are not told apart in padded batches.
_FEWEST = 32


class Batch(eqx.Module):
    """Several graphs side by side in one set of arrays, with or without padding.

    The nodes of all graphs share one numbering, and `batch` holds the graph of each.
    Capacities are shapes, and padding is written as an index past the end:

    - a padding edge has `num_nodes` in both rows of `edge_index`;
    - a padding node has `num_graphs` in `batch.index`;
    - a padding graph has `False` in `graph_mask` (in `batch` it looks like an empty graph).

    Several batches of one shape can be stacked, along a first axis of all arrays, for `vmap` or for
    several devices. The numbers are those of one of them then, and `edge_mask` and whatever changes
    the shapes raise a `ValueError`.

    Batches of a [`Loader`][jraphx_eqx.loading.Loader] have `neighbours` if its budget asks for
    them. Whatever makes a new batch leaves them out.

    Arrays are kept as JAX arrays. `y` and `extras["graph"]` have one row per graph.
    """

    x: Shaped[Array, "nodes *features"] | None
    edge_index: Int[Array, "2 edges"]
    edge_attr: Shaped[Array, "edges *edge_features"] | None
    y: Shaped[Array, "graphs *targets"] | None
    pos: Shaped[Array, "nodes *dimensions"] | None
    extras: dict[str, dict[str, Array]]
    batch: BatchVector
    graph_mask: Bool[Array, " graphs"]
    neighbours: Neighbours | None = eqx.field(init=False)

    def __init__(
        self,
        x: Shaped[Array | np.ndarray, "nodes *features"] | None = None,
        edge_index: Int[Array | np.ndarray, "2 edges"] | None = None,
        edge_attr: Shaped[Array | np.ndarray, "_edges *edge_features"] | None = None,
        y: Shaped[Array | np.ndarray, "_graphs *targets"] | None = None,
        pos: Shaped[Array | np.ndarray, "_nodes *dimensions"] | None = None,
        *,
        batch: BatchVector,
        graph_mask: Bool[Array | np.ndarray, " _graphs"] | None = None,
        extras: Mapping[str, Any] | None = None,
    ):
        """**Arguments:**

        - `x`, `edge_index`, `edge_attr`, `y`, `pos`, `extras`: as for
            [`Data`][jraphx_eqx.data.Data], but those of the graphs have one row per graph.
        - `batch`: the graph of each node, and the number of graphs there is room for.
        - `graph_mask`: False for padding graphs. By default no graph is padding.

        **Raises:** `ValueError` if row counts contradict each other, and, where there are values
        to look at (not under tracing), for an index that names neither a node nor padding, an edge
        that leaves its graph, or nodes in a padding graph.
        """
        fields = on_device([x, edge_attr, y, pos])
        self.x, self.edge_attr, self.y, self.pos = fields
        self.edge_index = on_device(as_edge_index(edge_index))
        self.extras = on_device(normalise_extras(extras))
        index = as_index("batch", batch.index)
        self.batch = bounded_batch(index, batch.num_graphs, batch.max_count)
        if graph_mask is None:
            graph_mask = np.ones(batch.num_graphs, bool)
        self.graph_mask = on_device(graph_mask)
        self.neighbours = None

    def __check_init__(self):
        check_rows(
            self,
            node=(self.num_nodes, "nodes in batch"),
            edge=(self.num_edges, "edges"),
            graph=(self.num_graphs, "graphs"),
        )
        if self.graph_mask.shape != (self.num_graphs,) or self.graph_mask.dtype != bool:
            raise ValueError(
                f"graph_mask must be a bool for each of the {self.num_graphs} graphs, got "
                f"{self.graph_mask.dtype} of shape {self.graph_mask.shape}"
            )
        arrays = (self.edge_index, self.batch.index, self.graph_mask)
        edge_index, index, mask = (None if is_traced(a) else np.asarray(a) for a in arrays)
        if edge_index is not None:
            raise_first(edge_problems(edge_index, self.num_nodes))
        if index is not None:
            raise_first(batch_problems(index, self.num_graphs))
        if edge_index is not None and index is not None:
            raise_first(crossing_problems(np, edge_index, index))
        if index is not None and mask is not None:
            check_graph_mask(index, mask)

    @classmethod
    def from_data_list(cls, graphs: Sequence[Data]) -> "Batch":
        """Puts graphs side by side, in their order, without padding.

        All graphs must have the same fields, of the same dtypes and, apart from the number of rows,
        the same shapes. Indices of nodes are shifted by the nodes of the graphs before. What
        belongs to a graph, `y` and `extras["graph"]`, is stacked. As usual in JAX, 64 bit types
        become 32 bit types unless `jax_enable_x64` is on. `batch.max_count` is the number of nodes
        of the largest graph. No graphs at all give a batch of 0 graphs without fields, because
        nothing tells which they would have: `x` is `None`, also when it is padded. PyG raises an
        error.

        **Raises:** `ValueError` that names the first graph, and its field, that does not fit graph
        0.
        """
        fields, index = collate(graphs)
        largest = max((graph.num_nodes for graph in graphs), default=0)
        return cls(batch=bounded_batch(on_device(index), len(graphs), largest), **fields)

    @property
    def num_nodes(self) -> int:
        """The number of rows of the nodes, padding included."""
        return self.batch.index.shape[-1]

    @property
    def num_edges(self) -> int:
        """The number of columns of `edge_index`, padding included."""
        return self.edge_index.shape[-1]

    @property
    def num_graphs(self) -> int:
        """The number of graphs there is room for, padding included."""
        return self.batch.num_graphs

    @property
    def edges(self) -> Int[Array, "2 edges"] | EdgeIndex:
        """What to give to layers: `edge_index`, with the neighbours of each node if they are known;
        see [`EdgeIndex`][jraphx_eqx.data.EdgeIndex]."""
        check_not_stacked(self.batch.index)
        if self.neighbours is None:
            return self.edge_index
        return EdgeIndex(self.edge_index, self.neighbours)

    @property
    def node_mask(self) -> Bool[Array, "*stacked nodes"]:
        """False for padding nodes."""
        return self.batch.node_mask

    @property
    def edge_mask(self) -> Bool[Array, " edges"]:
        """False for padding edges."""
        check_not_stacked(self.batch.index)
        xp, (edge_index, index) = on_host((self.edge_index, self.batch.index))
        return on_device(real_edges(xp, edge_index, index < self.num_graphs))

    @python_sizes
    def pad(
        self,
        num_nodes: int | None = None,
        num_edges: int | None = None,
        num_graphs: int | None = None,
        max_count: int | None = None,
    ) -> "Batch":
        """Grows the arrays to the given sizes.

        New rows come last. Every padding index is rewritten for the new sizes, and all padding
        rows, old ones too, are set to zero. Works under tracing.

        **Arguments:**

        - `num_nodes`, `num_edges`, `num_graphs`: the new sizes, by default the present ones.
        - `max_count`: the new bound on the nodes of one graph. One number for all batches of a
            data set makes them share their programs. By default the present bound, which grows to
            the next power of two, from 32 on, if any size is given: so there are few of them.

        **Returns:** a new `Batch`.

        **Raises:** `ValueError` if a size is below the present one.
        """
        sizes = {
            "node": _capacity("num_nodes", num_nodes, self.num_nodes),
            "edge": _capacity("num_edges", num_edges, self.num_edges),
            "graph": _capacity("num_graphs", num_graphs, self.num_graphs),
        }
        bound = self.batch.max_count
        if max_count is not None:
            bound = max_count if bound is None else _capacity("max_count", max_count, bound)
        elif bound is not None and (num_nodes, num_edges, num_graphs) != (None,) * 3:
            bound = max(_FEWEST, 1 << (bound - 1).bit_length())
        xp, batch = _to_host(self)
        fields, index = padded(xp, batch, sizes)
        known = BatchVector if self.batch.max_count is None else bounded_batch
        return Batch(batch=known(on_device(index), sizes["graph"], bound), **fields)

    def trim(self) -> "Batch":
        """Drops all padding: nodes, edges and graphs. The order of what stays is kept, and
        `batch.max_count` becomes the number of nodes of the largest graph.

        **Returns:** a new `Batch`, whose shapes depend on values.

        **Raises:** `ValueError` under tracing, where no shape can depend on a value.
        """
        xp, batch = _to_host(self)
        if xp is not np:
            raise ValueError(
                "trim and to_data_list cannot run under tracing (jit, vmap, ...), because their "
                "shapes depend on values; call them outside, or use node_mask, edge_mask and "
                "graph_mask"
            )
        fields, index = trimmed(batch)
        num_graphs = int(batch.graph_mask.sum())
        largest = largest_count(batch.batch)
        return Batch(batch=bounded_batch(on_device(index), num_graphs, largest), **fields)

    def to_data_list(self) -> list[Data]:
        """The graphs one by one, padding dropped; the inverse of `from_data_list`.

        **Returns:** a list of [`Data`][jraphx_eqx.data.Data] that hold NumPy arrays, which
        `jax.tree.map(jnp.asarray, data)` turns into JAX arrays.

        **Raises:** `ValueError` under tracing.
        """
        return split(on_host(self.trim())[1])


def _to_host(batch: Batch) -> tuple[ModuleType, Any]:
    check_not_stacked(batch.batch.index)
    return on_host(batch)


def _capacity(name: str, asked: int | None, present: int) -> int:
    if asked is None:
        return present
    if asked < present:
        raise ValueError(
            f"{name}={asked} is too small: the batch has room for {present} already; "
            "`trim()` drops padding first"
        )
    return asked
