import math
from typing import Literal

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray


def linear(
    in_features: int,
    out_features: int,
    use_bias: bool = True,
    init: Literal["uniform", "glorot"] = "uniform",
    dtype: np.dtype | type | None = None,
    *,
    key: PRNGKeyArray,
) -> eqx.nn.Linear:
    """Parameters of a linear map, in PyG's layout: `weight` `(out, in)` and `bias` `(out,)`.

    `init="uniform"` draws both from ±1/√in, as Equinox and PyG do by default.
    """
    out = eqx.nn.Linear(in_features, out_features, use_bias, dtype, key=key)
    if init == "glorot":
        weight = glorot(out.weight.shape, out.weight.dtype, key=key)
        out = eqx.tree_at(lambda linear: linear.weight, out, weight)
    return out


def glorot(
    shape: tuple[int, ...], dtype: np.dtype | type | None, *, key: PRNGKeyArray
) -> Float[Array, "..."]:
    """Draws from ±√(6 / (a + b)), where `a` and `b` are the last two entries of `shape`."""
    bound = math.sqrt(6 / (shape[-2] + shape[-1]))
    dtype = jax.numpy.result_type(float) if dtype is None else dtype
    return jax.random.uniform(key, shape, dtype, -bound, bound)


def apply_linear(linear: eqx.nn.Linear, x: Float[Array, "... features"]) -> Float[Array, "..."]:
    """`x @ weight.T + bias`, over any leading axes."""
    return add_bias(x @ linear.weight.T, linear.bias)


def add_bias(
    x: Float[Array, "... features"], bias: Float[Array, " features"] | None
) -> Float[Array, "... features"]:
    """`x + bias`, spelt out for `jax_numpy_rank_promotion="raise"`."""
    return x if bias is None else x + bias.reshape((1,) * (x.ndim - 1) + bias.shape)
