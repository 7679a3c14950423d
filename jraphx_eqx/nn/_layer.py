import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..data import BatchVector, resolve_batch
from ._check import check_rows
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
        node_mask: Bool[Array, " nodes"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "nodes out_features"]:
        """Rows of padding are zeros in the result, as marked by `batch` or `node_mask`.

        With `node_mask`, as without either, all nodes are of one graph.
        """


def apply_layer(
    layer: Callable[..., Any],
    x: Any,
    batch: BatchVector | Int[Array, " nodes"] | None = None,
    size: int | None = None,
    node_mask: Bool[Array, " nodes"] | None = None,
    key: PRNGKeyArray | None = None,
) -> Any:
    """Calls a layer, passing only those arguments it accepts: modules take a `key`, and those above
    also what tells graphs and padding; other callables the features only."""
    if isinstance(layer, AbstractBatchLayer):
        return layer(x, batch, size=size, node_mask=node_mask, key=key)
    if isinstance(layer, eqx.nn.Linear):  # which takes one vector
        return apply_linear(layer, x)
    if isinstance(layer, eqx.nn.Dropout):
        return apply_dropout(layer, x, key)
    return layer(x, **key_argument(layer, key))


def key_argument(layer: object, key: PRNGKeyArray | None) -> dict[str, Any]:
    """`key` as an argument by name, for modules; other callables take none."""
    return {"key": key} if isinstance(layer, eqx.Module) else {}


def make_dropout(p: float | int) -> eqx.nn.Dropout:
    """Dropout of a checked probability."""
    if not 0 <= p < 1:
        raise ValueError(f"dropout must be a probability in [0, 1), got {p}")
    return eqx.nn.Dropout(float(p))


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


def resolve_rows(
    batch: BatchVector | Int[Array, " nodes"] | None,
    num_nodes: int,
    size: int | None = None,
    node_mask: Bool[Array, " nodes"] | None = None,
) -> tuple[BatchVector | None, Bool[Array, " nodes"] | None]:
    """Normalises the arguments that mark graphs and padding.

    **Returns:** the batch vector, or `None` where all nodes are of one graph; and which rows are
    nodes, or `None` where all are.
    """
    if batch is None:
        if size not in (None, 1):
            raise ValueError(f"size must be None or 1 without a batch vector, got {size}")
        if node_mask is not None:
            check_rows(node_mask, num_nodes, "node_mask", "nodes")
        return None, node_mask
    if node_mask is not None:
        raise ValueError("node_mask must be None where batch is given, which already marks padding")
    batch = resolve_batch(batch, num_nodes, size)
    return batch, batch.node_mask
