from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Shaped

from ._batch_vector import BatchVector, is_traced
from ._collate import collate, split
from ._data import Data
from ._fields import as_edge_index, as_index, check_rows, from_columns, normalise_extras
from ._problems import batch_problems, crossing_problems, edge_problems, raise_problem
from ._resize import check_graph_mask, on_host, padded, real_edges, trimmed


class Batch(eqx.Module):
    """Several graphs side by side in one set of arrays, with or without padding.

    The nodes of all graphs share one numbering, and `batch` tells the graph of each. Capacities
    are shapes, padding is written as an index past the end:

    - a padding edge has `num_nodes` in both rows of `edge_index`;
    - a padding node has `num_graphs` in `batch.index`;
    - a padding graph has `False` in `graph_mask` (in `batch` it looks like an empty graph).

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
        self.x = _on_device(x)
        self.edge_index = jnp.asarray(as_edge_index(edge_index))
        self.edge_attr = _on_device(edge_attr)
        self.y = _on_device(y)
        self.pos = _on_device(pos)
        self.extras = {
            level: {name: jnp.asarray(array) for name, array in arrays.items()}
            for level, arrays in normalise_extras(extras).items()
        }
        self.batch = BatchVector(as_index("batch", batch.index), batch.num_graphs)
        if graph_mask is None:
            graph_mask = np.ones(batch.num_graphs, bool)
        self.graph_mask = jnp.asarray(graph_mask)

    def __check_init__(self):
        sizes = {"node": self.num_nodes, "edge": self.num_edges, "graph": self.num_graphs}
        check_rows(self, sizes)
        if self.graph_mask.shape != (self.num_graphs,):
            raise ValueError(
                f"graph_mask must have one entry for each of the {self.num_graphs} graphs, "
                f"got shape {self.graph_mask.shape}"
            )
        edges_known = not is_traced(self.edge_index)
        nodes_known = not is_traced(self.batch.index)
        edge_index = np.asarray(self.edge_index) if edges_known else None
        index = np.asarray(self.batch.index) if nodes_known else None
        if edges_known:
            for problem in edge_problems(edge_index, self.num_nodes):
                raise_problem(problem)
        if nodes_known:
            for problem in batch_problems(index, self.num_graphs):
                raise_problem(problem)
            if not is_traced(self.graph_mask):
                check_graph_mask(index, np.asarray(self.graph_mask))
        if edges_known and nodes_known:
            for problem in crossing_problems(np, edge_index, index):
                raise_problem(problem)

    @classmethod
    def from_data_list(cls, graphs: Sequence[Data]) -> "Batch":
        """Puts graphs side by side, in their order, without padding.

        All graphs must have the same fields, of the same dtypes and, rows aside, shapes. Indices
        of nodes are shifted by the nodes of the graphs before. What belongs to a graph, `y` and
        `extras["graph"]`, is stacked. As usual in JAX, 64 bit types become 32 bit types unless
        `jax_enable_x64` is on.

        **Raises:** `ValueError` that names the first graph, and its field, that does not fit to
        graph 0.
        """
        fields, edge_index, index = collate(graphs)
        batch = BatchVector(jnp.asarray(index), len(graphs))
        return cls(edge_index=edge_index, batch=batch, **from_columns(fields))

    @property
    def num_nodes(self) -> int:
        """The number of rows of the nodes, padding included."""
        return self.batch.index.shape[0]

    @property
    def num_edges(self) -> int:
        """The number of columns of `edge_index`, padding included."""
        return self.edge_index.shape[1]

    @property
    def num_graphs(self) -> int:
        """The number of graphs there is room for, padding included."""
        return self.batch.num_graphs

    @property
    def node_mask(self) -> Bool[Array, " nodes"]:
        """False for padding nodes."""
        return self.batch.node_mask

    @property
    def edge_mask(self) -> Bool[Array, " edges"]:
        """False for padding edges."""
        return real_edges(jnp, self.edge_index, self.node_mask)

    def pad(
        self,
        num_nodes: int | None = None,
        num_edges: int | None = None,
        num_graphs: int | None = None,
    ) -> "Batch":
        """Grows the arrays to the given sizes.

        New rows come last. Every padding index is rewritten for the new sizes, and all padding
        rows, old ones too, are set to zero. Works under tracing.

        **Arguments:**

        - `num_nodes`, `num_edges`, `num_graphs`: the new sizes, by default the present ones.

        **Returns:** a new `Batch`.

        **Raises:** `ValueError` if a size is below the present one.
        """
        sizes = {
            "node": _capacity("num_nodes", num_nodes, self.num_nodes),
            "edge": _capacity("num_edges", num_edges, self.num_edges),
            "graph": _capacity("num_graphs", num_graphs, self.num_graphs),
        }
        xp, batch = on_host(self)
        fields, index = padded(xp, batch, sizes)
        return Batch(batch=BatchVector(jnp.asarray(index), sizes["graph"]), **fields)

    def trim(self) -> "Batch":
        """Drops all padding: nodes, edges and graphs. The order of what stays is kept.

        **Returns:** a new `Batch`, whose shapes depend on values.

        **Raises:** `ValueError` under tracing, where no shape can depend on a value.
        """
        xp, batch = on_host(self)
        if xp is not np:
            raise ValueError(
                "trim and to_data_list cannot run under tracing (jit, vmap, ...), because their "
                "shapes depend on values; call them outside, or use node_mask, edge_mask and "
                "graph_mask"
            )
        fields, index = trimmed(batch)
        num_graphs = int(batch.graph_mask.sum())
        return Batch(batch=BatchVector(jnp.asarray(index), num_graphs), **fields)

    def to_data_list(self) -> list[Data]:
        """The graphs one by one, padding dropped; the inverse of `from_data_list`.

        **Returns:** a list of [`Data`][jraphx_eqx.data.Data] that hold NumPy arrays, which
        `jax.tree.map(jnp.asarray, data)` turns into JAX arrays.

        **Raises:** `ValueError` under tracing.
        """
        return split(on_host(self.trim())[1])


def _on_device(array: Any) -> Any:
    return None if array is None else jnp.asarray(array)


def _capacity(name: str, asked: int | None, present: int) -> int:
    if asked is None:
        return present
    if asked < present:
        raise ValueError(
            f"{name}={asked} is too small: the batch has room for {present} already; "
            "`trim()` drops padding first"
        )
    return asked
