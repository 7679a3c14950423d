import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._dtype import wide_dtype


def near_one(vector: Float[Array, " features"]) -> Float[Array, " features"]:
    """`vector` divided by the power of two next to its largest entry.

    That is exact, so whatever does not depend on the length of a vector stays the same bit by bit,
    but no square of an entry overflows or vanishes. A vector of zeros becomes NaN.
    """
    wide = jax.lax.stop_gradient(vector).astype(wide_dtype(vector.dtype))
    limits = jnp.finfo(wide.dtype)
    power = jax.lax.reduce_precision(jnp.max(jnp.abs(wide)), limits.nexp, 0)
    power = jnp.minimum(power, 2.0 ** (limits.maxexp - 1))
    return (vector.astype(wide.dtype) / power).astype(vector.dtype)


def length(vector: Float[Array, " features"]) -> Float[Array, ""]:
    """The Euclidean norm. Half precision is squared and added in float32."""
    wide = vector.astype(wide_dtype(vector.dtype))
    return jnp.sqrt(jnp.sum(wide**2)).astype(vector.dtype)
