import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Num

from ..._twin import twin
from ...data import BatchVector, resolve_batch
from ...ops import segment_max, segment_mean, segment_min, segment_sum, wide_dtype
from .._check import check_array, check_number_of_rows
from .._entry import one_program


@one_program
def global_add_pool(
    x: Num[Array, "..."],
    batch: BatchVector | Int[Array, " nodes"] | None = None,
    size: int | None = None,
) -> Num[Array, "..."]:
    r"""Adds the features of the nodes of each graph.

    $$\mathbf{r}_i = \sum_{n=1}^{N_i} \mathbf{x}_n$$

    Equal to `torch_geometric.nn.global_add_pool`.

    **Arguments:**

    - `x`: node features, of any numeric dtype, but not booleans: what their sum is, PyG answers
        differently with and without `batch`. Half precision is added in float32. Of shape
        `(nodes, features)`, or `(nodes,)`, or
        `(sets, nodes, features)` for several feature sets of the same nodes.
    - `batch`: the graph of each node, as a [`BatchVector`][jraphx_eqx.data.BatchVector], which may
        hold padding, or as a bare array, which holds none. `None` is one graph.
    - `size`: the number of graphs. Needed only for a bare `batch` under tracing.

    **Returns:** `(graphs, features)`, or `(graphs,)`, or `(sets, graphs, features)`, in the dtype
    of `x`. Without `batch`: `(1, features)`, or `(1,)`, or `(sets, features)`. A graph without
    nodes gives 0. Padding rows of `x` may hold anything and get a zero gradient.

    **Raises:** `ValueError` for an `x` of another rank, and for a `batch` or `size` that does not
    fit; see [`resolve_batch`][jraphx_eqx.data.resolve_batch].
    """
    if batch is None:
        return _whole(_sum, x, size)
    return _by_graph(segment_sum, x, batch, size)


@one_program
def global_mean_pool(
    x: Num[Array, "..."],
    batch: BatchVector | Int[Array, " nodes"] | None = None,
    size: int | None = None,
) -> Num[Array, "..."]:
    r"""Averages the features of the nodes of each graph.

    $$\mathbf{r}_i = \frac{1}{N_i} \sum_{n=1}^{N_i} \mathbf{x}_n$$

    Equal to `torch_geometric.nn.global_mean_pool`. Unlike there, a graph without nodes gives 0
    without `batch` too, not NaN.

    **Arguments**, **Returns** and **Raises:** as
    [`global_add_pool`][jraphx_eqx.nn.pool.global_add_pool]. Integers give the default float dtype.
    """
    if batch is None:
        return _whole(_mean, x, size)
    return _by_graph(segment_mean, x, batch, size)


@one_program
def global_max_pool(
    x: Num[Array, "..."] | Bool[Array, "..."],
    batch: BatchVector | Int[Array, " nodes"] | None = None,
    size: int | None = None,
) -> Num[Array, "..."] | Bool[Array, "..."]:
    r"""The largest value of each feature among the nodes of each graph.

    $$\mathbf{r}_i = \max_{n=1}^{N_i} \mathbf{x}_n$$

    Equal to `torch_geometric.nn.global_max_pool`, whose gradients at ties it shares: split evenly
    with `batch`, all to the first of the largest without. Unlike there, a maximum of exactly 0
    gets its full gradient, and a graph without nodes gives 0 without `batch` too, not an error.

    **Arguments**, **Returns** and **Raises:** as
    [`global_add_pool`][jraphx_eqx.nn.pool.global_add_pool]. Booleans are taken as well; a graph
    without nodes gives `False`.
    """
    if x.dtype == bool:
        return global_max_pool(x.astype(jnp.uint8), batch, size).astype(bool)
    if batch is None:
        return _whole(lambda x, axis: _first(x, jnp.argmax, axis), x, size)
    return _by_graph(segment_max, x, batch, size)


@one_program
def global_min_pool(
    x: Num[Array, "..."] | Bool[Array, "..."],
    batch: BatchVector | Int[Array, " nodes"] | None = None,
    size: int | None = None,
) -> Num[Array, "..."] | Bool[Array, "..."]:
    r"""The smallest value of each feature among the nodes of each graph.

    $$\mathbf{r}_i = \min_{n=1}^{N_i} \mathbf{x}_n$$

    PyG has no such function; it equals `torch_geometric.utils.scatter(..., reduce="min")`. Apart
    from that as [`global_max_pool`][jraphx_eqx.nn.pool.global_max_pool].
    """
    if x.dtype == bool:
        return global_min_pool(x.astype(jnp.uint8), batch, size).astype(bool)
    if batch is None:
        return _whole(lambda x, axis: _first(x, jnp.argmin, axis), x, size)
    return _by_graph(segment_min, x, batch, size)


def _by_graph(reduction, x, batch, size):
    axis = _node_axis(x)
    batch = resolve_batch(batch, x.shape[axis], size)
    out = reduction(jnp.swapaxes(x, 0, axis), batch.index, batch.num_graphs)
    return jnp.swapaxes(out, 0, axis)


def _whole(reduction, x, size):
    axis = _node_axis(x)
    resolve_batch(None, x.shape[axis], size)
    out = reduction(x, axis)
    return jnp.squeeze(out, axis) if x.ndim == 3 else out


def _sum(x, axis):
    # A dtype is what keeps small integers small; of half precision it would be that of the sum.
    return jnp.sum(x, axis, keepdims=True, dtype=wide_dtype(x.dtype)).astype(x.dtype)


def _mean(x, axis):
    if x.shape[axis]:
        return jnp.mean(x, axis, keepdims=True)
    return jnp.sum(x, axis, keepdims=True, dtype=jnp.mean(x[:0]).dtype)


def _first(x, search, axis):
    # PyTorch's max over a dimension, unlike its scatter, gives ties to the first.
    if not x.shape[axis]:
        return _sum(x, axis)
    return jnp.take_along_axis(x, search(x, axis, keepdims=True), axis)


def _node_axis(x):
    check_array(x, "x")
    if x.ndim not in (1, 2, 3):
        raise ValueError(
            "x must have shape (nodes,), (nodes, features) or (sets, nodes, features), "
            f"got {x.shape}"
        )
    axis = max(x.ndim - 2, 0)
    check_number_of_rows(x.shape[axis], "x", "nodes")
    return axis


for _pool in (global_add_pool, global_mean_pool, global_max_pool):
    twin(_pool, f"torch_geometric.nn.{_pool.__name__}")
