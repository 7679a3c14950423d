import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..ops import wide_dtype
from ._picklable import picklable


def activation(nonlinearity: object, argument: str = "nonlinearity") -> Callable[..., Any]:
    """The function behind `nonlinearity`: a callable itself, or one of PyG's names. `argument` is
    what errors call it.

    Names are those of `torch.nn`'s activations, with torch's defaults; upper case, `_`, `-` and
    spaces make no difference. Values and gradients are torch's, at the kinks too, where some of
    JAX's own functions take another subgradient, and where a formula loses digits: `gelu` is 0
    below -5.6 in float32. One slope differs: that of `hardsigmoid` in
    float64 is 1/6 here, and 1/6 as rounded to float32 in torch 2.13.

    **Raises:** `ValueError` for an unknown name, for an activation that takes parameters, is random
    or mixes nodes, and for anything that is neither a string nor a callable.
    """
    if isinstance(nonlinearity, str):
        return _by_name(nonlinearity, argument)
    if isinstance(nonlinearity, type):
        raise ValueError(
            f"{argument} must be a name or a function, got the class {nonlinearity.__name__}; "
            "pass an instance of it"
        )
    if not callable(nonlinearity):
        raise ValueError(
            f"{argument} must be a name or a callable, got {nonlinearity!r}; "
            "for none at all pass 'identity'"
        )
    return picklable(nonlinearity)


def leaky_relu(x: Float[Array, "..."], negative_slope: float | int = 0.01) -> Float[Array, "..."]:
    """`x` where positive, else `negative_slope * x`. As in torch, the slope at 0 is the negative
    one; `jax.nn.leaky_relu` has 1 there."""
    return jnp.where(x > 0, x, negative_slope * x)


def tanh(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """As in torch, right to half a unit in the last place near 1, and exactly 1 where the value
    rounds to 1. XLA's own is up to 4.5 units off in float32 and reaches 1 too early, and in float64
    too late: scores of trained networks would tie that do not tie in PyG, and vice versa.
    """
    return _tanh(x)


@jax.custom_jvp
def _tanh(x):
    size = jnp.abs(x)
    return jnp.where(size < 1, jnp.tanh(x), jnp.sign(x) * (1 - 2 / (jnp.exp(2 * size) + 1)))


@_tanh.defjvp
def _tanh_jvp(primals, tangents):
    out = _tanh(*primals)
    return out, tangents[0] * (1 + out) * (1 - out)


def _by_name(name, argument):
    plain = name.lower().translate(str.maketrans("", "", "_- "))
    if plain in _ACTIVATIONS:
        return _ACTIVATIONS[plain]
    if plain in _REFUSED:
        raise ValueError(
            f"{argument} {name!r} {_REFUSED[plain]}; if that is what you want, pass a callable"
        )
    expected = ", ".join(repr(known) for known in _ACTIVATIONS)
    raise ValueError(f"{argument} must be a callable or one of {expected}, got {name!r}")


def _identity(x):
    return x


def _clipped(x, low, high):
    # The constants at the ends, so that the gradient there is 0; `jnp.clip` has 1.
    return jnp.where(x <= low, low, jnp.where(x >= high, high, x))


def _relu6(x):
    return _clipped(x, 0, 6)


def _hardtanh(x):
    return _clipped(x, -1, 1)


def _hardsigmoid(x):
    return jnp.where(x <= -3, 0, jnp.where(x >= 3, 1, x / 6 + 0.5))


def _hardswish(x):
    return jnp.where(x <= -3, 0, jnp.where(x >= 3, x, x * (x + 3) / 6))


def _softplus(x):
    # torch is the identity from 20 on, which in float64 is not the same number.
    return jnp.where(x > 20, x, jnp.log1p(jnp.exp(jnp.where(x > 20, 0, x))))


def _hardshrink(x):
    return jnp.where((x >= -0.5) & (x <= 0.5), 0, x)


def _softshrink(x):
    return jnp.where(x > 0.5, x - 0.5, jnp.where(x < -0.5, x + 0.5, 0 * x))


def gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """As torch computes it, in float32 at least: 0 below -5.6 there. `jax.nn.gelu` is nearer to the
    truth, but a pooling would keep other nodes than PyG's."""
    wide = x.astype(wide_dtype(x.dtype))
    return (0.5 * wide * (1 + jax.lax.erf(math.sqrt(0.5) * wide))).astype(x.dtype)


def _tanhshrink(x):
    return x - tanh(x)


_ACTIVATIONS = {
    "celu": picklable(jax.nn.celu),
    "elu": picklable(jax.nn.elu),
    "gelu": gelu,
    "hardshrink": _hardshrink,
    "hardsigmoid": _hardsigmoid,
    "hardswish": _hardswish,
    "hardtanh": _hardtanh,
    "identity": _identity,
    "leakyrelu": leaky_relu,
    "logsigmoid": picklable(jax.nn.log_sigmoid),
    "mish": picklable(jax.nn.mish),
    "relu": picklable(jax.nn.relu),
    "relu6": _relu6,
    "selu": picklable(jax.nn.selu),
    "sigmoid": picklable(jax.nn.sigmoid),
    "silu": picklable(jax.nn.silu),
    "softplus": _softplus,
    "softshrink": _softshrink,
    "softsign": picklable(jax.nn.soft_sign),
    "swish": picklable(jax.nn.silu),
    "tanh": tanh,
    "tanhshrink": _tanhshrink,
}

_MIXES = "mixes all nodes, of different graphs too"
_REFUSED = {
    "glu": "halves the features",
    "logsoftmax": _MIXES,
    "multiheadattention": "has parameters",
    "prelu": "has parameters, which a name cannot hold",
    "rrelu": "is random",
    "softmax": _MIXES,
    "softmax2d": _MIXES,
    "softmin": _MIXES,
    "threshold": "needs a threshold and a value",
}
