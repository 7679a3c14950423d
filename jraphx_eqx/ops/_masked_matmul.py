import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# Rows that XLA masks and multiplies in one pass on a CPU: their vector stays in the first cache.
_BLOCK = 2048


@jax.custom_jvp
def masked_matmul(
    x: Float[Array, "rows features"],
    weight: Float[Array, "features *columns"],
    mask: Bool[Array, " rows"],
) -> Float[Array, "rows *columns"]:
    """`jnp.where(mask[:, None], x, 0) @ weight`, without a copy of `x` for the gradient.

    Rows outside `mask` may hold anything, NaN included, and get a zero gradient. The gradient of
    `weight` is a sum over the rows of `x`, and there a product with 0 would not be enough: XLA
    writes the masked `x` down before it multiplies, unless it gets it block by block.
    """
    return _masked(x, mask) @ weight


@masked_matmul.defjvp
def _masked_matmul_jvp(primals, tangents):
    x, weight, mask = primals
    x_tangent, weight_tangent, _ = tangents
    out = masked_matmul(x, weight, mask)
    return out, _masked(x_tangent, mask) @ weight + _by_block(x, weight_tangent, mask)


def _masked(x, mask):
    return jnp.where(mask[:, None], x, 0)


def _by_block(x, weight, mask):
    num_blocks = x.shape[0] // _BLOCK
    if num_blocks < 2:
        return _masked(x, mask) @ weight

    # Without `checkpoint` the masked block would be kept for the way back: the copy again.
    @jax.checkpoint
    def product(x, weight, mask, block):
        rows, kept = (
            jax.lax.dynamic_slice_in_dim(array, block * _BLOCK, _BLOCK) for array in (x, mask)
        )
        return _masked(rows, kept) @ weight

    def step(_, block):
        return None, product(x, weight, mask, block)

    _, whole = jax.lax.scan(step, None, jnp.arange(num_blocks))
    done = num_blocks * _BLOCK
    rest = _masked(x[done:], mask[done:]) @ weight
    return jnp.concatenate([whole.reshape((done, *whole.shape[2:])), rest])
