import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num, PRNGKeyArray

from ..._twin import Option, twin
from ...data import BatchVector
from ...ops import (
    gather,
    segment_count,
    segment_max,
    segment_mean,
    segment_min,
    segment_mul,
    segment_sum,
)
from ._aggregation import AbstractAggregation


class SumAggregation(AbstractAggregation):
    r"""The sum, $\sum_i \mathbf{x}_i$.

    Equal to `torch_geometric.nn.SumAggregation`. 0 where there are no rows.
    """

    def aggregate(
        self,
        x: Num[Array, "rows *features"],
        batch: BatchVector,
        *,
        max_rows: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Num[Array, "segments *features"]:
        """See [`AbstractAggregation`][jraphx_eqx.nn.aggr.AbstractAggregation]."""
        return segment_sum(x, batch.index, batch.num_graphs)


class MeanAggregation(AbstractAggregation):
    r"""The mean, $\frac{1}{n} \sum_i \mathbf{x}_i$.

    Equal to `torch_geometric.nn.MeanAggregation`. 0 where there are no rows.
    """

    def aggregate(
        self,
        x: Num[Array, "rows *features"],
        batch: BatchVector,
        *,
        max_rows: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Num[Array, "segments *features"]:
        """See [`AbstractAggregation`][jraphx_eqx.nn.aggr.AbstractAggregation]."""
        return segment_mean(x, batch.index, batch.num_graphs)


class MaxAggregation(AbstractAggregation):
    r"""The largest value of each feature, $\max_i \mathbf{x}_i$.

    Equal to `torch_geometric.nn.MaxAggregation`, but a maximum of exactly 0 gets its full gradient.
    Ties share it. 0 where there are no rows.
    """

    def aggregate(
        self,
        x: Num[Array, "rows *features"],
        batch: BatchVector,
        *,
        max_rows: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Num[Array, "segments *features"]:
        """See [`AbstractAggregation`][jraphx_eqx.nn.aggr.AbstractAggregation]."""
        return segment_max(x, batch.index, batch.num_graphs)


class MinAggregation(AbstractAggregation):
    r"""The smallest value of each feature, $\min_i \mathbf{x}_i$.

    Equal to `torch_geometric.nn.MinAggregation`; apart from the minimum as
    [`MaxAggregation`][jraphx_eqx.nn.aggr.MaxAggregation].
    """

    def aggregate(
        self,
        x: Num[Array, "rows *features"],
        batch: BatchVector,
        *,
        max_rows: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Num[Array, "segments *features"]:
        """See [`AbstractAggregation`][jraphx_eqx.nn.aggr.AbstractAggregation]."""
        return segment_min(x, batch.index, batch.num_graphs)


class MulAggregation(AbstractAggregation):
    r"""The product, $\prod_i \mathbf{x}_i$.

    Equal to `torch_geometric.nn.MulAggregation`. 1 where there are no rows.
    """

    def aggregate(
        self,
        x: Num[Array, "rows *features"],
        batch: BatchVector,
        *,
        max_rows: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Num[Array, "segments *features"]:
        """See [`AbstractAggregation`][jraphx_eqx.nn.aggr.AbstractAggregation]."""
        return segment_mul(x, batch.index, batch.num_graphs)


class VarAggregation(AbstractAggregation):
    r"""The variance, $\frac{1}{n} \sum_i (\mathbf{x}_i - \bar{\mathbf{x}})^2$.

    Equal to `torch_geometric.nn.VarAggregation`, which subtracts the square of the mean from the
    mean of the squares, and so loses what is small beside them: the deviations are squared here.
    0 where there are no rows.
    """

    semi_grad: bool = eqx.field(static=True)

    def __init__(self, semi_grad: bool = False):
        """**Arguments:**

        - `semi_grad`: whether the mean of the squares gets no gradient.
        """
        self.semi_grad = semi_grad

    def aggregate(
        self,
        x: Float[Array, "rows *features"],
        batch: BatchVector,
        *,
        max_rows: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "segments *features"]:
        """See [`AbstractAggregation`][jraphx_eqx.nn.aggr.AbstractAggregation]."""
        mean = segment_mean(x, batch.index, batch.num_graphs)
        centred = x - gather(mean, batch.index)
        variance = segment_mean(_squared(centred, batch), batch.index, batch.num_graphs)
        if not self.semi_grad:
            return variance
        square = mean**2
        return jax.lax.stop_gradient(variance + square) - square


class StdAggregation(AbstractAggregation):
    r"""The standard deviation, the root of the variance.

    Equal to `torch_geometric.nn.StdAggregation`: 0, with zero gradient, where the variance is at
    most 1e-5. See [`VarAggregation`][jraphx_eqx.nn.aggr.VarAggregation].
    """

    var_aggr: VarAggregation

    def __init__(self, semi_grad: bool = False):
        """**Arguments:**

        - `semi_grad`: whether the mean of the squares gets no gradient.
        """
        self.var_aggr = VarAggregation(semi_grad)

    def aggregate(
        self,
        x: Float[Array, "rows *features"],
        batch: BatchVector,
        *,
        max_rows: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "segments *features"]:
        """See [`AbstractAggregation`][jraphx_eqx.nn.aggr.AbstractAggregation]."""
        variance = self.var_aggr.aggregate(x, batch)
        root = jnp.sqrt(jnp.where(variance < 1e-5, 1e-5, variance))
        return jnp.where(root > 1e-5**0.5, root, 0)


class VariancePreservingAggregation(AbstractAggregation):
    r"""The sum divided by the root of the number of rows,
    $\frac{1}{\sqrt{n}} \sum_i \mathbf{x}_i$.

    Equal to `torch_geometric.nn.VariancePreservingAggregation`. 0 where there are no rows.

    ??? cite

        [GNN-VPA: A Variance-Preserving Aggregation Strategy for Graph Neural
        Networks](https://arxiv.org/abs/2403.04747), Schneckenreiter et al., 2024
    """

    def aggregate(
        self,
        x: Float[Array, "rows *features"],
        batch: BatchVector,
        *,
        max_rows: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "segments *features"]:
        """See [`AbstractAggregation`][jraphx_eqx.nn.aggr.AbstractAggregation]."""
        total = segment_sum(x, batch.index, batch.num_graphs)
        count = jnp.maximum(segment_count(batch.index, batch.num_graphs), 1)
        root = jnp.sqrt(count.astype(x.dtype))
        return total / root.reshape(-1, *[1] * (x.ndim - 1))


def _squared(x, batch):
    """The squares of real rows; those of padding would make NaN of a zero gradient."""
    mask = batch.node_mask.reshape(-1, *[1] * (x.ndim - 1))
    return jnp.where(mask, x, 0) ** 2


for _plain in (
    SumAggregation,
    MeanAggregation,
    MaxAggregation,
    MinAggregation,
    MulAggregation,
    VariancePreservingAggregation,
):
    twin(_plain, f"torch_geometric.nn.aggr.{_plain.__name__}")
twin(VarAggregation, "torch_geometric.nn.aggr.VarAggregation", "semi_grad")
twin(
    StdAggregation,
    "torch_geometric.nn.aggr.StdAggregation",
    Option("semi_grad", at="var_aggr.semi_grad", theirs_at="var_aggr.semi_grad"),
)
