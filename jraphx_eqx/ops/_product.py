import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Num

from ._dtype import wide_dtype
from ._gather import gather
from ._segment import segment_sum


def segment_mul(
    data: Num[Array, "rows *features"], index: Int[Array, " rows"], num_segments: int
) -> Num[Array, "segments *features"]:
    """Product of the rows that share an index.

    As [`segment_sum`][jraphx_eqx.ops.segment_sum]. Empty segments are 1. The gradient is right
    where there are zeros: that of a row is the product of the others.
    """
    mask = (index < num_segments).reshape(-1, *[1] * (data.ndim - 1))
    data = jnp.where(mask, data, 1)
    return _product(data.astype(wide_dtype(data.dtype)), index, num_segments).astype(data.dtype)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _product(data, index, num_segments):
    if num_segments == 0:
        return data[:0]
    return jax.ops.segment_prod(data, index, num_segments)


@_product.defjvp
def _product_jvp(num_segments, primals, tangents):
    # JAX has no gradient of a scatter that multiplies.
    data, index = primals
    is_zero = data == 0
    own = is_zero.astype(jnp.int32)
    zeros = gather(segment_sum(own, index, num_segments), index)
    divisor = jnp.where(is_zero, 1, data)
    without_zeros = gather(_product(divisor, index, num_segments), index)
    others = jnp.where(zeros == own, without_zeros / divisor, 0)
    out = _product(data, index, num_segments)
    return out, segment_sum(tangents[0] * others, index, num_segments)
