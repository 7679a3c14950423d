import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Num, PyTree, Shaped

from ._blocks import Blocks
from ._dtype import wide_dtype
from ._segment import aggregation, divide_by_count
from ._varying import varying_zero
from ._vectors import in_vectors

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
    On another backend than a CPU, for few rows, for integers, and for `"max"` and `"min"`, all rows
    are made at once.

    **Arguments:**

    - `make_rows`: makes a row of each entry of the operands, independently of the others. On the
        way back it is called again.
    - `operands`: arrays, or a tree of them, with an entry for each row.
    - `index`: the segment of each row; past the end is padding.
    - `num_segments`: the number of segments, static.
    - `aggr`: `"add"` or `"sum"`, `"mean"`, `"max"`, `"min"`.
    """
    shape = jax.eval_shape(make_rows, operands)
    num_rows, *row = shape.shape
    row_bytes = math.prod(row) * shape.dtype.itemsize
    size = max(_BLOCK_BYTES // max(row_bytes, 1), 1)
    blocks = Blocks(_vectorised(make_rows, num_segments), (operands, index), num_rows, size)
    inexact = jnp.issubdtype(shape.dtype, jnp.inexact)
    if aggr in ("max", "min") or not inexact or not blocks.are_worth_it:
        return aggregation(aggr)(make_rows(operands), index, num_segments)

    def step(total, number):
        return _added(total, blocks.rows(number), blocks.part(index, number)), None

    dtype, rest = wide_dtype(shape.dtype), blocks.rest()
    total = jnp.zeros((num_segments, *row), dtype) + varying_zero(dtype, rest, index)
    total, _ = jax.lax.scan(step, total, jnp.arange(blocks.number))
    total = _added(total, rest, blocks.rest_of(index))
    if aggr == "mean":
        total = divide_by_count(total, index, num_segments)
    return total.astype(shape.dtype)


def _vectorised(make_rows, num_segments):
    def made(operands_and_index):
        operands, index = operands_and_index
        return in_vectors(make_rows(operands), index < num_segments)

    return made


def _added(total, rows, index):
    return total.at[index].add(rows.astype(total.dtype), mode="drop")
