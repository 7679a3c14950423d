import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Num

# On a CPU, LLVM unrolls XLA's loop over the numbers of a row into single loads and stores before it
# looks for vectors, where they are so many and nothing is done to them that it cannot foresee.
_UNROLLED = 64


def in_vectors(
    rows: Num[Array, "rows *features"], real: Bool[Array, " rows"]
) -> Num[Array, "rows *features"]:
    """The same rows, in a form that is copied fast; those that are not `real` become anything.

    Rows of 64 float32 are multiplied by 1, of which a compiler cannot know that it is 1.
    """
    if rows.shape[1:] != (_UNROLLED,) or rows.dtype != jnp.float32:
        return rows
    if jax.default_backend() != "cpu":
        return rows
    return rows * real[:, None].astype(rows.dtype)
