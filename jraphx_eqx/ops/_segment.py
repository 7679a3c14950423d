from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Num

from ._dtype import wide_dtype
from ._gather import gather
from ._vectors import in_vectors

Aggregation = Literal["add", "sum", "mean", "max", "min"]


class _Reduction(NamedTuple):
    """By index, and over an axis of partial results."""

    by_index: Callable[[Array, Array, int], Array]
    over_axis: Callable[[Array, int], Array]


def _least(data, index, num_segments):
    # XLA has an atomic maximum of float32 for GPUs; a minimum is a loop of compare-and-swap there.
    if data.dtype == jnp.float32 and jax.default_backend() == "gpu":
        return -jax.ops.segment_max(-data, index, num_segments)
    return jax.ops.segment_min(data, index, num_segments)


_SUM = _Reduction(jax.ops.segment_sum, lambda x, axis: jnp.sum(x, axis, dtype=x.dtype))
_MAX = _Reduction(jax.ops.segment_max, jnp.max)
_MIN = _Reduction(_least, jnp.min)

# With this many segments the atomic additions of a GPU hardly wait for each other, and from this
# many rows for each copy on, the copies pay off.
_APART, _ROWS_APART = 8192, 8


def segment_sum(
    data: Num[Array, "rows *features"], index: Int[Array, " rows"], num_segments: int
) -> Num[Array, "segments *features"]:
    """Sum of the rows that share an index.

    **Arguments:**

    - `data`: the rows to add. float16 and bfloat16 are accumulated in float32.
    - `index`: the segment of each row. An index past the end marks padding: its row may hold
        anything, NaN included, and gets a zero gradient.
    - `num_segments`: the number of segments, static.

    **Returns:** shape `(num_segments, *features)`, in the dtype of `data`. Empty segments are 0.
    """
    total = _sum(_widened(data), index, num_segments)
    return total.astype(data.dtype)


def segment_mean(
    data: Num[Array, "rows *features"], index: Int[Array, " rows"], num_segments: int
) -> Num[Array, "segments *features"]:
    """Mean of the rows that share an index.

    As [`segment_sum`][jraphx_eqx.ops.segment_sum]; integers give the default float dtype.
    """
    inexact = jnp.issubdtype(data.dtype, jnp.inexact)
    wide = _widened(data) if inexact else data.astype(float)
    total = _sum(wide, index, num_segments)
    mean = divide_by_count(total, index, num_segments)
    return mean.astype(data.dtype) if inexact else mean


def divide_by_count(
    total: Float[Array, "segments *features"], index: Int[Array, " rows"], num_segments: int
) -> Float[Array, "segments *features"]:
    """`total` divided by the number of rows of each segment; by 1 where there are none."""
    count = jnp.maximum(segment_count(index, num_segments), 1).astype(total.dtype)
    return total / _as_column(count, total.ndim)


def segment_max(
    data: Num[Array, "rows *features"], index: Int[Array, " rows"], num_segments: int
) -> Num[Array, "segments *features"]:
    """Maximum of the rows that share an index.

    As [`segment_sum`][jraphx_eqx.ops.segment_sum]. Empty segments are 0. Ties share the gradient
    evenly, a maximum of 0 included: there PyG loses a part of it.
    """
    return _extremum(_MAX, data, index, num_segments)


def segment_min(
    data: Num[Array, "rows *features"], index: Int[Array, " rows"], num_segments: int
) -> Num[Array, "segments *features"]:
    """Minimum of the rows that share an index; see [`segment_max`][jraphx_eqx.ops.segment_max]."""
    return _extremum(_MIN, data, index, num_segments)


