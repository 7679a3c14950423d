import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from .._number import python_numbers
from .._twin import NoTwin, Option, present, twin
from ..ops import wide_dtype
from ._check import check_last_axis, check_positive
from ._entry import one_program
from ._linear import add_bias


class LayerNorm(eqx.Module):
    r"""Normalises the last axis of each row.

    $$\mathbf{x}' = \frac{\mathbf{x} - \mathrm{E}[\mathbf{x}]}
    {\sqrt{\mathrm{Var}[\mathbf{x}] + \epsilon}} \odot \gamma + \beta$$

    Equal to `torch.nn.LayerNorm`, of which it has the parameters: $\gamma$ is `weight`, $\beta$ is
    `bias`. PyG's layer of the same name is
    [`norm.LayerNorm`][jraphx_eqx.nn.norm.LayerNorm]. Unlike `equinox.nn.LayerNorm` it takes any
    leading axes.
    """

    weight: Float[Array, " features"] | None
    bias: Float[Array, " features"] | None
    in_features: int = eqx.field(static=True)
    eps: float = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        eps: float | int = 1e-5,
        affine: bool = True,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray | None = None,
    ):
        r"""**Arguments:**

        - `in_features`: the length of the last axis.
        - `eps`: $\epsilon$.
        - `affine`: whether there are $\gamma$ and $\beta$.
        - `bias`: whether there is $\beta$, if `affine`.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: ignored; nothing is random.
        """
        check_positive(in_features=in_features)
        dtype = jnp.result_type(float) if dtype is None else dtype
        self.weight = jnp.ones(in_features, dtype) if affine else None
        self.bias = jnp.zeros(in_features, dtype) if affine and bias else None
        self.in_features = in_features
        self.eps = float(eps)

    @one_program
    def __call__(
        self, x: Float[Array, "*batch features"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch features"]:
        """**Arguments:**

        - `x`: shape `(..., in_features)`.
        - `key`: ignored.

        **Returns:** an array like `x`.
        """
        dtype = x.dtype if self.weight is None else self.weight.dtype
        check_last_axis(x, self.in_features, dtype)
        return scale_shift(normalised_rows(x, self.eps), self.weight, self.bias)


def normalised_rows(x: Float[Array, "*batch features"], eps: float) -> Float[Array, "*batch feat"]:
    """Each row with mean 0 and, apart from `eps`, variance 1."""
    wide = x.astype(wide_dtype(x.dtype))
    centred = wide - jnp.mean(wide, axis=-1, keepdims=True)
    variance = jnp.mean(centred**2, axis=-1, keepdims=True)
    return (centred * jax.lax.rsqrt(variance + eps)).astype(x.dtype)


def scale_shift(
    x: Float[Array, "*batch features"],
    weight: Float[Array, " features"] | None,
    bias: Float[Array, " features"] | None,
) -> Float[Array, "*batch features"]:
    """`x * weight + bias`, spelt out for `jax_numpy_rank_promotion="raise"`."""
    if weight is not None:
        x = x * weight.reshape((1,) * (x.ndim - 1) + weight.shape)
    return add_bias(x, bias)


def _only_axis(shape):
    if len(shape) != 1:
        raise NoTwin(f"={tuple(shape)}", "it must be one number")
    return shape[0]


twin(
    LayerNorm,
    "torch.nn.LayerNorm",
    Option("in_features", "normalized_shape", read=_only_axis),
    "eps",
    present("affine", "weight", "elementwise_affine"),
    present("bias"),
)
