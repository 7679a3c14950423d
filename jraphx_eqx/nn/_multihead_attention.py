import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from .._number import python_numbers
from ._check import check_last_axis, check_positive
from ._entry import one_program
from ._layer import apply_dropout, make_dropout
from ._linear import Linear, add_bias, glorot


class MultiheadAttention(eqx.Module):
    r"""Attention of each query to all keys, in several heads.

    $$\mathrm{softmax}\left(\frac{\mathbf{Q} \mathbf{K}^\top}{\sqrt{d}}\right) \mathbf{V}$$

    of each head, of linear maps of the three inputs; and a linear map of all heads side by side.

    Equal to `torch.nn.MultiheadAttention` with `batch_first=True`, of which it has the parameters:
    `in_proj_weight` and `in_proj_bias`, of all three maps one after the other, and `out_proj`. A
    query without a key attends to nothing, as in PyTorch with `need_weights=False`.
    """

    in_proj_weight: Float[Array, "maps features"]
    in_proj_bias: Float[Array, " maps"] | None
    out_proj: Linear
    dropout: eqx.nn.Dropout
    features: int = eqx.field(static=True)
    heads: int = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        features: int,
        heads: int = 1,
        dropout: float | int = 0.0,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `features`: the number of features of all inputs and of the result.
        - `heads`: the number of heads, which must divide `features`.
        - `dropout`: the probability in [0, 1) that a weight of the softmax is dropped in training.
        - `bias`: whether the maps have biases.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation, as in PyTorch: Glorot's for the first maps, biases are 0.
        """
        check_positive(features=features, heads=heads)
        if features % heads:
            raise ValueError(f"heads must divide the {features} features, got {heads}")
        in_key, out_key = jax.random.split(key)
        self.in_proj_weight = glorot((3 * features, features), dtype, key=in_key)
        self.in_proj_bias = jnp.zeros(3 * features, self.in_proj_weight.dtype) if bias else None
        out = Linear(features, features, bias, dtype=dtype, key=out_key)
        if out.bias is not None:
            out = eqx.tree_at(lambda linear: linear.bias, out, jnp.zeros_like(out.bias))
        self.out_proj = out
        self.dropout = make_dropout(dropout)
        self.features = features
        self.heads = heads

    @one_program
    def __call__(
        self,
        query: Float[Array, "batch queries features"],
        key_: Float[Array, "batch keys features"],
        value: Float[Array, "batch keys features"],
        mask: Bool[Array, "batch keys"] | None = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "batch queries features"]:
        """**Arguments:**

        - `query`, `key_`, `value`: of shapes `(batch, queries, features)` and
            `(batch, keys, features)`.
        - `mask`: which keys are real; PyTorch's `key_padding_mask` is the opposite. All by default.
            The others must be finite.
        - `key`: for dropout. Needed in training if there is any.

        **Returns:** shape `(batch, queries, features)`.
        """
        dtype = self.in_proj_weight.dtype
        for name, x in {"query": query, "key_": key_, "value": value}.items():
            check_last_axis(x, self.features, dtype, name)
        weights = jnp.split(self.in_proj_weight, 3)
        biases = [None] * 3 if self.in_proj_bias is None else jnp.split(self.in_proj_bias, 3)
        q, k, v = (
            add_bias(x @ weight.T, bias).reshape(*x.shape[:2], self.heads, -1)
            for x, weight, bias in zip((query, key_, value), weights, biases, strict=True)
        )
        score = jnp.einsum("bqhf,bkhf->bhqk", q / math.sqrt(q.shape[-1]), k)
        weight = apply_dropout(self.dropout, _softmax(score, mask), key)
        out = jnp.einsum("bhqk,bkhf->bqhf", weight, v)
        return self.out_proj(out.reshape(*query.shape))


def _softmax(score, mask):
    """Zeros where no key is real, and no NaN in the gradient."""
    if mask is None:
        return jax.nn.softmax(score, axis=-1)
    score = jnp.where(mask[:, None, None], score, -jnp.inf)
    largest = jax.lax.stop_gradient(jnp.max(score, axis=-1, keepdims=True, initial=-jnp.inf))
    weight = jnp.exp(score - jnp.where(jnp.isneginf(largest), 0, largest))
    total = jnp.sum(weight, axis=-1, keepdims=True)
    return weight / jnp.where(total == 0, 1, total)
