from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ._budget import Budget


def pack(
    sizes: np.ndarray, order: np.ndarray, budget: "Budget"
) -> list[tuple["Budget", np.ndarray]]:
    """The batches of an epoch, each a room and the indices of its graphs.

    A graph goes to the first room that it fits, where batches are filled in the order of arrival.
    Batches come in the order of their first graphs.
    """
    batches = []
    places = np.arange(len(order))
    for room in budget.rooms:
        own = sizes[order[places]]
        fits = (own <= room.bounds).all(1)
        here, places = places[fits], places[~fits]
        batches += [(room, here[part]) for part in _cuts(sizes[order[here]], room)]
    assert len(places) == 0, "a graph without a room"
    batches.sort(key=lambda batch: batch[1][0])
    return [(room, order[part]) for room, part in batches]


def grouped(
    batches: list[tuple["Budget", np.ndarray]], stack: int
) -> list[tuple["Budget", list[np.ndarray]]]:
    """Stacks of batches of the same room; what is lacking at the end holds no graphs."""
    stacks, open_stacks = [], {}
    for room, indices in batches:
        group = open_stacks.get(room)
        if group is None or len(group) == stack:
            group = open_stacks[room] = []
            stacks.append((room, group))
        group.append(indices)
    for group in open_stacks.values():
        group += [np.zeros(0, int)] * (stack - len(group))
    return stacks


def _cuts(sizes: np.ndarray, room: "Budget") -> Iterator[slice]:
    """Where one batch ends and the next begins."""
    before = np.concatenate([np.zeros((1, 3), np.int64), sizes.cumsum(0)])
    rows = (room.num_nodes, room.num_edges, room.num_late)
    start = 0
    while start < len(sizes):
        ends = (
            *(
                np.searchsorted(taken, taken[start] + most, "right") - 1
                for taken, most in zip(before.T, rows, strict=True)
            ),
            start + room.num_graphs,
            len(sizes),
        )
        yield slice(start, min(ends))
        start = min(ends)
