import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..data import BatchVector
from ..ops import mask_rows
from ._linear import apply_linear


class AbstractBatchLayer(eqx.Module):
    """A layer on rows of features that knows which graph each row belongs to.

    Containers of such layers ([`Sequential`][jraphx_eqx.nn.Sequential],
    [`MLP`][jraphx_eqx.nn.models.MLP], ...) pass the batch vector on to them, so that padding does
    not count.
    """

    @abc.abstractmethod
    def __call__(
        self,
        x: Float[Array, "nodes features"],
        batch: BatchVector | Int[Array, " nodes"] | None = None,
        *,
        size: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "nodes out_features"]:
        """Rows of padding are zeros in the result, if there is a `batch` to know them by."""


def apply_layer(
    layer: Callable[..., Any],
    x: Any,
    batch: BatchVector | Int[Array, " nodes"] | None = None,
    size: int | None = None,
    key: PRNGKeyArray | None = None,
) -> Any:
    """Calls a layer, passing only those arguments it accepts: modules take a `key`, and those above
    also `batch` and `size`; other callables the features only."""
    if isinstance(layer, AbstractBatchLayer):
        return layer(x, batch, size=size, key=key)
    if isinstance(layer, eqx.nn.Linear):  # which takes one vector
        return apply_linear(layer, x)
    if isinstance(layer, eqx.nn.Dropout):
        return apply_dropout(layer, x, key)
    return layer(x, **key_argument(layer, key))


def key_argument(layer: object, key: PRNGKeyArray | None) -> dict[str, Any]:
    """`key` as an argument by name, for modules; other callables take none."""
    return {"key": key} if isinstance(layer, eqx.Module) else {}


def apply_dropout(
    dropout: eqx.nn.Dropout, x: Float[Array, "..."], key: PRNGKeyArray | None
) -> Float[Array, "..."]:
    """Drops features in training, for which there must be a `key`."""
    if key is None and dropout.p > 0 and not dropout.inference:
        raise ValueError(
            f"key must be given in training with dropout={dropout.p}; for inference use "
            "equinox.nn.inference_mode(model)"
        )
    return dropout(x, key=key)


def split_key(key: PRNGKeyArray | None, num: int) -> list[PRNGKeyArray | None]:
    """`num` keys, or as many times `None`."""
    return [None] * num if key is None else list(jax.random.split(key, num))


def mask_padding(
    x: Float[Array, "nodes features"], batch: BatchVector | None
) -> Float[Array, "nodes features"]:
    """`x` with zeros in rows of padding."""
    return mask_rows(x, None if batch is None else batch.node_mask)
