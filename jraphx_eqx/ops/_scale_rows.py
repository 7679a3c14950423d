import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# On a CPU, XLA of JAX 0.10 materialises a product before reducing it along rows, unless the sum is
# a product with ones, which takes a fifth of the time. In newer releases the sum is the fast form.
_WRITES_PRODUCTS = jax.__version_info__ < (0, 11)


@jax.custom_jvp
def scale_rows(
    x: Float[Array, "rows features"], weight: Float[Array, " rows"]
) -> Float[Array, "rows features"]:
    """`x * weight[:, None]`, without a product of rows in memory for the gradient of `weight`."""
    return x * weight[:, None]


@scale_rows.defjvp
def _scale_rows_jvp(primals, tangents):
    x, weight = primals
    x_tangent, weight_tangent = tangents
    columns = weight_tangent[:, None]
    if _WRITES_PRODUCTS and jax.default_backend() == "cpu":
        ones = jnp.ones((1, x.shape[1]), x.dtype)
        columns = jnp.matmul(columns, ones, precision=jax.lax.Precision.HIGHEST)
    return scale_rows(x, weight), scale_rows(x_tangent, weight) + x * columns
