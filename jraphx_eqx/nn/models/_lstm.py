import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from .._entry import one_program
from .._recurrent import gates_of, lstm_parameters, lstm_step


class LSTM(eqx.Module):
    """A bidirectional LSTM of one layer, with the names that `torch.nn.LSTM` gives its parameters.

    It is unrolled: the sequences here are the few layers of a model.
    """

    weight_ih_l0: Float[Array, "gates in_features"]
    weight_hh_l0: Float[Array, "gates hidden_features"]
    bias_ih_l0: Float[Array, " gates"]
    bias_hh_l0: Float[Array, " gates"]
    weight_ih_l0_reverse: Float[Array, "gates in_features"]
    weight_hh_l0_reverse: Float[Array, "gates hidden_features"]
    bias_ih_l0_reverse: Float[Array, " gates"]
    bias_hh_l0_reverse: Float[Array, " gates"]

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        there, back = jax.random.split(key)
        for suffix, one in {"": there, "_reverse": back}.items():
            drawn = lstm_parameters(in_features, hidden_features, True, dtype, one)
            for name, array in zip(_NAMES, drawn, strict=True):
                setattr(self, f"{name}_l0{suffix}", array)

    @one_program
    def __call__(self, x: Float[Array, "nodes steps features"]) -> Float[Array, "nodes steps out"]:
        """The states of both directions side by side, at each step."""
        there = self._run(x, "")
        back = self._run(x[:, ::-1], "_reverse")[:, ::-1]
        return jnp.concatenate([there, back], axis=-1)

    def _run(self, x, suffix):
        weight_ih, weight_hh, bias_ih, bias_hh = (
            getattr(self, f"{name}_l0{suffix}") for name in _NAMES
        )
        hidden = cell = jnp.zeros((x.shape[0], weight_hh.shape[1]), x.dtype)
        from_x, states = gates_of(x, weight_ih, bias_ih), []
        for step in range(x.shape[1]):
            from_h = gates_of(hidden, weight_hh, bias_hh)
            hidden, cell = lstm_step(from_x[:, step], from_h, cell)
            states.append(hidden)
        return jnp.stack(states, axis=1)


_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
