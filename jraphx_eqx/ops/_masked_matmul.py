import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ._blocks import Blocks

# Rows that XLA masks and multiplies in one pass on a CPU: their vector stays in the first cache.
_BLOCK = 2048


def mask_rows(
    x: Float[Array, "rows features"], mask: Bool[Array, " rows"] | None
) -> Float[Array, "rows features"]:
    """`x` with zeros outside `mask`; `None` masks none."""
    return x if mask is None else jnp.where(mask[:, None], x, 0)


@jax.custom_jvp
def masked_matmul(
    x: Float[Array, "rows features"],
    weight: Float[Array, "features *columns"],
    mask: Bool[Array, " rows"],
) -> Float[Array, "rows *columns"]:
    """`jnp.where(mask[:, None], x, 0) @ weight`, without a copy of `x` for the gradient.

    Rows outside `mask` may hold anything, NaN included, and get a zero gradient. The gradient of
    `weight` is a sum over the rows of `x`, for which a product with 0 would not be enough. XLA
    materialises the masked `x` before it multiplies, unless it gets it block by block, as here on
    a CPU.
    """
    out = x @ weight
    return jnp.where(mask.reshape(mask.shape + (1,) * (out.ndim - 1)), out, 0)


@masked_matmul.defjvp
def _masked_matmul_jvp(primals, tangents):
    x, weight, mask = primals
    x_tangent, weight_tangent, _ = tangents
    out = masked_matmul(x, weight, mask)
    return out, mask_rows(x_tangent, mask) @ weight + _by_block(x, weight_tangent, mask)


def _by_block(x, weight, mask):
    def rows(operands):
        return mask_rows(*operands) @ weight

    blocks = Blocks(rows, (x, mask), x.shape[0], _BLOCK)
    if not blocks.are_worth_it:
        return rows((x, mask))
    _, whole = jax.lax.scan(
        lambda _, number: (None, blocks.rows(number)), None, jnp.arange(blocks.number)
    )
    return jnp.concatenate([whole.reshape(-1, *whole.shape[2:]), blocks.rest()])
