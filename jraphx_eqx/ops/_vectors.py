import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Num

# LLVM unrolls XLA's loop over a row of up to this many numbers into single loads and stores before
# it looks for vectors, unless something is computed with them.
_UNROLLED = 64


def in_vectors(
    rows: Num[Array, "rows *features"], real: Bool[Array, " rows"]
) -> Num[Array, "rows *features"]:
    """The same rows, in a form that a CPU copies quickly.

    Rows that are not `real` have unspecified contents.

    Rows of 64 float32 are multiplied by a 1 that the compiler cannot foresee.
    """
    if rows.shape[1:] != (_UNROLLED,) or rows.dtype != jnp.float32:
        return rows
    if jax.default_backend() != "cpu":
        return rows
    return rows * real[:, None].astype(rows.dtype)
