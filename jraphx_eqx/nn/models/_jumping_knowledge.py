from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import Option, twin
from .._check import check_last_axis, check_positive
from .._entry import one_program
from .._linear import Linear
from ._lstm import LSTM


class JumpingKnowledge(eqx.Module):
    r"""Combines the outputs of the layers of a model, for each node.

    `"cat"` puts the layers side by side, `"max"` takes the largest of each feature, and `"lstm"`
    adds them up with weights that are a softmax over the layers of the scores of a bidirectional
    LSTM.

    Equal to `torch_geometric.nn.JumpingKnowledge`. Its parameters, with `"lstm"`, are `lstm` and
    `att`. As there, the gradient of a maximum goes to the first of equal layers.

    ??? cite

        [Representation Learning on Graphs with Jumping Knowledge
        Networks](https://arxiv.org/abs/1806.03536), Xu et al., 2018
    """

    lstm: LSTM | None
    att: Linear | None
    mode: str = eqx.field(static=True)
    in_features: int | None = eqx.field(static=True)
    num_layers: int | None = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        mode: str,
        in_features: int | None = None,
        num_layers: int | None = None,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray | None = None,
    ):
        """**Arguments:**

        - `mode`: `"cat"`, `"max"` or `"lstm"`.
        - `in_features`: the number of features of each layer. Needed with `"lstm"` only.
        - `num_layers`: the number of layers. Needed with `"lstm"` only.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation. Needed with `"lstm"` only.
        """
        if mode not in ("cat", "max", "lstm"):
            raise ValueError(f"mode must be 'cat', 'max' or 'lstm', got {mode!r}")
        self.lstm = self.att = self.in_features = self.num_layers = None
        if mode == "lstm":
            if in_features is None or num_layers is None or key is None:
                raise ValueError("mode='lstm' needs in_features, num_layers and key")
            check_positive(in_features=in_features, num_layers=num_layers)
            hidden = num_layers * in_features // 2
            lstm_key, att_key = jax.random.split(key)
            self.lstm = LSTM(in_features, hidden, dtype=dtype, key=lstm_key)
            self.att = Linear(2 * hidden, 1, dtype=dtype, key=att_key)
            self.in_features, self.num_layers = in_features, num_layers
        self.mode = mode

    @one_program
    def __call__(
        self, xs: Sequence[Float[Array, "nodes _"]], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "nodes out_features"]:
        """**Arguments:**

        - `xs`: what each layer returns, of shapes `(nodes, features)`, which must be the same but
            with `"cat"`.
        - `key`: ignored.

        **Returns:** shape `(nodes, out_features)`.
        """
        if not xs:
            raise ValueError("xs must hold what at least one layer returns")
        if self.mode == "cat":
            return jnp.concatenate(xs, axis=-1)
        if self.mode == "max":
            stacked = jnp.stack(xs, axis=-1)
            first = jnp.argmax(stacked, axis=-1, keepdims=True)
            return jnp.take_along_axis(stacked, first, axis=-1)[..., 0]
        assert self.lstm is not None and self.att is not None and self.in_features is not None
        if len(xs) != self.num_layers:
            raise ValueError(f"xs must hold {self.num_layers} layers, got {len(xs)}")
        for x in xs:
            check_last_axis(x, self.in_features, self.att.weight.dtype, "each of xs")
        stacked = jnp.stack(xs, axis=1)
        weight = jax.nn.softmax(self.att(self.lstm(stacked)), axis=1)
        return jnp.sum(stacked * weight, axis=1)


twin(
    JumpingKnowledge,
    "torch_geometric.nn.JumpingKnowledge",
    "mode",
    Option("in_features", "channels"),
    "num_layers",
)
