import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Num, Shaped


def varying_zero(dtype: DTypeLike, *arrays: Shaped[Array, "_ ..."]) -> Num[Array, ""]:
    """0, which in `jax.shard_map` may differ from device to device where one of `arrays` may.

    The value that a loop begins with must be of the type that it has later on, and whether it may
    differ is a part of the type there. No release has one name for that, so it comes from a sum
    over no rows.
    """
    nothing = (jnp.sum(jax.lax.stop_gradient(array[:0])).astype(dtype) for array in arrays)
    return sum(nothing, jnp.zeros((), dtype))
