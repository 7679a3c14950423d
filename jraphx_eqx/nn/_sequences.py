import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from .._number import python_numbers
from ._check import check_last_axis, check_positive
from ._entry import one_program
from ._recurrent import gates_of, gru_parameters, gru_step, lstm_parameters, lstm_step

_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class AbstractRecurrent(eqx.Module):
    """Layers of a recurrent unit, over sequences in the middle axis.

    The arrays have the names that PyTorch gives them, and are entries of `parameters`:
    `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, and the same with `_l1` for the
    second layer, and with `_reverse` at the end for the way back.
    """

    parameters: eqx.AbstractVar[dict[str, Array]]
    in_features: eqx.AbstractVar[int]
    hidden_features: eqx.AbstractVar[int]
    num_layers: eqx.AbstractVar[int]
    bidirectional: eqx.AbstractVar[bool]

    @abc.abstractmethod
    def start(self, shape: tuple[int, ...], dtype: Any) -> tuple[Array, ...]:
        """The state before the first step; the output is its first part."""

    @abc.abstractmethod
    def step(self, from_x: Array, from_h: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        """The next state, of what input and state add to the gates."""

    @one_program
    def __call__(
        self,
        x: Float[Array, "batch steps features"],
        mask: Bool[Array, "batch steps"] | None = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "batch steps out_features"]:
        """**Arguments:**

        - `x`: sequences, shape `(batch, steps, in_features)`.
        - `mask`: which steps are real. The state does not change at the others. All by default.
        - `key`: ignored.

        **Returns:** the output of the last layer at each step, of both directions side by side.
        """
        check_last_axis(x, self.in_features, self.parameters["weight_ih_l0"].dtype)
        x = jnp.swapaxes(x, 0, 1)
        steps = None if mask is None else mask.T[:, :, None]
        for layer in range(self.num_layers):
            there = self._run(x, steps, f"_l{layer}")
            if self.bidirectional:
                back = None if steps is None else steps[::-1]
                back = self._run(x[::-1], back, f"_l{layer}_reverse")[::-1]
                there = jnp.concatenate([there, back], axis=-1)
            x = there
        return jnp.swapaxes(x, 0, 1)

    def advance(
        self, x: Float[Array, "batch features"], states: list[tuple[Array, ...]]
    ) -> list[tuple[Array, ...]]:
        """One step of all layers, in one direction, from their states."""
        new = []
        for layer, state in enumerate(states):
            from_x = self._from("ih", x, f"_l{layer}")
            from_h = self._from("hh", state[0], f"_l{layer}")
            new.append(self.step(from_x, from_h, state))
            x = new[-1][0]
        return new

    def _run(self, x, mask, suffix):
        def step(state, given):
            from_x, mask = given
            new = self.step(from_x, self._from("hh", state[0], suffix), state)
            if mask is not None:
                new = tuple(jnp.where(mask, n, s) for n, s in zip(new, state, strict=True))
            return new, new[0]

        start = self.start((x.shape[1], self.hidden_features), x.dtype)
        # The input of all steps at once: one large product instead of many small ones.
        return jax.lax.scan(step, start, (self._from("ih", x, suffix), mask))[1]

    def _from(self, what, x, suffix):
        """What the input, `"ih"`, or the state, `"hh"`, adds to the gates."""
        weight = self.parameters[f"weight_{what}{suffix}"]
        return gates_of(x, weight, self.parameters.get(f"bias_{what}{suffix}"))


class LSTM(AbstractRecurrent):
    """A long short-term memory over sequences, of one or several layers.

    Equal to `torch.nn.LSTM` with `batch_first=True`, of which it has the parameters, without
    dropout and projections.
    """

    parameters: dict[str, Array]
    in_features: int = eqx.field(static=True)
    hidden_features: int = eqx.field(static=True)
    num_layers: int = eqx.field(static=True)
    bidirectional: bool = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        num_layers: int = 1,
        bias: bool = True,
        bidirectional: bool = False,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_features`, `hidden_features`: the number of features of the input and of the state.
        - `num_layers`: each takes the output of the one before.
        - `bias`: whether to add biases.
        - `bidirectional`: whether to go backwards as well, with parameters of their own.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation, from ±1/√hidden_features.
        """
        sizes = in_features, hidden_features, num_layers, bidirectional
        self.parameters = _drawn(lstm_parameters, *sizes, bias, dtype, key)
        self.in_features, self.hidden_features, self.num_layers, self.bidirectional = sizes

    def start(self, shape: tuple[int, ...], dtype: Any) -> tuple[Array, ...]:
        """Zeros, for the output and the cell."""
        return jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)

    def step(self, from_x: Array, from_h: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        """The formula of [`LSTMCell`][jraphx_eqx.nn.LSTMCell]."""
        return lstm_step(from_x, from_h, state[1])


class GRU(AbstractRecurrent):
    """A gated recurrent unit over sequences, of one or several layers.

    Equal to `torch.nn.GRU` with `batch_first=True`, of which it has the parameters, without
    dropout.
    """

    parameters: dict[str, Array]
    in_features: int = eqx.field(static=True)
    hidden_features: int = eqx.field(static=True)
    num_layers: int = eqx.field(static=True)
    bidirectional: bool = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        num_layers: int = 1,
        bias: bool = True,
        bidirectional: bool = False,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:** as [`LSTM`][jraphx_eqx.nn.LSTM]."""
        sizes = in_features, hidden_features, num_layers, bidirectional
        self.parameters = _drawn(gru_parameters, *sizes, bias, dtype, key)
        self.in_features, self.hidden_features, self.num_layers, self.bidirectional = sizes

    def start(self, shape: tuple[int, ...], dtype: Any) -> tuple[Array, ...]:
        """Zeros."""
        return (jnp.zeros(shape, dtype),)

    def step(self, from_x: Array, from_h: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        """The formula of [`GRUCell`][jraphx_eqx.nn.GRUCell]."""
        return (gru_step(from_x, from_h, state[0]),)


def _drawn(
    draw: Callable[..., list[Any]],
    in_features: int,
    hidden_features: int,
    num_layers: int,
    bidirectional: bool,
    bias: bool,
    dtype: DTypeLike | None,
    key: PRNGKeyArray,
) -> dict[str, Array]:
    check_positive(num_layers=num_layers)
    suffixes = ("", "_reverse") if bidirectional else ("",)
    parameters = {}
    for layer, layer_key in enumerate(jax.random.split(key, num_layers)):
        width = in_features if layer == 0 else hidden_features * len(suffixes)
        keys = jax.random.split(layer_key, len(suffixes))
        for suffix, one in zip(suffixes, keys, strict=True):
            drawn = draw(width, hidden_features, bias, dtype, one)
            named = zip(_NAMES, drawn, strict=True)
            parameters.update({f"{n}_l{layer}{suffix}": a for n, a in named if a is not None})
    return parameters
