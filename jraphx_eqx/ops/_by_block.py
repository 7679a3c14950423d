from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Num, PyTree, Shaped

from ._dtype import wide_dtype
from ._segment import aggregation, segment_count

# Rows of so many bytes stay in the cache of a core between their making and their use.
_BLOCK_BYTES = 2**20


def segment_reduce_by_block(
    make_rows: Callable[[PyTree[Shaped[Array, "_ ..."]]], Num[Array, "_ ..."]],
    operands: PyTree[Shaped[Array, "rows ..."]],
    index: Int[Array, " rows"],
    num_segments: int,
    aggr: str = "add",
) -> Num[Array, "segments ..."]:
    """`aggregation(aggr)(make_rows(operands), index, num_segments)`, without holding all rows.

    The messages along the edges of a large graph take more memory than all the rest, and most of
    the time goes into fetching it. Here they are made and added block by block, in the same order.
    On another backend than a CPU, for few rows, and for `"max"` and `"min"`, all rows are made at
    once.

    **Arguments:**

    - `make_rows`: makes a row of each entry of the operands, independently of the others. On the
        way back it is called again.
    - `operands`: arrays, or a tree of them, with an entry for each row.
    - `index`: the segment of each row; past the end is padding.
    - `num_segments`: the number of segments, static.
    - `aggr`: `"add"` or `"sum"`, `"mean"`, `"max"`, `"min"`.
    """
    one = jax.eval_shape(make_rows, operands)
    row_bytes = one.dtype.itemsize * max(one.size // max(one.shape[0], 1), 1)
    block = max(_BLOCK_BYTES // row_bytes, 1)
    num_blocks = one.shape[0] // block
    if aggr in ("max", "min") or num_blocks < 2 or jax.default_backend() != "cpu":
        return aggregation(aggr)(make_rows(operands), index, num_segments)

    # Without `checkpoint` the rows would be kept for the way back.
    @jax.checkpoint
    def rows_of(operands, number):
        return make_rows(jax.tree.map(lambda array: _block(array, number, block), operands))

    def step(total, number):
        return _added(total, rows_of(operands, number), _block(index, number, block)), None

    total = jnp.zeros((num_segments, *one.shape[1:]), wide_dtype(one.dtype))
    total, _ = jax.lax.scan(step, total, jnp.arange(num_blocks))
    done = num_blocks * block
    rest = make_rows(jax.tree.map(lambda array: array[done:], operands))
    total = _added(total, rest, index[done:])
    if aggr == "mean":
        count = jnp.maximum(segment_count(index, num_segments), 1).astype(total.dtype)
        total = total / count.reshape(count.shape + (1,) * (total.ndim - 1))
    return total.astype(one.dtype)


def _block(array, number, size):
    return jax.lax.dynamic_slice_in_dim(array, number * size, size)


def _added(total, rows, index):
    return total.at[index].add(rows.astype(total.dtype), mode="drop")
