import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import Option, twin
from ...data import BatchVector
from ...ops import mask_rows, segment_mean, segment_softmax, segment_sum
from ...ops._attend import segment_attend
from .._check import check_dtype
from ._aggregation import AbstractAggregation, check_matrix


class SoftmaxAggregation(AbstractAggregation):
    r"""The sum of the rows, each feature weighted by its softmax.

    $$\sum_i \mathrm{softmax}(t \cdot \mathbf{x})_i \odot \mathbf{x}_i$$

    A mean for $t = 0$, and nearly the maximum for a large $t$.

    Equal to `torch_geometric.nn.SoftmaxAggregation`. Its parameter is `t`, if that is learnt. 0
    where there are no rows.

    ??? cite

        [DeeperGCN: All You Need to Train Deeper GCNs](https://arxiv.org/abs/2006.07739), Li et
        al., 2020
    """

    t: Float[Array, " channels"] | None
    learn: bool = eqx.field(static=True)
    initial_t: float = eqx.field(static=True)
    semi_grad: bool = eqx.field(static=True)
    channels: int = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        t: float | int = 1.0,
        learn: bool = False,
        semi_grad: bool = False,
        channels: int = 1,
        *,
        dtype: DTypeLike | None = None,
    ):
        """**Arguments:**

        - `t`: the initial inverse temperature.
        - `learn`: whether it is learnt.
        - `semi_grad`: whether the weights get no gradient. Not with `learn`.
        - `channels`: 1, or the number of features, to learn one `t` for each.
        - `dtype`: of the parameter. Default: JAX's default float dtype.

        **Raises:** `ValueError` for options that exclude each other.
        """
        if learn and semi_grad:
            raise ValueError("semi_grad must be False where t is learnt")
        self.t = learnt(t, learn, channels, dtype)
        self.learn = learn
        self.initial_t = float(t)
        self.semi_grad = semi_grad
        self.channels = channels

    def aggregate(
        self,
        x: Float[Array, "rows features"],
        batch: BatchVector,
        *,
        max_rows: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "segments features"]:
        """See [`AbstractAggregation`][jraphx_eqx.nn.aggr.AbstractAggregation]."""
        x = mask_rows(_checked(x, self.t), batch.node_mask)
        score = x * (self.initial_t if self.t is None else self.t[None])
        if not self.semi_grad:
            return segment_attend(score, x, batch.index, batch.num_graphs)
        score = jax.lax.stop_gradient(score)
        weight = segment_softmax(score, batch.index, batch.num_graphs)
        return segment_sum(weight * x, batch.index, batch.num_graphs)


class PowerMeanAggregation(AbstractAggregation):
    r"""The power mean, $\left( \frac{1}{n} \sum_i \mathbf{x}_i^p \right)^{1/p}$.

    Features are clamped first, and so is the mean of their powers.

    Equal to `torch_geometric.nn.PowerMeanAggregation`. Its parameter is `p`, if that is learnt. As
    there, `p=1` is the plain mean, of features that are not clamped, unless it is learnt; and where
    there are no rows, the result is `clamp_min ** (1 / p)`, but 0 with the plain mean.

    ??? cite

        [DeeperGCN: All You Need to Train Deeper GCNs](https://arxiv.org/abs/2006.07739), Li et
        al., 2020
    """

    p: Float[Array, " channels"] | None
    learn: bool = eqx.field(static=True)
    initial_p: float = eqx.field(static=True)
    channels: int = eqx.field(static=True)
    clamp_min: float | None = eqx.field(static=True)
    clamp_max: float | None = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        p: float | int = 1.0,
        learn: bool = False,
        channels: int = 1,
        clamp_min: float | int | None = 1e-4,
        clamp_max: float | int | None = 100.0,
        *,
        dtype: DTypeLike | None = None,
    ):
        """**Arguments:**

        - `p`: the initial power.
        - `learn`: whether it is learnt.
        - `channels`: 1, or the number of features, to learn one `p` for each.
        - `clamp_min`, `clamp_max`: the range to clamp to; `None` is no bound. Roots of negative
            numbers are NaN.
        - `dtype`: of the parameter. Default: JAX's default float dtype.

        **Raises:** `ValueError` for several channels that are not learnt.
        """
        self.p = learnt(p, learn, channels, dtype, "p")
        self.learn = learn
        self.initial_p = float(p)
        self.channels = channels
        self.clamp_min = None if clamp_min is None else float(clamp_min)
        self.clamp_max = None if clamp_max is None else float(clamp_max)

    def aggregate(
        self,
        x: Float[Array, "rows features"],
        batch: BatchVector,
        *,
        max_rows: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "segments features"]:
        """See [`AbstractAggregation`][jraphx_eqx.nn.aggr.AbstractAggregation]."""
        x = _checked(x, self.p)
        if self.p is None and self.initial_p == 1:
            return segment_mean(x, batch.index, batch.num_graphs)
        p = jnp.full(1, self.initial_p, x.dtype) if self.p is None else self.p
        # Of 1 in padding, where the gradient of a power is finite.
        x = jnp.where(batch.node_mask[:, None], self._clamped(x), 1)
        is_square = self.p is None and self.initial_p == 2
        power = x * x if is_square else _power(x, p)
        mean = segment_mean(power, batch.index, batch.num_graphs)
        return self._clamped(mean) ** (1 / p)[None]

    def _clamped(self, x):
        # With the gradient of torch's clamp at the bounds, 1.
        if self.clamp_min is not None:
            x = jnp.where(x < self.clamp_min, self.clamp_min, x)
        return x if self.clamp_max is None else jnp.where(x > self.clamp_max, self.clamp_max, x)


@jax.custom_jvp
def _power(
    x: Float[Array, "rows features"], p: Float[Array, " channels"]
) -> Float[Array, "rows features"]:
    return x ** p[None]


@_power.defjvp
def _power_jvp(primals, tangents):
    # The power itself divided by `x`, where JAX takes a second one, which costs most of the time.
    x, p = primals
    out = _power(x, p)
    is_zero = x == 0
    x = jnp.where(is_zero, 1, x)
    slope = jnp.where(is_zero, (p * jnp.zeros_like(p) ** (p - 1))[None], p[None] * out / x)
    return out, slope * tangents[0] + jnp.log(x) * out * tangents[1][None]


def learnt(
    value: float | int, learn: bool, channels: int, dtype: DTypeLike | None, name: str = "t"
) -> Float[Array, " channels"] | None:
    """A parameter for each of `channels`, or `None` where it is not learnt."""
    if not learn and channels != 1:
        raise ValueError(f"channels must be 1 where {name} is not learnt, got {channels}")
    dtype = jnp.result_type(float) if dtype is None else dtype
    return jnp.full(channels, value, dtype) if learn else None


def _checked(x, parameter):
    check_matrix(x)
    if parameter is not None:
        check_dtype(x, parameter.dtype, "x")
        if parameter.shape[0] not in (1, x.shape[1]):
            raise ValueError(
                f"x must have {parameter.shape[0]} features, as given by channels, got {x.shape[1]}"
            )
    return x


twin(
    SoftmaxAggregation,
    "torch_geometric.nn.aggr.SoftmaxAggregation",
    Option("t", at="initial_t", theirs_at="_init_t"),
    "learn",
    "semi_grad",
    "channels",
)
twin(
    PowerMeanAggregation,
    "torch_geometric.nn.aggr.PowerMeanAggregation",
    Option("p", at="initial_p", theirs_at="_init_p"),
    "learn",
    "channels",
    Option("clamp_min", theirs_at="min_value"),
    Option("clamp_max", theirs_at="max_value"),
)
