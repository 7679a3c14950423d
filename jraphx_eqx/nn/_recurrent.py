import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from .._number import python_numbers
from .._twin import Option, present, twin
from ._check import check_last_axis, check_positive
from ._entry import one_program
from ._linear import add_bias


class GRUCell(eqx.Module):
    r"""One step of a gated recurrent unit.

    $$\begin{aligned}
    \mathbf{r} &= \sigma(\mathbf{W}_{ir} \mathbf{x} + \mathbf{b}_{ir} + \mathbf{W}_{hr} \mathbf{h} +
    \mathbf{b}_{hr}) \\
    \mathbf{z} &= \sigma(\mathbf{W}_{iz} \mathbf{x} + \mathbf{b}_{iz} + \mathbf{W}_{hz} \mathbf{h} +
    \mathbf{b}_{hz}) \\
    \mathbf{n} &= \tanh(\mathbf{W}_{in} \mathbf{x} + \mathbf{b}_{in} + \mathbf{r} \odot
    (\mathbf{W}_{hn} \mathbf{h} + \mathbf{b}_{hn})) \\
    \mathbf{h}' &= (1 - \mathbf{z}) \odot \mathbf{n} + \mathbf{z} \odot \mathbf{h}
    \end{aligned}$$

    Equal to `torch.nn.GRUCell`, of which it has the four parameters: `weight_ih`, `weight_hh`,
    `bias_ih` and `bias_hh`, each with the three gates one after the other. `equinox.nn.GRUCell`
    has one bias less, which is why its weights cannot be exchanged with PyTorch.
    """

    weight_ih: Float[Array, "gates in_features"]
    weight_hh: Float[Array, "gates hidden_features"]
    bias_ih: Float[Array, " gates"] | None
    bias_hh: Float[Array, " gates"] | None
    in_features: int = eqx.field(static=True)
    hidden_features: int = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_features`, `hidden_features`: the number of features of the input and of the state.
        - `bias`: whether to add biases.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation, from ±1/√hidden_features.
        """
        parameters = _parameters(3, in_features, hidden_features, bias, dtype, key)
        self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh = parameters
        self.in_features = in_features
        self.hidden_features = hidden_features

    @one_program
    def __call__(
        self,
        x: Float[Array, "*batch features"],
        hidden: Float[Array, "*batch hidden_features"] | None = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "*batch hidden_features"]:
        """**Arguments:**

        - `x`: the input, shape `(..., in_features)`.
        - `hidden`: the state, shape `(..., hidden_features)`. Zeros by default.
        - `key`: ignored.

        **Returns:** the new state.
        """
        hidden = _checked_state(self, x, hidden, "hidden")
        from_x = gates_of(x, self.weight_ih, self.bias_ih)
        return gru_step(from_x, gates_of(hidden, self.weight_hh, self.bias_hh), hidden)


class LSTMCell(eqx.Module):
    r"""One step of a long short-term memory.

    $$\begin{aligned}
    \mathbf{i}, \mathbf{f}, \mathbf{o} &= \sigma(\mathbf{W}_i \mathbf{x} + \mathbf{b}_i +
    \mathbf{W}_h \mathbf{h} + \mathbf{b}_h), \qquad
    \mathbf{g} = \tanh(\ldots) \\
    \mathbf{c}' &= \mathbf{f} \odot \mathbf{c} + \mathbf{i} \odot \mathbf{g}, \qquad
    \mathbf{h}' = \mathbf{o} \odot \tanh(\mathbf{c}')
    \end{aligned}$$

    Equal to `torch.nn.LSTMCell`, of which it has the four parameters: `weight_ih`, `weight_hh`,
    `bias_ih` and `bias_hh`, each with the four gates i, f, g, o one after the other.
    """

    weight_ih: Float[Array, "gates in_features"]
    weight_hh: Float[Array, "gates hidden_features"]
    bias_ih: Float[Array, " gates"] | None
    bias_hh: Float[Array, " gates"] | None
    in_features: int = eqx.field(static=True)
    hidden_features: int = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:** as [`GRUCell`][jraphx_eqx.nn.GRUCell]."""
        parameters = _parameters(4, in_features, hidden_features, bias, dtype, key)
        self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh = parameters
        self.in_features = in_features
        self.hidden_features = hidden_features

    @one_program
    def __call__(
        self,
        x: Float[Array, "*batch features"],
        state: tuple[Float[Array, "*batch hidden_features"], Float[Array, "*batch hidden_features"]]
        | None = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Float[Array, "*batch hidden_features"], Float[Array, "*batch hidden_features"]]:
        """**Arguments:**

        - `x`: the input, shape `(..., in_features)`.
        - `state`: `(hidden, cell)`, both of shape `(..., hidden_features)`. Zeros by default.
        - `key`: ignored.

        **Returns:** the new `(hidden, cell)`.
        """
        hidden, cell = (None, None) if state is None else state
        hidden = _checked_state(self, x, hidden, "hidden")
        cell = _checked_state(self, x, cell, "cell")
        from_x = gates_of(x, self.weight_ih, self.bias_ih)
        return lstm_step(from_x, gates_of(hidden, self.weight_hh, self.bias_hh), cell)


def gates_of(
    x: Float[Array, "*batch features"],
    weight: Float[Array, "gates features"],
    bias: Float[Array, " gates"] | None,
) -> Float[Array, "*batch gates"]:
    """What the input or the state adds to all gates."""
    return add_bias(x @ weight.T, bias)


def gru_step(
    from_x: Float[Array, "*batch gates"],
    from_h: Float[Array, "*batch gates"],
    hidden: Float[Array, "*batch hidden_features"],
) -> Float[Array, "*batch hidden_features"]:
    """The formula of [`GRUCell`][jraphx_eqx.nn.GRUCell], of what `gates_of` makes of both."""
    gates = zip(jnp.split(from_x, 3, axis=-1), jnp.split(from_h, 3, axis=-1), strict=True)
    (reset_x, reset_h), (update_x, update_h), (new_x, new_h) = gates
    reset = jax.nn.sigmoid(reset_x + reset_h)
    update = jax.nn.sigmoid(update_x + update_h)
    new = jnp.tanh(new_x + reset * new_h)
    return (1 - update) * new + update * hidden


def lstm_step(
    from_x: Float[Array, "*batch gates"],
    from_h: Float[Array, "*batch gates"],
    cell: Float[Array, "*batch hidden_features"],
) -> tuple[Float[Array, "*batch hidden_features"], Float[Array, "*batch hidden_features"]]:
    """The formula of [`LSTMCell`][jraphx_eqx.nn.LSTMCell], of what `gates_of` makes of input and
    state."""
    i, f, g, o = jnp.split(from_x + from_h, 4, axis=-1)
    cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(cell), cell


def lstm_parameters(
    in_features: int,
    hidden_features: int,
    bias: bool,
    dtype: DTypeLike | None,
    key: PRNGKeyArray,
) -> list[Any]:
    """Initial `weight_ih`, `weight_hh`, `bias_ih` and `bias_hh` of an LSTM."""
    return _parameters(4, in_features, hidden_features, bias, dtype, key)


def gru_parameters(
    in_features: int,
    hidden_features: int,
    bias: bool,
    dtype: DTypeLike | None,
    key: PRNGKeyArray,
) -> list[Any]:
    """The same of a GRU."""
    return _parameters(3, in_features, hidden_features, bias, dtype, key)


def _parameters(gates, in_features, hidden_features, bias, dtype, key):
    check_positive(in_features=in_features, hidden_features=hidden_features)
    dtype = jnp.result_type(float) if dtype is None else dtype
    bound, rows = 1 / math.sqrt(hidden_features), gates * hidden_features
    shapes = [(rows, in_features), (rows, hidden_features), (rows,), (rows,)]
    drawn = [
        jax.random.uniform(one, shape, dtype, -bound, bound)
        for one, shape in zip(jax.random.split(key, 4), shapes, strict=True)
    ]
    return drawn if bias else [*drawn[:2], None, None]


def _checked_state(cell, x, state, name):
    check_last_axis(x, cell.in_features, cell.weight_ih.dtype)
    shape = (*x.shape[:-1], cell.hidden_features)
    if state is None:
        return jnp.zeros(shape, x.dtype)
    if state.shape != shape:
        raise ValueError(f"{name} must have shape {shape} for this x, got {state.shape}")
    check_last_axis(state, cell.hidden_features, cell.weight_ih.dtype, name)
    return state


for _cell in (GRUCell, LSTMCell):
    twin(
        _cell,
        f"torch.nn.{_cell.__name__}",
        Option("in_features", "input_size"),
        Option("hidden_features", "hidden_size"),
        present("bias", "bias_ih"),
    )
