import dataclasses
import math
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..data import Data
from ._pack import pack


@runtime_checkable
class Graphs(Protocol):
    """A list, or what makes or reads a graph when it is asked for it."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Data: ...


@dataclasses.dataclass(frozen=True)
class Budget:
    """Room for a batch: its sizes, and a bound on the nodes of one graph. Made by
    [`budget`][jraphx_eqx.loading.budget], or by hand.

    `batch.pad(**room.sizes)` pads a batch of your own to it.

    **Arguments:**

    - `num_nodes`, `num_edges`, `num_graphs`: the rows of a batch, padding included.
    - `max_count`: no graph has more nodes than this, as in
        [`BatchVector`][jraphx_eqx.data.BatchVector].
    - `columns`: how many neighbours of a node have a column, as in
        [`EdgeIndex.of`][jraphx_eqx.data.EdgeIndex.of]. 0 is no lists of neighbours.
    - `num_late`: room for the edges beyond the columns.
    - `beyond`: the room of graphs that are too large for this one, `None` if there are none.
    - `summary`: what `print` says of the padding.
    """

    num_nodes: int
    num_edges: int
    num_graphs: int
    max_count: int
    columns: int = 0
    num_late: int = 0
    beyond: "Budget | None" = None
    summary: str = dataclasses.field(default="", compare=False, repr=False)

    def __post_init__(self):
        names = ("num_nodes", "num_edges", "num_graphs", "max_count", "columns", "num_late")
        for name in names:
            number, least = getattr(self, name), int(name == "num_graphs")
            if number < least:
                raise ValueError(f"{name} must be at least {least}, got {number}")

    @property
    def sizes(self) -> dict[str, int]:
        """The arguments of [`Batch.pad`][jraphx_eqx.data.Batch.pad]."""
        names = ("num_nodes", "num_edges", "num_graphs", "max_count")
        return {name: getattr(self, name) for name in names}

    @property
    def rooms(self) -> "tuple[Budget, ...]":
        """This room and those beyond it, the smallest first."""
        return (self, *(self.beyond.rooms if self.beyond else ()))

    def fits(self, num_nodes: int, num_edges: int, num_late: int = 0) -> bool:
        """Whether one graph of this size has room here."""
        return bool(np.all(np.array([num_nodes, num_edges, num_late]) <= self.bounds))

    @property
    def bounds(self) -> tuple[int, int, int]:
        """The most nodes, edges, and edges beyond the columns, of one graph."""
        return min(self.num_nodes, self.max_count), self.num_edges, self.num_late

    def __str__(self) -> str:
        return "\n".join([*map(_line, self.rooms), *filter(None, [self.summary])])


def budget(
    graphs: Graphs,
    batch_size: int,
    *,
    slack: float = 1.0,
    buckets: int = 1,
    neighbours: bool = False,
) -> Budget:
    """Room for `batch_size` average graphs, and for the largest one: one shape for all batches.

    A batch takes as many graphs as fit, at most one and a half times `batch_size`, so about
    `batch_size` on average. Little is padding then: 2 to 8 % of the nodes of seven TU data sets at
    64 graphs, where room for the 64 largest graphs leaves 24 to 84 % empty. `print` says how much
    it is for these graphs, counted over one shuffled epoch.

    **Arguments:**

    - `graphs`: all graphs that will be loaded, as for [`Loader`][jraphx_eqx.loading.Loader]. Each
        is looked at once.
    - `batch_size`: how many graphs a batch holds on average.
    - `slack`: a factor on the room for nodes and edges, at least 1.
    - `buckets`: the most rooms, each a shape, and so a program, of its own. Useful where single
        graphs are larger than `batch_size` average ones: with one room, all batches have room for
        the largest graph; with more, only those that hold such graphs.
    - `neighbours`: whether batches have lists of neighbours, so that
        [`Batch.edges`][jraphx_eqx.data.Batch.edges] is an
        [`EdgeIndex`][jraphx_eqx.data.EdgeIndex]. They have one and a half times as many columns as
        a node has neighbours on average. Each graph is looked at twice then.

    **Returns:** a [`Budget`][jraphx_eqx.loading.Budget].

    **Raises:** `ValueError` for no graphs, or a number that is too small.
    """
    for name, number in {"batch_size": batch_size, "slack": slack, "buckets": buckets}.items():
        if number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")
    sizes = count(graphs)
    if len(sizes) == 0:
        raise ValueError("graphs must hold at least one graph, got none")
    columns = 0
    if neighbours:
        nodes, edges, _ = sizes.sum(0)
        columns = max(math.ceil(1.5 * edges / max(nodes, 1)), 1)
        sizes[:, 2] = [num_late(graphs[position], columns) for position in range(len(graphs))]
    base = np.ceil(slack * batch_size * sizes.mean(0)).astype(int)
    # The numbers of edges beyond the columns differ more, and should not be what ends a batch.
    base[2] = min(1.5 * base[2] + base[1] / 32, base[1]) if base[2] else 0
    largest = np.maximum(base, sizes.max(0))
    # From room to room sizes grow by one factor, up to the largest graph.
    shares = np.linspace(0, 1, buckets)[1:-1, None]
    growth = largest / np.maximum(base, 1)
    between = np.floor(base * growth**shares).astype(int)
    bounds = [base, *between, largest] if buckets > 1 else [largest]
    rooms, left = [], sizes
    for bound in bounds:
        fits = (left <= bound).all(1)
        if fits.any():
            nodes, edges, late = map(int, bound)
            largest_graph = int(left[fits, 0].max())
            num_graphs = math.ceil(1.5 * batch_size)
            rooms.append((nodes, edges, num_graphs, largest_graph, columns, late))
        left = left[~fits]
    room = None
    for numbers in reversed(rooms):
        room = Budget(*numbers, beyond=room)
    assert room is not None
    return dataclasses.replace(room, summary=_summary(sizes, room))


def count(graphs: Graphs) -> np.ndarray:
    """Nodes and edges of each graph, and a 0 for the edges beyond the columns of lists."""
    sizes = [(*_size(position, graphs[position]), 0) for position in range(len(graphs))]
    return np.array(sizes, np.int64).reshape(-1, 3)


def num_late(graph: Data, columns: int) -> int:
    """Room for the edges that lists of so many columns have no place for."""
    edge_index = np.asarray(graph.edge_index)
    degrees = [np.bincount(ends, minlength=1) for ends in edge_index]
    return max(int(np.maximum(degree - columns, 0).sum()) for degree in degrees)


def _size(position: int, graph: Any) -> tuple[int, int]:
    if not isinstance(graph, Data):
        raise ValueError(f"graph {position} must be a Data, got {type(graph).__name__}")
    return graph.num_nodes, graph.num_edges


def _line(room: Budget) -> str:
    return (
        f"{room.num_nodes} nodes, {room.num_edges} edges, {room.num_graphs} graphs of at most "
        f"{room.max_count} nodes"
        + (f"; {room.columns} neighbours and {room.num_late} edges beyond" if room.columns else "")
    )


def _summary(sizes: np.ndarray, room: Budget) -> str:
    order = np.random.default_rng(0).permutation(len(sizes))
    batches = pack(sizes, order, room)
    space = np.array([(r.num_nodes, r.num_edges) for r, _ in batches]).sum(0)
    nodes, edges = 100 * (1 - sizes[:, :2].sum(0) / np.maximum(space, 1))
    held = [len(indices) for _, indices in batches]
    return (
        f"{len(sizes)} graphs in {len(batches)} batches of {min(held)} to {max(held)}; "
        f"{nodes:.1f} % of the nodes and {edges:.1f} % of the edges are padding"
    )
