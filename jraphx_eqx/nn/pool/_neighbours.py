"""Neighbours by position: the nearest points, those in a radius, and those far from each other."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..._number import python_sizes
from ...data import BatchVector, is_traced, resolve_batch
from ...data._batch_vector import bounded_batch, largest_count, most_nodes
from ...ops import count_at_most, gather, to_dense_batch, top_k_capacity, top_k_counts
from .._check import check_positive, check_rows
from .._entry import takes_numpy

# As many distances are held at once.
_DISTANCES = 2**20


@takes_numpy
def knn(
    x: Float[Array, "points dimensions"],
    y: Float[Array, "centres _dimensions"],
    k: int,
    batch_x: BatchVector | Int[Array, " _points"] | None = None,
    batch_y: BatchVector | Int[Array, " _centres"] | None = None,
    cosine: bool = False,
) -> Int[Array, "2 pairs"]:
    """For each row of `y` the `k` nearest rows of `x` in the same graph, the nearest first.

    As `torch_geometric.nn.knn`, by all distances in a graph, of which a block is held at a time; of
    equal distances the first row of `x` counts.

    **Arguments:**

    - `x`, `y`: positions. Those of padding may hold anything.
    - `k`: the number of neighbours.
    - `batch_x`, `batch_y`: the graph of each row. `None` is one graph. Where a `max_count` is
        known, which under tracing must be told by a [`BatchVector`][jraphx_eqx.data.BatchVector],
        only the distances in a graph are computed.
    - `cosine`: whether to compare by the cosine of the angle between the vectors.

    **Returns:** shape `(2, centres * k)`: rows of `y`, and rows of `x`. Where there are fewer than
    `k`, and for padding, both are past the end: the number of rows of `y`, and of `x`.
    """
    check_positive(k=k)
    found = _search(x, y, batch_x, batch_y, k, cosine=cosine)
    return _pairs(found.index, x.shape[0])


@takes_numpy
def radius(
    x: Float[Array, "points dimensions"],
    y: Float[Array, "centres _dimensions"],
    r: float | int,
    batch_x: BatchVector | Int[Array, " _points"] | None = None,
    batch_y: BatchVector | Int[Array, " _centres"] | None = None,
    max_num_neighbors: int = 32,
) -> Int[Array, "2 pairs"]:
    """For each row of `y` the rows of `x` of its graph that are less than `r` away, nearest first.

    As `torch_geometric.nn.radius`. Where there are more than `max_num_neighbors` the nearest are
    returned, PyG's any.

    **Arguments:** as [`knn`][jraphx_eqx.nn.pool.knn].

    **Returns:** as [`knn`][jraphx_eqx.nn.pool.knn], with `k` being `max_num_neighbors`.
    """
    check_positive(max_num_neighbors=max_num_neighbors)
    found = _search(x, y, batch_x, batch_y, max_num_neighbors)
    near = found.distance < r**2
    return _pairs(jnp.where(near, found.index, x.shape[0]), x.shape[0])


@takes_numpy
def knn_graph(
    x: Float[Array, "nodes dimensions"],
    k: int,
    batch: BatchVector | Int[Array, " nodes"] | None = None,
    loop: bool = False,
    flow: str = "source_to_target",
    cosine: bool = False,
) -> Int[Array, "2 edges"]:
    """Edges to each node from its `k` nearest nodes in the same graph.

    As `torch_geometric.nn.knn_graph`. Without `loop` a node is no neighbour of itself; where
    several nodes are at one place, PyG's may return `k + 1` of them.

    **Arguments:**

    - `x`, `k`, `batch`, `cosine`: as [`knn`][jraphx_eqx.nn.pool.knn].
    - `loop`: whether a node counts among its neighbours.
    - `flow`: `"source_to_target"`, or `"target_to_source"` for edges from the node to the nearest.

    **Returns:** shape `(2, nodes * k)`; padding has both ends past the last node.
    """
    check_positive(k=k)
    found = _search(x, x, batch, batch, k, loop=loop, cosine=cosine)
    return _graph(found.index, flow)


@takes_numpy
def radius_graph(
    x: Float[Array, "nodes dimensions"],
    r: float | int,
    batch: BatchVector | Int[Array, " nodes"] | None = None,
    loop: bool = False,
    max_num_neighbors: int = 32,
    flow: str = "source_to_target",
) -> Int[Array, "2 edges"]:
    """Edges to each node from the nodes in the same graph that are less than `r` away.

    As `torch_geometric.nn.radius_graph`. Where there are more than `max_num_neighbors` the nearest
    count.

    **Arguments:** as [`knn_graph`][jraphx_eqx.nn.pool.knn_graph] and
    [`radius`][jraphx_eqx.nn.pool.radius].

    **Returns:** shape `(2, nodes * max_num_neighbors)`; padding has both ends past the last node.
    """
    check_positive(max_num_neighbors=max_num_neighbors)
    found = _search(x, x, batch, batch, max_num_neighbors, loop=loop)
    return _graph(jnp.where(found.distance < r**2, found.index, x.shape[0]), flow)


@takes_numpy
def nearest(
    x: Float[Array, "points dimensions"],
    y: Float[Array, "centres _dimensions"],
    batch_x: BatchVector | Int[Array, " _points"] | None = None,
    batch_y: BatchVector | Int[Array, " _centres"] | None = None,
) -> Int[Array, " points"]:
    """For each row of `x` the nearest row of `y` in the same graph, the first of equally near ones.

    As `torch_geometric.nn.nearest`. Where there is none, and for padding, it is the number of rows
    of `y`. Arguments as [`knn`][jraphx_eqx.nn.pool.knn].
    """
    return _search(y, x, batch_y, batch_x, 1).index[:, 0]


@takes_numpy
def knn_interpolate(
    x: Float[Array, "points features"],
    pos_x: Float[Array, "_points dimensions"],
    pos_y: Float[Array, "centres _dimensions"],
    batch_x: BatchVector | Int[Array, " _points"] | None = None,
    batch_y: BatchVector | Int[Array, " _centres"] | None = None,
    k: int = 3,
) -> Float[Array, "centres features"]:
    r"""Features at other positions: means of those of the `k` nearest points, by $1 / d^2$.

    As `torch_geometric.nn.unpool.knn_interpolate`. Positions get no gradient. $d^2$ is 1e-16 at
    least.

    ??? cite

        [PointNet++: Deep Hierarchical Feature Learning on Point Sets in a Metric
        Space](https://arxiv.org/abs/1706.02413), Qi et al., 2017

    **Arguments:**

    - `x`: the features of the points.
    - `pos_x`, `pos_y`: the positions of the points, and those to interpolate at.
    - `batch_x`, `batch_y`, `k`: as [`knn`][jraphx_eqx.nn.pool.knn].

    **Returns:** shape `(centres, features)`; 0 for padding, and in graphs without points.
    """
    check_positive(k=k)
    check_rows(x, pos_x.shape[0], "x", "rows of pos_x")
    found = _search(pos_x, pos_y, batch_x, batch_y, k)
    real = found.index < x.shape[0]
    weight = jnp.where(real, 1 / jnp.maximum(found.distance, 1e-16), 0).astype(x.dtype)
    total = jnp.sum(weight, axis=1)
    weight = weight / jnp.where(total > 0, total, 1)[:, None]
    return jnp.sum(gather(x, found.index) * weight[:, :, None], axis=1)


@takes_numpy
@python_sizes
def fps(
    x: Float[Array, "points dimensions"],
    batch: BatchVector | Int[Array, " points"] | None = None,
    ratio: float = 0.5,
    *,
    size: int | None = None,
    key: PRNGKeyArray | None = None,
) -> Int[Array, " kept"]:
    """Points of each graph that are far from each other: one, and then always the one that is
    farthest from all before, the first of equally far ones.

    As `torch_geometric.nn.fps`, which begins at random by default, where this begins with the first
    point of each graph, or with any by `key`.

    ??? cite

        [PointNet++: Deep Hierarchical Feature Learning on Point Sets in a Metric
        Space](https://arxiv.org/abs/1706.02413), Qi et al., 2017

    **Arguments:**

    - `x`: positions. Those of padding may hold anything.
    - `batch`: the graph of each point. `None` is one graph.
    - `ratio`: the fraction of each graph's points to keep, in (0, 1], rounded up, in float32.
    - `size`: the number of graphs. Needed only for a bare `batch` under tracing.
    - `key`: for random first points.

    **Returns:** the points, by graph and then in the order in which they were found, followed by
    padding, which is the number of points.
    """
    if not 0 < ratio <= 1:
        raise ValueError(f"ratio must be a fraction in (0, 1], got {ratio}")
    batch = _bounded(resolve_batch(batch, x.shape[0], size))
    return _fps(jax.lax.stop_gradient(x), batch, float(ratio), key)


class _Found(NamedTuple):
    """Neighbours of each centre, the nearest first: rows, or their number; squared distances."""

    index: Int[Array, "centres k"]
    distance: Float[Array, "centres k"]


def _search(x, y, batch_x, batch_y, k, *, loop=True, cosine=False):
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            "positions must have shapes (points, dimensions) and (centres, dimensions), got "
            f"{x.shape} and {y.shape}"
        )
    batches = [resolve_batch(b, p.shape[0]) for b, p in ((batch_x, x), (batch_y, y))]
    # A bare batch vector may lack the last graphs.
    graphs = max(batch.num_graphs for batch in batches)
    batches = [_bounded(_with_room(batch, graphs)) for batch in batches]
    x, y = (jax.lax.stop_gradient(p) for p in (x, y))
    return _nearest(x, y, *batches, k, loop, cosine)


def _with_room(batch, graphs):
    index = jnp.where(batch.node_mask, batch.index, graphs)
    return bounded_batch(index, graphs, batch.max_count)


def _bounded(batch):
    """With a bound on the size of a graph where that can be seen, of which there are few."""
    if batch.max_count is not None or is_traced(batch.index) or batch.num_graphs == 1:
        return batch
    most = -(-largest_count(batch) // 32) * 32
    return bounded_batch(batch.index, batch.num_graphs, most)


@eqx.filter_jit
def _nearest(x, y, batch_x, batch_y, k, loop, cosine):
    if cosine:
        x, y = (p / jnp.sqrt(jnp.sum(p**2, axis=1, keepdims=True)) for p in (x, y))
    apart = batch_x.max_count is not None and batch_y.max_count is not None
    numbers = [jnp.arange(p.shape[0], dtype=jnp.int32) for p in (x, y)]
    if apart:  # A table of points for each graph.
        points, centres = (
            [to_dense_batch(a, b, fill)[0] for a, fill in ((p, 0), (n, p.shape[0]))]
            for p, n, b in zip((x, y), numbers, (batch_x, batch_y), strict=True)
        )
        graphs = [jnp.zeros(n.shape, jnp.int32) for _, n in (points, centres)]
    else:  # One table for all, in which points of other graphs are infinitely far.
        points, centres = ([p[None], n[None]] for p, n in zip((x, y), numbers, strict=True))
        graphs = [jnp.where(b.node_mask, b.index, b.num_graphs)[None] for b in (batch_x, batch_y)]
        masks = [b.node_mask[None] for b in (batch_x, batch_y)]
        for table, mask in zip((points, centres), masks, strict=True):
            table[1] = jnp.where(mask, table[1], len(table[1][0]))
    rows = points[1].shape[1]
    kept = min(k, rows)
    empty = _Found(
        jnp.full((y.shape[0], k), x.shape[0], jnp.int32),
        jnp.full((y.shape[0], k), jnp.inf, x.dtype),
    )
    if 0 in (kept, centres[1].size):
        return empty

    def of_one(given):
        table, centre, number, graph = given
        far = points[1][table] >= x.shape[0]
        position = points[0][table]
        if cosine:
            distance = 1 - jnp.sum(centre[None] * position, axis=1)
        else:
            distance = jnp.sum((centre[None] - position) ** 2, axis=1)
        far = far | (graphs[0][table] != graph)
        if not loop:
            far = far | (points[1][table] == number)
        value, place = jax.lax.top_k(-jnp.where(far, jnp.inf, distance), kept)
        found = jnp.where(jnp.isinf(value), x.shape[0], points[1][table][place])
        return found, -value

    tables, most = centres[1].shape
    table = jnp.repeat(jnp.arange(tables, dtype=jnp.int32), most)
    given = (
        table,
        centres[0].reshape(-1, x.shape[1]),
        centres[1].reshape(-1),
        graphs[1].reshape(-1),
    )
    size = max(_DISTANCES // max(rows, 1), 1)
    index, distance = jax.lax.map(of_one, given, batch_size=min(size, table.shape[0]))
    number = given[2]
    return _Found(
        *(
            whole.at[number, :kept].set(part, mode="drop")
            for whole, part in zip(empty, (index, distance), strict=True)
        )
    )


@eqx.filter_jit
def _fps(x, batch, ratio, key):
    num_nodes, graphs = batch.index.shape[0], batch.num_graphs
    counts = batch.counts
    kept = top_k_counts(counts, ratio, jnp.float32) if ratio < 1 else counts
    number = jnp.arange(num_nodes, dtype=jnp.int32)
    # A table of points for each graph, or one for all if there is no bound on their sizes.
    points, real = to_dense_batch(x, batch, max_nodes=most_nodes(batch))
    numbers, _ = to_dense_batch(number, batch, num_nodes, most_nodes(batch))
    most = points.shape[1]
    if 0 in (most, graphs):
        return jnp.zeros(0, jnp.int32)
    first = jnp.zeros(graphs, jnp.int32)
    if key is not None:
        first = jnp.floor(jax.random.uniform(key, (graphs,)) * counts).astype(jnp.int32)
    capacity = top_k_capacity(num_nodes, graphs, ratio, jnp.float32) if ratio < 1 else num_nodes
    steps = top_k_capacity(most, 1, ratio, jnp.float32) if ratio < 1 else most
    far = jnp.where(real, jnp.inf, -jnp.inf).astype(x.dtype)
    each = jnp.arange(graphs)

    def step(state, _):
        far, last = state
        distance = jnp.sum((points - points[each, last][:, None]) ** 2, axis=2)
        far = jnp.minimum(far, distance)
        return (far, jnp.argmax(far, axis=1).astype(jnp.int32)), last

    _, order = jax.lax.scan(step, (far, first), None, length=steps)
    ends, slot = jnp.cumsum(kept), jnp.arange(capacity, dtype=jnp.int32)
    graph = count_at_most(ends, slot)
    rank = slot - gather(ends - kept, graph)
    place = order.at[rank, graph].get(mode="fill", fill_value=0)
    found = numbers.at[graph, place].get(mode="fill", fill_value=num_nodes)
    return jnp.where(graph < graphs, found, num_nodes)


def _pairs(index, num_points):
    """Of each centre its neighbours, as pairs; padding past both ends."""
    centres, k = index.shape
    real = index < num_points
    centre = jnp.broadcast_to(jnp.arange(centres, dtype=jnp.int32)[:, None], (centres, k))
    return jnp.stack([jnp.where(real, centre, centres).reshape(-1), index.reshape(-1)])


def _graph(index, flow):
    if flow not in ("source_to_target", "target_to_source"):
        raise ValueError(f"flow must be 'source_to_target' or 'target_to_source', got {flow!r}")
    centre, neighbour = _pairs(index, index.shape[0])
    ends = (neighbour, centre) if flow == "source_to_target" else (centre, neighbour)
    return jnp.stack(ends)
