import jax.numpy as jnp
from jaxtyping import Array, Int, Shaped


def gather(
    x: Shaped[Array, "rows ..."], index: Int[Array, "..."], fill_value: int = 0
) -> Shaped[Array, "..."]:
    """Rows of `x`; `fill_value`, with zero gradient, where `index` is past the end."""
    if x.shape[0] == 0:  # which JAX refuses, although every index is past the end
        return jnp.full(index.shape + x.shape[1:], fill_value, x.dtype)
    return x.at[index].get(mode="fill", fill_value=fill_value)
