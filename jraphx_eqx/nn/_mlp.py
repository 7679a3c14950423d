import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from .._number import python_numbers
from .._twin import Option, part, twin
from ..data import BatchVector
from ..ops import mask_rows
from ._entry import one_program
from ._layer import (
    AbstractBatchLayer,
    apply_dropout,
    apply_layer,
    make_dropout,
    resolve_rows,
    split_key,
)
from ._linear import Linear
from ._parts import make_activation, make_norms


class MLP(AbstractBatchLayer):
    """A multi-layer perceptron: linear maps, each with a norm, an activation and dropout.

    Equal to `torch_geometric.nn.MLP`, whose names it has: `lins.0.weight`, `norms.0.module.weight`.
    """

    lins: list[Linear]
    norms: list[Callable]
    act: Callable | None
    dropouts: list[eqx.nn.Dropout]
    features: tuple[int, ...] = eqx.field(static=True)
    act_first: bool = eqx.field(static=True)
    plain_last: bool = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        features: Sequence[int],
        dropout: float | int | Sequence[float | int] = 0.0,
        act: str | Callable | None = "relu",
        act_first: bool = False,
        act_kwargs: Mapping[str, Any] | None = None,
        norm: str | None = "batch_norm",
        norm_kwargs: Mapping[str, Any] | None = None,
        plain_last: bool = True,
        bias: bool | Sequence[bool] = True,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `features`: the number of features before the first map and after each.
        - `dropout`: the probability in [0, 1) that a feature is dropped in training, for all layers
            but a plain last one, or for each.
        - `act`: the activation, by name or as a callable; `None` for none.
        - `act_first`: whether the activation comes before the norm.
        - `act_kwargs`: options of an activation that is a name.
        - `norm`: `"batch_norm"`, `"graph_norm"`, `"layer_norm"` (those of PyG), or `None`.
        - `norm_kwargs`: options of the norm.
        - `plain_last`: whether the last map has neither norm nor activation.
        - `bias`: whether to add a learnable bias, for all layers or for each.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for an option that is unknown or has the wrong length.
        """
        if len(features) < 2:
            raise ValueError(f"features must hold at least two numbers, got {features}")
        number = len(features) - 1
        if isinstance(dropout, float | int):
            dropout = [dropout] * (number - plain_last) + [0.0] * plain_last
        bias = [bias] * number if isinstance(bias, bool) else bias
        for name, values in {"dropout": dropout, "bias": bias}.items():
            if len(values) != number:
                raise ValueError(f"{name} must be one, or one for each of {number} layers")
        keys = jax.random.split(key, number)
        self.lins = [
            Linear(features[i], features[i + 1], bool(bias[i]), dtype=dtype, key=keys[i])
            for i in range(number)
        ]
        widths = list(features[1:-1] if plain_last else features[1:])
        self.norms = make_norms(norm, norm_kwargs, widths, dtype)
        self.act = make_activation(act, act_kwargs)
        self.dropouts = [make_dropout(p) for p in dropout]
        self.features = tuple(features)
        self.act_first = act_first
        self.plain_last = plain_last

    @one_program
    def __call__(
        self,
        x: Float[Array, "nodes features"],
        batch: BatchVector | Int[Array, " nodes"] | None = None,
        *,
        size: int | None = None,
        node_mask: Bool[Array, " nodes"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "nodes out_features"]:
        """**Arguments:**

        - `x`: node features, shape `(nodes, features[0])`.
        - `batch`: the graph of each node, for norms and padding.
        - `size`: the number of graphs. Needed only for a bare `batch` under tracing.
        - `node_mask`: instead of `batch`, which rows of `x` are nodes; all are of one graph then.
        - `size`: the number of graphs. Needed only for a bare `batch` under tracing.
        - `key`: for dropout. Needed in training if there is any.

        **Returns:** shape `(nodes, features[-1])`, with zeros in rows of padding.
        """
        batch, mask = resolve_rows(batch, x.shape[0], size, node_mask)
        x = mask_rows(x, mask)
        keys = split_key(key, len(self.lins))
        for lin, norm, dropout, one in zip(
            self.lins, self.norms, self.dropouts, keys, strict=False
        ):
            x = lin(x)
            if self.act is not None and self.act_first:
                x = apply_layer(self.act, x)
            x = apply_layer(norm, x, batch, node_mask=node_mask)
            if self.act is not None and not self.act_first:
                x = apply_layer(self.act, x)
            x = apply_dropout(dropout, x, one)
        if self.plain_last:
            x = apply_dropout(self.dropouts[-1], self.lins[-1](x), keys[-1])
        return mask_rows(x, mask)


def takes_batch(module: Any) -> None:
    """Tells a model of PyG whether its norms take a batch vector."""
    forward = (inspect.signature(norm.forward).parameters for norm in module.norms)
    module.supports_norm_batch = any("batch" in parameters for parameters in forward)


twin(
    MLP,
    "torch_geometric.nn.MLP",
    Option("features", "channel_list", write=list),
    Option(
        "dropout",
        at="dropouts",
        read=lambda dropout: [float(p) for p in dropout],
        write=lambda dropouts: [dropout.p for dropout in dropouts],
    ),
    Option("bias", "", theirs_at="lins", read=lambda lins: [lin.bias is not None for lin in lins]),
    part("act"),
    "act_first",
    "plain_last",
    fixed={"norm": None},
    parts=("lins", "norms"),
    inference="dropouts",
    finish=takes_batch,
)
