import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from ._varying import varying_zero


def count_at_most(
    ascending: Int[Array, " sorted"], value: Int[Array, " values"]
) -> Int[Array, " values"]:
    """How many entries of `ascending` are at most each `value`, by bisection.

    The same as `jnp.searchsorted(ascending, value, side="right")`, which cannot be mapped by `vmap`
    over arrays that lie on a mesh with explicit axes (jax-ml/jax#36562).
    """
    size = ascending.shape[0]
    if size == 0:
        return jnp.zeros_like(value)
    if size == 1:  # XLA would run the loop as it compiles, if the one entry is a constant.
        return (ascending[0] <= value).astype(value.dtype)

    def halve(_, bounds):
        low, high = bounds
        middle = (low + high) // 2
        above = value < ascending[middle]
        return jnp.where(above, low, middle), jnp.where(above, middle, high)

    zero = varying_zero(value.dtype, ascending, value)
    bounds = jnp.zeros_like(value) + zero, jnp.full_like(value, size) + zero
    # On a GPU each turn of a loop takes longer than all the turns of a program without a loop.
    unroll = jax.default_backend() == "gpu"
    _, high = jax.lax.fori_loop(0, size.bit_length(), halve, bounds, unroll=unroll)
    return jnp.where(value < ascending[0], 0, high)
