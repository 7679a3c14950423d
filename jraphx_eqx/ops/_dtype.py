import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike


def wide_dtype(dtype: DTypeLike) -> np.dtype:
    """float32 for float16 and bfloat16, in which sums lose too much; other dtypes as they are."""
    # Not `jnp.promote_types`, which refuses float64 under strict promotion.
    dtype = jnp.dtype(dtype)
    return jnp.dtype(jnp.float32) if dtype in (jnp.float16, jnp.bfloat16) else dtype
