import math
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from .._number import python_numbers
from .._twin import Option, present, twin
from ..ops import masked_matmul
from ._check import check_last_axis, check_positive
from ._entry import one_program


class Linear(eqx.Module):
    r"""The linear map $\mathbf{x} \mathbf{W}^\top + \mathbf{b}$ of the last axis.

    Equal to `torch.nn.Linear` and `torch_geometric.nn.Linear`, of which it has the parameters:
    `weight` of shape `(out_features, in_features)`, and `bias`. Unlike `equinox.nn.Linear` it takes
    any leading axes.
    """

    weight: Float[Array, "out_features in_features"]
    bias: Float[Array, " out_features"] | None
    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        r"""**Arguments:**

        - `in_features`, `out_features`: the length of the last axis, before and after.
        - `bias`: whether to add $\mathbf{b}$.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation, from ±1/√in_features.
        """
        check_positive(in_features=in_features, out_features=out_features)
        made = linear(in_features, out_features, bias, dtype=dtype, key=key)
        self.weight, self.bias = made.weight, made.bias
        self.in_features = in_features
        self.out_features = out_features

    @one_program
    def __call__(
        self, x: Float[Array, "*batch features"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch out_features"]:
        """**Arguments:**

        - `x`: shape `(..., in_features)`.
        - `key`: ignored.

        **Returns:** shape `(..., out_features)`.
        """
        check_last_axis(x, self.in_features, self.weight.dtype)
        return add_bias(x @ self.weight.T, self.bias)


def linear(
    in_features: int,
    out_features: int,
    use_bias: bool = True,
    init: Literal["uniform", "glorot"] = "uniform",
    dtype: DTypeLike | None = None,
    *,
    key: PRNGKeyArray,
) -> eqx.nn.Linear:
    """The parameters of a linear map, in PyG's layout: `weight` `(out, in)`, `bias` `(out,)`.

    `"uniform"` draws both from ±1/√in, the default of Equinox and PyG; `"glorot"` changes the
    weight to [`glorot`][jraphx_eqx.nn._linear.glorot].
    """
    out = eqx.nn.Linear(in_features, out_features, use_bias, dtype, key=key)
    if init == "glorot":
        weight = glorot(out.weight.shape, dtype, key=key)
        out = eqx.tree_at(lambda linear: linear.weight, out, weight)
    return out


def glorot(
    shape: tuple[int, ...], dtype: DTypeLike | None = None, *, key: PRNGKeyArray
) -> Float[Array, "..."]:
    """Draws from ±√(6 / (a + b)), where `a` and `b` are the last two entries of `shape`."""
    bound = math.sqrt(6 / (shape[-2] + shape[-1]))
    dtype = jnp.result_type(float) if dtype is None else dtype
    return jax.random.uniform(key, shape, dtype, -bound, bound)


def apply_linear(
    linear: eqx.nn.Linear,
    x: Float[Array, "... features"],
    mask: Bool[Array, " rows"] | None = None,
) -> Float[Array, "..."]:
    """`x @ weight.T + bias`, over any leading axes; see `product`."""
    return add_bias(product(linear, x, mask), linear.bias)


def product(
    linear: eqx.nn.Linear,
    x: Float[Array, "... features"],
    mask: Bool[Array, " rows"] | None = None,
) -> Float[Array, "..."]:
    """`x @ weight.T`, without the bias. Rows outside `mask` may hold anything, and count as 0."""
    return x @ linear.weight.T if mask is None else masked_matmul(x, linear.weight.T, mask)


def add_bias(
    x: Float[Array, "... features"], bias: Float[Array, " features"] | None
) -> Float[Array, "... features"]:
    """`x + bias`, spelt out for `jax_numpy_rank_promotion="raise"`."""
    return x if bias is None else x + bias.reshape((1,) * (x.ndim - 1) + bias.shape)


twin(
    Linear,
    ("torch.nn.Linear", "torch_geometric.nn.Linear"),
    Option("in_features", theirs_at=("in_features", "in_channels")),
    Option("out_features", theirs_at=("out_features", "out_channels")),
    present("bias"),
)