def segment_softmax(
    data: Float[Array, "rows *features"], index: Int[Array, " rows"], num_segments: int
) -> Float[Array, "rows *features"]:
    """Softmax over the rows that share an index, as `torch_geometric.utils.softmax`.

    The maximum that is subtracted is detached. Rows of padding, which may hold anything, are 0
    and get a zero gradient.
    """
    mask = _as_column(index < num_segments, data.ndim)
    data = jnp.where(mask, data, 0)
    largest = jax.lax.stop_gradient(segment_max(data, index, num_segments))
    weight = jnp.exp(data - gather(largest, index))
    # At least 1 where there are rows, so that the 1e-16 that PyG adds would round away.
    total = segment_sum(weight, index, num_segments)
    # A gathered 0 would divide padding by zero, and its gradient is NaN even where masked.
    return jnp.where(mask, weight / jnp.where(mask, gather(total, index), 1), 0)


def segment_count(index: Int[Array, " rows"], num_segments: int) -> Int[Array, " segments"]:
    """The number of rows with each index. Indices past the end are not counted."""
    ones = jnp.ones(index.shape, jnp.int32)
    return _reduced(_SUM, ones, index, num_segments)


def aggregation(name: str, argument: str = "aggr") -> Callable[[Array, Array, int], Array]:
    """The reduction that PyG calls `name`: `"add"`, `"sum"`, `"mean"`, `"max"` or `"min"`.

    The error for another name blames `argument`.
    """
    if name not in _AGGREGATIONS:
        expected = ", ".join(repr(option) for option in get_args(Aggregation))
        raise ValueError(f"{argument} must be one of {expected}, got {name!r}")
    return _AGGREGATIONS[name]


_AGGREGATIONS = {
    "add": segment_sum,
    "sum": segment_sum,
    "mean": segment_mean,
    "max": segment_max,
    "min": segment_min,
}


def _plain_sum(data, index, num_segments):
    return _reduced(_SUM, data, index, num_segments)


_sum = jax.custom_jvp(_plain_sum, nondiff_argnums=(2,))


@_sum.defjvp
def _sum_jvp(num_segments, primals, tangents):
    data, index = primals
    tangent = in_vectors(tangents[0], index < num_segments)
    return _sum(data, index, num_segments), _plain_sum(tangent, index, num_segments)


def _filled_extremum(reduction, data, index, num_segments):
    out = _reduced(reduction, data, index, num_segments)
    filled = _as_column(segment_count(index, num_segments) > 0, out.ndim)
    return jnp.where(filled, out, 0)


_extremum = jax.custom_jvp(_filled_extremum, nondiff_argnums=(0, 3))


def _extremum_jvp(reduction, num_segments, primals, tangents):
    # JAX's own rule needs padding to be masked on the way in, which makes the forward pass four
    # times as slow on a CPU.
    data, index = primals
    tangent, _ = tangents
    out = _extremum(reduction, data, index, num_segments)
    chosen = data == gather(out, index)
    ties = segment_sum(chosen.astype(jnp.int32), index, num_segments)
    total = segment_sum(_widened(jnp.where(chosen, tangent, 0)), index, num_segments)
    share = total / jnp.maximum(ties, 1).astype(total.dtype)
    return out, share.astype(tangent.dtype)


_extremum.defjvp(_extremum_jvp)


def _reduced(reduction, data, index, num_segments):
    """Segments without rows hold the initial value. Rows past the end are dropped."""
    if num_segments == 0:  # JAX cannot take the gradient of that.
        return data[:0]
    copies = _copies(data.shape[0], num_segments)
    if copies == 1:
        return reduction.by_index(data, index, num_segments)
    # Neighbouring rows are often of one segment, and go into different copies of it.
    copy = jnp.arange(data.shape[0], dtype=jnp.int32) % copies
    total = copies * num_segments
    place = jnp.where(index < num_segments, copy * num_segments + index, total)
    parts = reduction.by_index(data, place, total)
    return reduction.over_axis(parts.reshape(copies, num_segments, *data.shape[1:]), 0)


def _copies(num_rows, num_segments):
    """The number of copies of each segment that keeps the threads of a GPU from waiting."""
    if jax.default_backend() != "gpu":
        return 1
    return max(min(_APART, num_rows // _ROWS_APART) // num_segments, 1)


def _widened(data):
    return data.astype(wide_dtype(data.dtype))


def _as_column(vector, ndim):
    return vector.reshape(vector.shape + (1,) * (ndim - 1))
