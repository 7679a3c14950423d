from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ..data import Batch, Data, as_array

_FAINT = 0.25
_SIDES = np.array([-1, 1])


class _Level(NamedTuple):
    """Rows of one graph: where nodes are drawn, and the two rows that each edge joins."""

    nodes: np.ndarray
    edges: np.ndarray
    pos: np.ndarray
    colours: np.ndarray


def draw_levels(
    graph: Batch | Data,
    outputs: Any,
    *,
    number: int = 0,
    pos: Any = None,
    axes: Sequence[Any] | np.ndarray | None = None,
    seed: int = 0,
) -> list[Any]:
    """A graph and what poolings made of it, side by side in one layout.

    Before a pooling that keeps nodes, those that it keeps are filled, and the others, with their
    edges, are faint. Before one that makes clusters, nodes have the colour of their cluster, which
    is drawn in their middle on the next picture, and edges inside a cluster are faint.

    **Arguments:**

    - `graph`: what was pooled, one graph or a batch of several.
    - `outputs`: a [`PoolOutput`][jraphx_eqx.nn.pool.PoolOutput], or a list of them, one after
        the other. Padding is not drawn.
    - `number`: which graph of the batch.
    - `pos`: a place for each node of the batch, shape `(nodes, 2)`. By default the first two
        columns of `graph.pos`, or else the layout of `networkx.spring_layout`.
    - `axes`: matplotlib's axes, one more than there are poolings. By default new ones.
    - `seed`: of the layout.

    **Returns:** the axes.

    **Raises:** `ValueError` if the graph has no such number, or an output was not made from what
    stands before it.
    """
    import matplotlib.pyplot as plt

    outputs = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
    batch = graph.pad() if isinstance(graph, Data) else graph
    if not 0 <= number < batch.num_graphs:
        raise ValueError(f"number must name one of the {batch.num_graphs} graphs, got {number}")
    if axes is None:
        size = (3 * len(outputs) + 3, 3)
        _, grid = plt.subplots(
            1, len(outputs) + 1, figsize=size, squeeze=False, layout="constrained"
        )
        axes = list(grid[0])
    elif len(axes) != len(outputs) + 1:
        raise ValueError(
            f"axes must be {len(outputs) + 1}, one more than poolings, got {len(axes)}"
        )
    nodes, edges = _of_graph(batch, number)
    found = batch.pos if pos is None else pos
    places = np.zeros((batch.num_nodes, 2))
    places[nodes] = _layout(nodes, edges, seed) if found is None else np.asarray(found)[nodes, :2]
    level = _Level(nodes, edges, places, np.zeros(batch.num_nodes, int))
    for place, output in enumerate(outputs):
        members = _members(place, output, len(level.pos))
        level = _draw_pooled(axes[place], level, output, members, number)
    _draw(axes[-1], level, np.ones(len(level.nodes), bool), np.ones(level.edges.shape[1], bool))
    low, high = places[nodes].min(0), places[nodes].max(0)
    middle, half = (low + high) / 2, 0.58 * max((high - low).max(), 1e-9)
    for one in axes:
        one.set(xlim=middle[0] + half * _SIDES, ylim=middle[1] + half * _SIDES, aspect="equal")
    return list(axes)


def _of_graph(batch: Any, number: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of one graph in a batch or in a pooling's output, and its edges."""
    index, edges = np.asarray(batch.batch.index), np.asarray(as_array(batch.edge_index))
    real = (edges < len(index)).all(0)
    edges = edges[:, real]
    return np.flatnonzero(index == number), edges[:, index[edges[0]] == number]


def _layout(nodes: np.ndarray, edges: np.ndarray, seed: int) -> np.ndarray:
    import networkx

    graph = networkx.Graph()
    graph.add_nodes_from(nodes.tolist())
    graph.add_edges_from(edges.T.tolist())
    found = networkx.spring_layout(graph, seed=seed, iterations=200)
    return np.array([found[node] for node in nodes.tolist()]).reshape(-1, 2)


def _members(place: int, output: Any, num_nodes: int) -> np.ndarray:
    """How much each node belongs to each cluster."""
    select = output.select
    if select.num_nodes != num_nodes:
        raise ValueError(
            f"output {place} must be of a graph of {num_nodes} rows, got one of {select.num_nodes}"
        )
    if not hasattr(select, "labels"):
        return np.asarray(select.lift(jnp.eye(select.num_clusters)))
    return np.asarray(select.labels)[:, None] == np.arange(select.num_clusters)


def _draw_pooled(axes: Any, level: _Level, output: Any, members: np.ndarray, number: int) -> _Level:
    nodes, edges = _of_graph(output, number)
    members = members[level.nodes][:, nodes].astype(float)
    # The place among the clusters of this graph.
    label = np.full(len(level.pos), -1)
    label[level.nodes] = np.where(members.any(1), members.argmax(1), -1)
    ends = label[level.edges]
    stays = np.asarray((ends >= 0).all(0))
    colours = level.colours
    following = np.zeros(len(output.batch.index), int)
    if output.select.keeps_nodes:
        following[nodes] = colours[level.nodes[members.argmax(0)]]
    else:
        stays &= ends[0] != ends[1]
        following[nodes] = 1 + np.arange(len(nodes))
        colours = 1 + label
    _draw(axes, level._replace(colours=colours), label[level.nodes] >= 0, stays)
    pos = np.zeros((len(following), 2))
    pos[nodes] = members.T @ level.pos[level.nodes] / np.maximum(members.sum(0), 1e-30)[:, None]
    return _Level(nodes, edges, pos, following)


def _draw(axes: Any, level: _Level, kept: np.ndarray, stays: np.ndarray) -> None:
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection

    palette = colormaps["tab20"](np.arange(20))
    colours = palette[level.colours[level.nodes] % 20]
    for chosen, alpha in ((~stays, _FAINT), (stays, 0.7)):
        lines = level.pos[level.edges[:, chosen]].transpose(1, 0, 2)
        axes.add_collection(LineCollection(list(lines), colors="0.4", alpha=alpha, zorder=1))
    place = level.pos[level.nodes]
    size = float(np.clip(1500 / max(len(place), 1), 12, 120))
    style = {"s": size, "zorder": 2, "linewidths": 0.8}
    axes.scatter(*place[~kept].T, facecolors="white", edgecolors="0.7", **style)
    axes.scatter(*place[kept].T, c=colours[kept], edgecolors="0.2", **style)
    axes.set_title(f"{len(place)} nodes, {level.edges.shape[1]} edges", fontsize=9)
    axes.axis("off")
