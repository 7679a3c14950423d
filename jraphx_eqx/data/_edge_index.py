from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Int

from ._batch_vector import is_traced
from ._fields import as_edge_index
from ._problems import edge_problems, raise_first
from ._transfer import on_device


class Neighbours(eqx.Module):
    """Short lists of the neighbours of each node, one row for each node.

    Entries that are the number of nodes are empty. Edges that a row has no column for are in
    `late_sources` and `late_targets`, whose padding is the number of nodes as well.

    **Arguments:**

    - `sources`: for each node, where edges that point at it come from.
    - `targets`: for each node, where edges that leave it go to.
    - `late_sources`: source and target of each edge that is missing in `sources`.
    - `late_targets`: source and target of each edge that is missing in `targets`.
    """

    sources: Int[Array, "nodes columns"]
    targets: Int[Array, "nodes columns"]
    late_sources: Int[Array, "2 late"]
    late_targets: Int[Array, "2 late"]


class EdgeIndex(eqx.Module):
    """Edges that know the neighbours of each node, so that sums over neighbours are quick.

    It can be given wherever a layer takes an `edge_index`. Convolutions that add or average,
    without edge weights, then gather rows, in all threads, forward and backward, instead of
    scattering them, which XLA does in one thread on a CPU. Poolings that keep nodes return an
    `EdgeIndex` again. Other layers use `index` alone. Functions that are no layers take that only.

    A [`Loader`][jraphx_eqx.loading.Loader] makes it from a budget with `neighbours=True`, as
    [`Batch.edges`][jraphx_eqx.data.Batch.edges].

    **Arguments:**

    - `index`: source and target of each edge, shape `(2, edges)`.
    - `neighbours`: the same edges by node.
    """

    index: Int[Array, "2 edges"]
    neighbours: Neighbours

    @classmethod
    def of(
        cls,
        edge_index: Int[Array | np.ndarray, "2 edges"],
        num_nodes: int,
        columns: int = 8,
        num_late: int | None = None,
    ) -> "EdgeIndex":
        """From an edge list, on the host.

        **Arguments:**

        - `edge_index`: source and target of each edge, shape `(2, edges)`. Padding edges are left
            out of the lists.
        - `num_nodes`: the number of nodes, padding included.
        - `columns`: how many neighbours a list holds. About one and a half times the mean degree is
            best.
        - `num_late`: room for the edges beyond. By default for as many as there are.

        **Raises:** `ValueError` for a number that is too small, an index that names neither a node
        nor padding, and under tracing, where there are no values to look at.
        """
        edge_index = as_edge_index(edge_index)
        if is_traced(edge_index):
            raise ValueError(
                "edge_index must have values, because lists of neighbours are made on the host; "
                "make the EdgeIndex outside of jit, vmap and grad"
            )
        if columns < 1:
            raise ValueError(f"columns must be at least 1, got {columns}")
        edges = np.asarray(edge_index)
        raise_first(edge_problems(edges, num_nodes))
        *tables, late_sources, late_targets = lists_of_neighbours(edges, num_nodes, columns)
        most = max(late_sources.shape[1], late_targets.shape[1])
        if num_late is not None and num_late < most:
            raise ValueError(
                f"num_late must be at least {most}, the number of edges that have no column, got "
                f"{num_late}; raise it, or columns"
            )
        sources, targets = (np.where(table == EMPTY, num_nodes, table) for table in tables)
        room = most if num_late is None else num_late
        late = np.full((2, 2, room), num_nodes, edges.dtype)
        late[0, :, : late_sources.shape[1]] = late_sources
        late[1, :, : late_targets.shape[1]] = late_targets
        neighbours = Neighbours(*on_device((sources, targets, late[0], late[1])))
        return cls(on_device(edge_index), neighbours)

    @property
    def num_nodes(self) -> int:
        """The number of nodes that have a list, padding included."""
        return self.neighbours.sources.shape[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """That of `index`."""
        return self.index.shape

    @property
    def dtype(self) -> np.dtype:
        """That of `index`."""
        return self.index.dtype


def as_array(edge_index: Any) -> Any:
    """The edge list of an `EdgeIndex`; anything else as it is."""
    return edge_index.index if isinstance(edge_index, EdgeIndex) else edge_index


# Past every node, whatever is added to it.
EMPTY = 2**30


def lists_of_neighbours(
    edge_index: np.ndarray, num_nodes: int, columns: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The fields of [`Neighbours`][jraphx_eqx.data.Neighbours] of one graph, with
    `EMPTY` in empty entries."""
    source, target = edge_index[:, np.all(edge_index < num_nodes, axis=0)]
    sources, late_sources = _lists(source, target, num_nodes, columns)
    targets, late_targets = _lists(target, source, num_nodes, columns)
    return sources, targets, late_sources, late_targets[::-1]


def _lists(far, near, num_nodes, columns):
    order = np.argsort(near, kind="stable")
    far, near = far[order], near[order]
    degree = np.bincount(near, minlength=num_nodes)
    place = np.arange(len(near)) - (np.cumsum(degree) - degree)[near]
    table = np.full((num_nodes, columns), EMPTY, far.dtype)
    fits = place < columns
    table[near[fits], place[fits]] = far[fits]
    return table, np.stack([far[~fits], near[~fits]])
