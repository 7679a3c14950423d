"""Poolings by memberships that a perceptron gives, as most of torch-geometric-pool's are."""

from collections.abc import Callable, Sequence

import equinox as eqx
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from ...data import BatchVector
from ...ops import mask_rows
from .._check import check_positive
from .._mlp import MLP
from ._dense import AbstractCutPool


class AbstractMLPPool(AbstractCutPool):
    """A pooling by the softmax of what a perceptron makes of the features of each node."""

    mlp: eqx.AbstractVar[MLP]

    @property
    def dtype(self) -> np.dtype:
        """That of the parameters."""
        return self.mlp.lins[0].weight.dtype

    def logits(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None,
        batch: BatchVector,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "nodes clusters"]:
        """What the perceptron returns."""
        return self.mlp(mask_rows(x, batch.node_mask), key=key)


def make_mlp(
    in_features: int | Sequence[int],
    clusters: int,
    out_features: int,
    act: str | Callable | None,
    dropout: float | int,
    dtype: DTypeLike | None,
    key: PRNGKeyArray,
) -> MLP:
    """The perceptron; `in_features` may hold the numbers of features between its linear maps."""
    widths = [in_features] if isinstance(in_features, int) else list(in_features)
    if not widths:
        raise ValueError("in_features must hold at least one number, got none")
    check_positive(in_features=min(widths), clusters=clusters)
    return MLP([*widths, out_features], dropout, act, norm=None, dtype=dtype, key=key)
