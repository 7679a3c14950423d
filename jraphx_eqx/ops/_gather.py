import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, Shaped


def gather(
    x: Shaped[Array, "rows ..."], index: Int[Array, "..."], fill_value: int = 0
) -> Shaped[Array, "..."]:
    """Rows of `x`; `fill_value`, with zero gradient, where `index` is past the end."""
    if x.shape[0] == 0:  # which JAX refuses, although every index is past the end
        return jnp.full(index.shape + x.shape[1:], fill_value, x.dtype)
    return x.at[index].get(mode="fill", fill_value=fill_value)


@jax.custom_jvp
def gather_once(
    x: Float[Array, "rows *features"], index: Int[Array, " picked"]
) -> Float[Array, "picked *features"]:
    """Rows of `x`, each at most once; 0 where `index` is past the end.

    As [`gather`][jraphx_eqx.ops.gather], but its gradient is a gather as well. The gradient for
    rows that may repeat has to add them up: zeros, a scatter and a sum instead of one pass.
    """
    return gather(x, index)


@gather_once.defjvp
def _gather_once_jvp(primals, tangents):
    x, index = primals
    out = gather_once(x, index)
    if index.shape[0] == 0:  # The transpose would gather from nothing, which JAX refuses.
        return out, jnp.zeros_like(out)
    # Written as a scatter, whose transpose is the gather.
    place = positions(index, x.shape[0], index.dtype)
    return out, jnp.zeros_like(out).at[place].add(tangents[0], mode="drop")


def positions(index: Int[Array, " picked"], num_rows: int, dtype: DTypeLike) -> Int[Array, " rows"]:
    """Where in `index` each row is; `len(index)` for those that are not in it."""
    num_picked = index.shape[0]
    place = jnp.full(num_rows, num_picked, dtype)
    return place.at[index].set(jnp.arange(num_picked, dtype=dtype), mode="drop")
