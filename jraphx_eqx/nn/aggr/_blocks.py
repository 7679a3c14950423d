"""The blocks of set transformers, on sets side by side."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from ..._number import python_numbers
from .._check import check_positive
from .._layer import split_key
from .._layer_norm import LayerNorm
from .._linear import Linear
from .._multihead_attention import MultiheadAttention


class MultiheadAttentionBlock(eqx.Module):
    r"""Attention of the rows of one set to those of another, and a linear map, each added.

    $$\mathrm{MAB}(\mathbf{x}, \mathbf{y}) = \mathrm{norm}(\mathbf{h} +
    \mathrm{relu}(\mathbf{W} \mathbf{h} + \mathbf{b})), \qquad
    \mathbf{h} = \mathrm{norm}(\mathbf{x} + \mathrm{Multihead}(\mathbf{x}, \mathbf{y},
    \mathbf{y}))$$

    Equal to `torch_geometric.nn.aggr.utils.MultiheadAttentionBlock`, with its parameters `attn`,
    `lin`, `layer_norm1` and `layer_norm2`.

    ??? cite

        [Set Transformer](https://arxiv.org/abs/1810.00825), Lee et al., 2018
    """

    attn: MultiheadAttention
    lin: Linear
    layer_norm1: LayerNorm | None
    layer_norm2: LayerNorm | None

    @python_numbers
    def __init__(
        self,
        features: int,
        heads: int = 1,
        layer_norm: bool = True,
        dropout: float | int = 0.0,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `features`: the number of features of a row.
        - `heads`: the number of heads of the attention.
        - `layer_norm`: whether to normalise.
        - `dropout`: of the weights of the attention, in training.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.
        """
        attn_key, lin_key = jax.random.split(key)
        self.attn = MultiheadAttention(features, heads, dropout, dtype=dtype, key=attn_key)
        self.lin = Linear(features, features, dtype=dtype, key=lin_key)
        self.layer_norm1 = LayerNorm(features, dtype=dtype) if layer_norm else None
        self.layer_norm2 = LayerNorm(features, dtype=dtype) if layer_norm else None

    def __call__(
        self,
        x: Float[Array, "sets rows features"],
        y: Float[Array, "sets others features"],
        x_mask: Bool[Array, "sets rows"] | None = None,
        y_mask: Bool[Array, "sets others"] | None = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "sets rows features"]:
        """**Arguments:**

        - `x`, `y`: the rows of both sets; finite also where they are not real.
        - `x_mask`, `y_mask`: which are real. All by default.
        - `key`: for dropout. Needed in training if there is any.

        **Returns:** an array like `x`.
        """
        out = self.attn(x, y, y, y_mask, key=key)
        if x_mask is not None:
            out = jnp.where(x_mask[:, :, None], out, 0)
        out = _normed(self.layer_norm1, out + x)
        return _normed(self.layer_norm2, out + jax.nn.relu(self.lin(out)))


class SetAttentionBlock(eqx.Module):
    """Attention of the rows of a set to each other.

    Equal to `torch_geometric.nn.aggr.utils.SetAttentionBlock`, with its parameters `mab`.
    """

    mab: MultiheadAttentionBlock

    @python_numbers
    def __init__(
        self,
        features: int,
        heads: int = 1,
        layer_norm: bool = True,
        dropout: float | int = 0.0,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:** as
        [`MultiheadAttentionBlock`][jraphx_eqx.nn.aggr.MultiheadAttentionBlock]."""
        options = features, heads, layer_norm, dropout
        self.mab = MultiheadAttentionBlock(*options, dtype=dtype, key=key)

    def __call__(
        self,
        x: Float[Array, "sets rows features"],
        mask: Bool[Array, "sets rows"] | None = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "sets rows features"]:
        """**Arguments:**

        - `x`: the rows of each set; finite also where they are not real.
        - `mask`: which are real. All by default.
        - `key`: for dropout. Needed in training if there is any.

        **Returns:** an array like `x`.
        """
        return self.mab(x, x, mask, mask, key=key)


class InducedSetAttentionBlock(eqx.Module):
    """Attention of the rows of a set to few learnt rows, which attend to the set before.

    Equal to `torch_geometric.nn.aggr.utils.InducedSetAttentionBlock`, with its parameters `ind`,
    `mab1` and `mab2`.
    """

    ind: Float[Array, "1 induced features"]
    mab1: MultiheadAttentionBlock
    mab2: MultiheadAttentionBlock

    @python_numbers
    def __init__(
        self,
        features: int,
        num_induced_points: int,
        heads: int = 1,
        layer_norm: bool = True,
        dropout: float | int = 0.0,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:** as
        [`MultiheadAttentionBlock`][jraphx_eqx.nn.aggr.MultiheadAttentionBlock], and

        - `num_induced_points`: the number of learnt rows.
        """
        keys = jax.random.split(key, 3)
        options = features, heads, layer_norm, dropout
        self.ind = _seeds(num_induced_points, features, dtype, keys[0])
        self.mab1 = MultiheadAttentionBlock(*options, dtype=dtype, key=keys[1])
        self.mab2 = MultiheadAttentionBlock(*options, dtype=dtype, key=keys[2])

    def __call__(
        self,
        x: Float[Array, "sets rows features"],
        mask: Bool[Array, "sets rows"] | None = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "sets rows features"]:
        """As [`SetAttentionBlock`][jraphx_eqx.nn.aggr.SetAttentionBlock]."""
        first, second = split_key(key, 2)
        induced = jnp.broadcast_to(self.ind, (x.shape[0], *self.ind.shape[1:]))
        induced = self.mab1(induced, x, y_mask=mask, key=first)
        return self.mab2(x, induced, x_mask=mask, key=second)


class PoolingByMultiheadAttention(eqx.Module):
    """Attention of few learnt rows to those of a set, of which they are the result.

    Equal to `torch_geometric.nn.aggr.utils.PoolingByMultiheadAttention`, with its parameters
    `seed`, `lin` and `mab`.
    """

    lin: Linear
    seed: Float[Array, "1 seeds features"]
    mab: MultiheadAttentionBlock

    @python_numbers
    def __init__(
        self,
        features: int,
        num_seed_points: int = 1,
        heads: int = 1,
        layer_norm: bool = True,
        dropout: float | int = 0.0,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:** as
        [`MultiheadAttentionBlock`][jraphx_eqx.nn.aggr.MultiheadAttentionBlock], and

        - `num_seed_points`: the number of learnt rows.
        """
        keys = jax.random.split(key, 3)
        options = features, heads, layer_norm, dropout
        self.lin = Linear(features, features, dtype=dtype, key=keys[0])
        self.seed = _seeds(num_seed_points, features, dtype, keys[1])
        self.mab = MultiheadAttentionBlock(*options, dtype=dtype, key=keys[2])

    def __call__(
        self,
        x: Float[Array, "sets rows features"],
        mask: Bool[Array, "sets rows"] | None = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "sets seeds features"]:
        """As [`SetAttentionBlock`][jraphx_eqx.nn.aggr.SetAttentionBlock], but it returns shape
        `(sets, num_seed_points, features)`."""
        seed = jnp.broadcast_to(self.seed, (x.shape[0], *self.seed.shape[1:]))
        return self.mab(seed, jax.nn.relu(self.lin(x)), y_mask=mask, key=key)


def _seeds(number, features, dtype, key):
    check_positive(num_points=number)
    dtype = jnp.result_type(float) if dtype is None else dtype
    bound = math.sqrt(6 / ((number + 1) * features))
    return jax.random.uniform(key, (1, number, features), dtype, -bound, bound)


def _normed(norm, x):
    return x if norm is None else norm(x)
