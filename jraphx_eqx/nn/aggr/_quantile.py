from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import Option, twin
from ...data import BatchVector
from ...ops import gather, wide_dtype
from ...ops._order import ascending_order
from ._aggregation import AbstractAggregation, check_matrix

_INTERPOLATIONS = ("linear", "lower", "higher", "nearest", "midpoint")


class QuantileAggregation(AbstractAggregation):
    r"""The $q$-th quantile of each feature: of its sorted values that at place $q \cdot (n - 1)$.

    Several quantiles come one after the other, for all features each.

    Equal to `torch_geometric.nn.QuantileAggregation`, with its buffer `q`, except for three things.
    PyG computes the place in the whole batch, in float32, so that it is less exact the later a
    graph comes; here it is that in the graph, in the dtype of `x`. For the same reason its
    `"nearest"` of two that are as near is one or the other; here it is the one at the even place.
    And it raises an error where the first graph has no rows.

    Only the values that are taken get a gradient; the first of equal ones does.
    """

    q: Float[Array, "quantiles 1"]
    interpolation: str = eqx.field(static=True)
    fill_value: float = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        q: float | int | Sequence[float | int],
        interpolation: str = "linear",
        fill_value: float | int = 0.0,
        *,
        dtype: DTypeLike | None = None,
    ):
        r"""**Arguments:**

        - `q`: one or several numbers in [0, 1].
        - `interpolation`: what to take between two places: `"linear"`, `"lower"`, `"higher"`,
            `"nearest"` or `"midpoint"`.
        - `fill_value`: the result where there are no rows.
        - `dtype`: of `q`. Default: JAX's default float dtype.

        **Raises:** `ValueError` for no `q`, one outside [0, 1], and an unknown `interpolation`.
        """
        self.q = _checked_quantiles(q, dtype)
        if interpolation not in _INTERPOLATIONS:
            expected = ", ".join(map(repr, _INTERPOLATIONS))
            raise ValueError(f"interpolation must be one of {expected}, got {interpolation!r}")
        self.interpolation = interpolation
        self.fill_value = float(fill_value)

    @property
    def untrained(self) -> tuple[str, ...]:
        """`("q",)`; see [`trainable`][jraphx_eqx.nn.trainable]."""
        return ("q",)

    def aggregate(
        self,
        x: Float[Array, "rows features"],
        batch: BatchVector,
        *,
        max_rows: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "segments all_features"]:
        """See [`AbstractAggregation`][jraphx_eqx.nn.aggr.AbstractAggregation]."""
        return _quantiles(x, batch, self.q, self.interpolation, self.fill_value)


class MedianAggregation(AbstractAggregation):
    r"""The median of each feature, of an even number the lower one of the two in the middle.

    Equal to `torch_geometric.nn.MedianAggregation`, with its buffer `q`. PyG raises an error where
    the first graph has no rows.
    """

    q: Float[Array, "1 1"]
    fill_value: float = eqx.field(static=True)

    @python_numbers
    def __init__(self, fill_value: float | int = 0.0, *, dtype: DTypeLike | None = None):
        """**Arguments:**

        - `fill_value`: the result where there are no rows.
        - `dtype`: of `q`. Default: JAX's default float dtype.
        """
        self.q = _checked_quantiles(0.5, dtype)
        self.fill_value = float(fill_value)

    @property
    def untrained(self) -> tuple[str, ...]:
        """`("q",)`; see [`trainable`][jraphx_eqx.nn.trainable]."""
        return ("q",)

    def aggregate(
        self,
        x: Float[Array, "rows features"],
        batch: BatchVector,
        *,
        max_rows: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "segments features"]:
        """See [`AbstractAggregation`][jraphx_eqx.nn.aggr.AbstractAggregation]."""
        return _quantiles(x, batch, self.q, "lower", self.fill_value)


def _quantiles(x, batch, q, interpolation, fill_value):
    check_matrix(x)
    order = jax.vmap(lambda column: ascending_order(column, batch), 1, 1)(x)
    counts = batch.counts
    first = jnp.cumsum(counts) - counts
    q = jax.lax.stop_gradient(q).astype(wide_dtype(x.dtype))[:, 0]
    last = jnp.maximum(counts - 1, 0).astype(q.dtype)
    place = q[None] * last[:, None]

    def taken(place):
        """The values at these places of each graph, for each feature."""
        row = first[:, None] + place.astype(first.dtype)
        # A graph without rows reads those of another, or nothing, and is filled below.
        row = gather(order, row, fill_value=x.shape[0])
        column = jnp.arange(x.shape[1])[None, None]
        return x.at[row, column].get(mode="fill", fill_value=0)

    if interpolation == "lower":
        out = taken(jnp.floor(place))
    elif interpolation == "higher":
        out = taken(jnp.ceil(place))
    elif interpolation == "nearest":
        out = taken(jnp.round(place))
    else:
        left, right = taken(jnp.floor(place)), taken(jnp.ceil(place))
        fraction = (place - jnp.floor(place)).astype(x.dtype)[:, :, None]
        out = 0.5 * left + 0.5 * right
        if interpolation == "linear":
            out = left + (right - left) * fraction
    out = jnp.where((counts > 0)[:, None, None], out, fill_value)
    return out.reshape(batch.num_graphs, q.shape[0] * x.shape[1])


def _checked_quantiles(q, dtype):
    quantiles = np.asarray(q, np.float64).reshape(-1, 1)
    if not quantiles.size:
        raise ValueError("q must hold at least one number, got none")
    if not np.all((quantiles >= 0) & (quantiles <= 1)):
        raise ValueError(f"q must be in [0, 1], got {q}")
    return jnp.asarray(quantiles, jnp.result_type(float) if dtype is None else dtype)


twin(
    QuantileAggregation,
    "torch_geometric.nn.aggr.QuantileAggregation",
    Option("q", read=lambda q: q.flatten().tolist(), write=lambda q: q[:, 0].tolist()),
    "interpolation",
    "fill_value",
)
twin(MedianAggregation, "torch_geometric.nn.aggr.MedianAggregation", "fill_value")
