import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree, Shaped

from ..data import is_traced
from ._varying import varying_zero


def error_if(
    arrays: PyTree[Shaped[Array, "..."]], wrong: Bool[Array, ""], message: str
) -> PyTree[Shaped[Array, "..."]]:
    """`arrays`, as from `equinox.error_if`, and also in `jax.shard_map` with its defaults.

    There Equinox chooses between `arrays`, which may differ from device to device, and what a
    callback returns, which may not, and JAX wants both to be alike. Here it chooses between
    numbers, and the arrays wait for the one that it takes.
    """
    if not is_traced(wrong):
        return eqx.error_if(arrays, wrong, message)
    wrong = eqxi.unvmap_any(wrong)
    zero = varying_zero(jnp.int32, wrong[None])

    def fail():
        # Not a constant, for which Equinox would raise at once.
        true = jax.lax.optimization_barrier(jnp.ones((), bool))
        return eqx.error_if(jnp.zeros((), jnp.int32), true, message) + zero

    fine = jax.lax.cond(wrong, fail, lambda: zero) == 0
    return jax.tree.map(lambda array: jnp.where(fine, array, jnp.zeros_like(array)), arrays)
