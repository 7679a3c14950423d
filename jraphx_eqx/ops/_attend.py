import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ._gather import gather
from ._masked_matmul import mask_rows
from ._segment import segment_max, segment_sum


def segment_attend(
    score: Float[Array, "rows _"],
    x: Float[Array, "rows features"],
    index: Int[Array, " rows"],
    num_segments: int,
) -> Float[Array, "segments features"]:
    """Sum of the rows that share an index, each times the softmax of the scores of these.

    The same as `segment_sum(segment_softmax(score, index, n) * x, index, n)`, but the division is
    by segment, not by row.

    **Arguments:**

    - `score`: one for each row, or one for each feature of each row.
    - `x`: the rows to add.
    - `index`: the segment of each row. An index past the end marks padding: its row may hold
        anything and gets a zero gradient.
    - `num_segments`: the number of segments, static.

    **Returns:** one row for each segment. Empty segments are 0.
    """
    real = index < num_segments
    score, x = mask_rows(score, real), mask_rows(x, real)
    largest = jax.lax.stop_gradient(segment_max(score, index, num_segments))
    weight = jnp.exp(score - gather(largest, index))
    total = segment_sum(weight, index, num_segments)
    # At least 1 where there are rows, so that the 1e-16 that PyG adds would round away.
    return segment_sum(weight * x, index, num_segments) / jnp.where(total == 0, 1, total)
