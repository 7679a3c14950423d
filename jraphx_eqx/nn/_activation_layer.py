import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from .._number import python_numbers
from .._twin import Option, twin
from ._activation import activation, gelu, leaky_relu
from ._entry import one_program

# Those that take options, under the names of torch.nn's arguments.
_WITH_OPTIONS: dict[str, Callable[..., Any]] = {
    "leakyrelu": leaky_relu,
    "elu": jax.nn.elu,
    "celu": jax.nn.celu,
    "gelu": lambda x, approximate: jax.nn.gelu(x) if approximate == "tanh" else gelu(x),
    "softmax": lambda x, dim: jax.nn.softmax(x, axis=dim),
    "logsoftmax": lambda x, dim: jax.nn.log_softmax(x, axis=dim),
}


class Activation(eqx.Module):
    """An activation function as a layer.

    Values and gradients are those of the module of `torch.nn` with that name and those options.
    """

    name: str = eqx.field(static=True)
    options: tuple[tuple[str, Any], ...] = eqx.field(static=True)

    @python_numbers
    def __init__(self, name: str, **options: Any):
        """**Arguments:**

        - `name`: that of an activation of `torch.nn`; upper case, `_`, `-` and spaces make no
            difference.
        - `options`: those of `"leaky_relu"` (`negative_slope`), `"elu"` and `"celu"` (`alpha`),
            `"gelu"` (`approximate`), `"softmax"` and `"log_softmax"` (`dim`, which must be given,
            and not be 0: the nodes). The others have none.
        """
        plain = name.lower().translate(str.maketrans("", "", "_- "))
        if options or plain in ("softmax", "logsoftmax"):
            _check_options(plain, name, options)
        else:
            activation(plain)
        self.name = plain
        self.options = tuple(sorted(options.items()))

    @property
    def function(self) -> Callable[..., Any]:
        """The function itself."""
        if not self.options:
            return activation(self.name)
        return functools.partial(_WITH_OPTIONS[self.name], **dict(self.options))

    @one_program
    def __call__(
        self, x: Float[Array, "*shape"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*shape"]:
        """**Arguments:**

        - `x`: of any shape.
        - `key`: ignored.

        **Returns:** an array like `x`.
        """
        return self.function(x)


class PReLU(eqx.Module):
    """`x` where positive, else `weight * x`, with a learnable slope for all features or for each.

    Equal to `torch.nn.PReLU`, of which it has the parameter `weight`.
    """

    weight: Float[Array, " slopes"]

    @python_numbers
    def __init__(
        self, num_parameters: int = 1, init: float | int = 0.25, *, dtype: DTypeLike | None = None
    ):
        """**Arguments:**

        - `num_parameters`: 1, or the number of features.
        - `init`: the first slope.
        - `dtype`: of the parameter. Default: JAX's default float dtype.
        """
        dtype = jnp.result_type(float) if dtype is None else dtype
        self.weight = jnp.full(num_parameters, init, dtype)

    @one_program
    def __call__(
        self, x: Float[Array, "*batch features"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch features"]:
        """**Arguments:**

        - `x`: shape `(nodes, features)`.
        - `key`: ignored.

        **Returns:** an array like `x`.
        """
        slope = self.weight.reshape((1,) * (x.ndim - 1) + self.weight.shape)
        return jnp.where(x > 0, x, slope * x)


def _check_options(plain, name, options):
    allowed = {
        "leakyrelu": "negative_slope",
        "elu": "alpha",
        "celu": "alpha",
        "gelu": "approximate",
        "softmax": "dim",
        "logsoftmax": "dim",
    }
    if plain not in allowed or set(options) != {allowed[plain]}:
        expected = f"be given {allowed[plain]}=" if plain in allowed else "be given no options"
        raise ValueError(f"activation {name!r} must {expected}, got {options}")
    if options.get("dim") == 0:
        raise ValueError(
            f"activation {name!r} along dim=0 mixes all nodes, padding too; use dim=-1"
        )
    if plain == "gelu" and options["approximate"] not in ("none", "tanh"):
        raise ValueError(f"approximate must be 'none' or 'tanh', got {options['approximate']!r}")


twin(PReLU, "torch.nn.PReLU", Option("num_parameters", at="weight", write=len))
