import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ...data import BatchVector, resolve_batch
from ...ops import segment_count
from .._check import check_features, check_positive
from .._entry import one_program


@one_program
def batch_histogram(
    x: Float[Array, "nodes features"],
    batch: BatchVector | Int[Array, " nodes"] | None = None,
    bins: int = 50,
    min_val: float | int | None = None,
    max_val: float | int | None = None,
    size: int | None = None,
) -> Float[Array, "graphs all_bins"]:
    """Counts, for each graph and feature, the nodes whose value falls into each of equal bins.

    As JraphX's function of that name, and `numpy.histogram`: a bin holds its left edge, and the
    last one its right edge as well. Values outside the range are not counted. There is no gradient.

    **Arguments:**

    - `x`: node features, shape `(nodes, features)`.
    - `batch`: the graph of each node, as for
        [`global_add_pool`][jraphx_eqx.nn.pool.global_add_pool].
    - `bins`: the number of bins of each feature.
    - `min_val`, `max_val`: the range. By default from the smallest to the largest number of the
        whole batch.
    - `size`: the number of graphs. Needed only for a bare `batch` under tracing.

    **Returns:** shape `(graphs, features * bins)`, feature by feature.
    """
    check_features(x, None, None)
    check_positive(bins=bins)
    batch = resolve_batch(batch, x.shape[0], size)
    real = batch.node_mask[:, None]
    low = jnp.min(x, initial=jnp.inf, where=real) if min_val is None else min_val
    high = jnp.max(x, initial=-jnp.inf, where=real) if max_val is None else max_val
    edges = jnp.linspace(low, high, bins + 1, dtype=x.dtype)
    place = jnp.searchsorted(edges, x, side="right").astype(jnp.int32) - 1
    counted = real & (x >= edges[0]) & (x <= edges[-1])
    # Each feature of each graph has a row of bins.
    features = jnp.arange(x.shape[1], dtype=jnp.int32)[None]
    row = batch.index.astype(jnp.int32)[:, None] * x.shape[1] + features
    total = batch.num_graphs * x.shape[1] * bins
    index = jnp.where(counted, row * bins + jnp.minimum(place, bins - 1), total)
    counts = segment_count(index.reshape(-1), total)
    return counts.reshape(batch.num_graphs, -1).astype(x.dtype)
