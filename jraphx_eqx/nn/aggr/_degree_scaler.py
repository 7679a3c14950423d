from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..._twin import Option, part, twin
from ...data import BatchVector
from ...ops import segment_count
from .._check import check_dtype
from ._aggregation import AbstractAggregation
from ._resolver import aggregation_resolver

_SCALERS = ("identity", "amplification", "attenuation", "linear", "inverse_linear")


class DegreeScalerAggregation(AbstractAggregation):
    r"""An aggregation, times functions of the number $d$ of rows, side by side.

    With the means $\delta$ of $\log(d + 1)$ and $\bar{d}$ of $d$ in the training set, the factor is
    $\log(d + 1) / \delta$ for `"amplification"`, $\delta / \log(d + 1)$ for `"attenuation"`,
    $d / \bar{d}$ for `"linear"`, $\bar{d} / d$ for `"inverse_linear"`, and 1 for `"identity"`.
    Divisors are those of $d = 1$ where there are no rows.

    Equal to `torch_geometric.nn.aggr.DegreeScalerAggregation`. Its parameters are those of `aggr`,
    and `avg_deg_lin` and `avg_deg_log`, which are learnt with `train_norm` only.

    ??? cite

        [Principal Neighbourhood Aggregation for Graph Nets](https://arxiv.org/abs/2004.05718),
        Corso et al., 2020
    """

    aggr: AbstractAggregation
    avg_deg_lin: Float[Array, " 1"]
    avg_deg_log: Float[Array, " 1"]
    scaler: tuple[str, ...] = eqx.field(static=True)
    train_norm: bool = eqx.field(static=True)

    def __init__(
        self,
        aggr: AbstractAggregation | str | Sequence[AbstractAggregation | str],
        scaler: str | Sequence[str],
        deg: Int[Array, " degrees"] | Int[np.ndarray, " degrees"],
        train_norm: bool = False,
        aggr_kwargs: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        *,
        dtype: DTypeLike | None = None,
    ):
        """**Arguments:**

        - `aggr`: an aggregation, PyG's name of one, or a list of either.
        - `scaler`: names of functions, one or several.
        - `deg`: how many nodes of the training set have in-degree 0, 1, 2, ...
        - `train_norm`: whether the two means are learnt.
        - `aggr_kwargs`: the options of an `aggr` that is a name, or of each in a list.
        - `dtype`: of the means. Default: JAX's default float dtype.

        **Raises:** `ValueError` for an unknown name.
        """
        scaler = (scaler,) if isinstance(scaler, str) else tuple(scaler)
        for name in scaler or ("",):
            if name not in _SCALERS:
                expected = ", ".join(map(repr, _SCALERS))
                raise ValueError(f"scaler must hold some of {expected}, got {scaler!r}")
        if isinstance(aggr, AbstractAggregation | str):
            options = aggr_kwargs if isinstance(aggr_kwargs, Mapping) else {}
            self.aggr = aggregation_resolver(aggr, **options)
        else:
            self.aggr = aggregation_resolver(aggr, aggr_kwargs)
        dtype = jnp.result_type(float) if dtype is None else dtype
        counts = np.asarray(deg, np.float64)
        degrees = np.arange(len(counts))
        self.avg_deg_lin = jnp.full(1, degrees @ counts / counts.sum(), dtype)
        self.avg_deg_log = jnp.full(1, np.log(degrees + 1) @ counts / counts.sum(), dtype)
        self.scaler = scaler
        self.train_norm = train_norm

    @property
    def untrained(self) -> tuple[str, ...]:
        """The two means, without `train_norm`; see [`trainable`][jraphx_eqx.nn.trainable]."""
        return () if self.train_norm else ("avg_deg_lin", "avg_deg_log")

    @property
    def takes_rows(self) -> bool:
        """Whether the aggregation does."""
        return self.aggr.takes_rows

    def aggregate(
        self,
        x: Float[Array, "rows features"],
        batch: BatchVector,
        *,
        max_rows: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "segments out_features"]:
        """See [`AbstractAggregation`][jraphx_eqx.nn.aggr.AbstractAggregation]."""
        check_dtype(x, self.avg_deg_lin.dtype, "x")
        out = self.aggr.aggregate(x, batch, max_rows=max_rows, key=key)
        degree = segment_count(batch.index, batch.num_graphs).astype(out.dtype)
        factors = [self._factor(name, degree) for name in self.scaler]
        return jnp.concatenate([out * factor[:, None] for factor in factors], axis=-1)

    def _factor(self, name, degree):
        means = self.avg_deg_lin, self.avg_deg_log
        linear, log = means if self.train_norm else map(jax.lax.stop_gradient, means)
        at_least_one = jnp.maximum(degree, 1)
        if name == "amplification":
            return jnp.log(degree + 1) / log
        if name == "attenuation":
            return log / jnp.log(at_least_one + 1)
        if name == "linear":
            return degree / linear
        return linear / at_least_one if name == "inverse_linear" else jnp.ones_like(degree)


# For twins: the means of degrees come with the weights.
ONE_NODE = np.asarray((0, 1))

twin(
    DegreeScalerAggregation,
    "torch_geometric.nn.aggr.DegreeScalerAggregation",
    part("aggr"),
    Option("scaler", write=list),
    Option("train_norm", theirs_at="avg_deg_lin", kind="trained"),
    fixed={"deg": ONE_NODE},
)
