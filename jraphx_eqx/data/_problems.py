from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np


class Problem(NamedTuple):
    """What a value of an index array must be, and which of its entries are not."""

    rule: str
    bad: Any
    values: Any
    entry: str


def edge_problems(edge_index: Any, num_nodes: int) -> Iterator[Problem]:
    """Holds for a graph with padding: both ends equal to `num_nodes` is a padding edge."""
    yield Problem("edge_index must not hold negative indices", edge_index < 0, edge_index, "edge")
    yield Problem(
        f"edge_index must hold node indices below {num_nodes}, the number of nodes, or "
        f"{num_nodes} in both rows for a padding edge",
        edge_index > num_nodes,
        edge_index,
        "edge",
    )
    past_end = edge_index == num_nodes
    yield Problem(
        f"edge_index must mark a padding edge in both rows, with the number of nodes, {num_nodes}",
        past_end[0] != past_end[1],
        edge_index,
        "edge",
    )


def batch_problems(index: Any, num_graphs: int | None) -> Iterator[Problem]:
    yield Problem("batch must not hold negative ids", index < 0, index, "node")
    if num_graphs is not None:
        yield Problem(
            f"batch must hold graph ids below {num_graphs}, the number of graphs, or "
            f"{num_graphs} for a padding node",
            index > num_graphs,
            index,
            "node",
        )


def crossing_problems(xp: ModuleType, edge_index: Any, index: Any) -> Iterator[Problem]:
    """Needs both arrays to be free of the problems above."""
    if index.shape[0] == 0:
        return
    inside = xp.minimum(xp.maximum(edge_index, 0), index.shape[0] - 1)
    graphs = index[inside]
    real = (edge_index < index.shape[0]).all(axis=0)
    yield Problem(
        "edge_index must join nodes of one graph, and no padding node to a real one",
        real & (graphs[0] != graphs[1]),
        edge_index,
        "edge",
    )


def raise_first(problems: Iterable[Problem]) -> None:
    """Raises a `ValueError` that names the first bad entry, if there is one."""
    for problem in problems:
        if problem.bad.any():
            position = np.argwhere(problem.bad)[:, -1].min()
            value = problem.values[..., position].tolist()
            shown = tuple(value) if isinstance(value, list) else value
            raise ValueError(f"{problem.rule}; {problem.entry} {position} has {shown}")
