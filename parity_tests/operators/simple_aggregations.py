"""Aggregations without networks."""

import numpy as np

from jraphx_eqx.nn import aggr as ours
from jraphx_eqx.parity import Config

from .._operator import edits, pick
from ..families import segment
from ..families.aggr import aggr, buffer, of
from ..families.common import WIDTH

BOTH = ("out.x", "d.x")
SEMI = (Config(), Config({"semi_grad": True}))
PADDING = pick(segment.FAULTS, "padding counts to the last graph")
DIVISOR = pick(segment.FAULTS, "mean over all rows", "eps in the count of a mean")
TIES = pick(segment.FAULTS, "every tie gets all of the gradient", "gradient to all rows")


def _positive(name, drawn):
    """Powers above 1, and temperatures of both signs."""
    return 1.25 + np.abs(drawn) / 2 if name == "p" else drawn


def _inside(name, drawn):
    """Quantiles that are at no whole place of a small graph, where rounding decides."""
    return np.asarray(0.37 + 0.21 * np.arange(drawn.size), np.float32).reshape(drawn.shape)


def _median(name, drawn):
    """Small graphs have the same median as with a half, which is at a whole place."""
    return np.full(drawn.shape, 0.52, np.float32)


ATTEND = edits(
    "ops._attend:segment_attend",
    (
        "eps in the sum of weights",
        "jnp.where(total == 0, 1, total)",
        "(total + 1e-9)",
    ),
    ("weights are detached", "weight * x, index", "DETACHED(weight) * x, index"),
)
QUANTILES = (
    *edits(
        "nn.aggr._quantile:_quantiles",
        ("place counts from 1", "jnp.maximum(counts - 1, 0)", "counts"),
        ("nothing is 0", "[:, None, None], out, fill_value)", "[:, None, None], out, 0)"),
        (
            "lower is higher",
            "taken(jnp.floor(place))\n    elif",
            "taken(jnp.ceil(place))\n    elif",
        ),
    ),
    *edits(
        "ops._order:ascending_order",
        ("descends", "~_descending_bits(score)", "_descending_bits(score)"),
    ),
)
INTERPOLATED = edits(
    "nn.aggr._quantile:_quantiles",
    ("between in the middle", "(right - left) * fraction", "(right - left) * 0.5", "q="),
    ("midpoint is the left", "0.5 * left + 0.5 * right", "left", "midpoint"),
    ("fraction backwards", "left + (right - left)", "right + (left - right)", "q="),
)

OPERATORS = (
    aggr(
        ours.SumAggregation,
        *PADDING,
        *pick(segment.FAULTS, "sum in bfloat16", "sum in float32"),
        *of(ours.SumAggregation, ("mean for a sum", "segment_sum", "segment_mean")),
        exact=BOTH,
    ),
    aggr(
        ours.MeanAggregation,
        *PADDING,
        *DIVISOR,
        *pick(segment.FAULTS, "mean of nothing is NaN", "mean in float32"),
    ),
    aggr(
        ours.MaxAggregation,
        *PADDING,
        *TIES,
        *pick(segment.FAULTS, "maximum of nothing is infinite", "maximum starts from 0"),
        exact=("out.x",),
    ),
    aggr(
        ours.MinAggregation,
        *PADDING,
        *TIES,
        *pick(segment.FAULTS, "maximum of nothing is infinite", "minimum starts from 0"),
        exact=("out.x",),
    ),
    aggr(
        ours.MulAggregation,
        *of(ours.MulAggregation, ("product is a sum", "segment_mul", "segment_sum")),
        *edits(
            "ops._product:segment_mul",
            ("padding is not 1", "jnp.where(mask, data, 1)", "data"),
        ),
        *edits(
            "ops._product:_product_jvp",
            ("gradient is the whole product", "without_zeros / divisor", "without_zeros"),
        ),
    ),
    aggr(
        ours.VarAggregation,
        *of(
            ours.VarAggregation,
            ("x is detached", "x - gather(mean", "DETACHED(x) - gather(mean"),
            ("unbiased", "return variance", "return variance * 1.25"),
            ("semi is ignored", "not self.semi_grad", "True", "semi_grad=True"),
            ("means are not subtracted", "x - gather(mean, batch.index)", "x"),
        ),
        *edits(
            "nn.aggr._basic:_squared",
            ("padding is squared", "jnp.where(mask, x, 0)", "x"),
        ),
        grid=SEMI,
    ),
    aggr(
        ours.StdAggregation,
        *of(
            ours.StdAggregation,
            ("another least variance", "variance < 1e-5, 1e-5,", "variance < 1e-3, 1e-3,"),
            ("eps in the root", "1e-5, variance))", "1e-5, variance + 1e-6))"),
            (
                "least deviation has a gradient",
                "jnp.where(variance < 1e-5, 1e-5, variance)",
                "variance",
            ),
        ),
        grid=SEMI,
    ),
    aggr(
        ours.VariancePreservingAggregation,
        *PADDING,
        *of(
            ours.VariancePreservingAggregation,
            ("no root", "jnp.sqrt(count.astype(x.dtype))", "count.astype(x.dtype)"),
            (
                "nothing is NaN",
                "jnp.maximum(segment_count(batch.index, batch.num_graphs), 1)",
                "segment_count(batch.index, batch.num_graphs)",
            ),
            ("one row more", "batch.num_graphs), 1)", "batch.num_graphs) + 1, 1)"),
        ),
    ),
    aggr(
        ours.SoftmaxAggregation,
        *ATTEND,
        *of(
            ours.SoftmaxAggregation,
            (
                "no temperature",
                "x * (self.initial_t if self.t is None else self.t[None])",
                "x",
                "t=",
            ),
            ("semi is ignored", "not self.semi_grad", "True", "semi_grad"),
            (
                "temperature is detached",
                "else self.t[None]",
                "else DETACHED(self.t)[None]",
                "learn",
            ),
        ),
        grid=(
            Config({"t": 0.3, "semi_grad": True}),
            Config({"t": 0.5, "learn": True, "channels": WIDTH}),
        ),
    ),
    aggr(
        ours.PowerMeanAggregation,
        *of(
            ours.PowerMeanAggregation,
            ("no root of the mean", "** (1 / p)[None]", "** p[None]", "p="),
            ("mean is not clamped", "self._clamped(mean)", "mean", "mixed"),
            ("power is detached", "_power(x, p)", "_power(x, DETACHED(p))", "learn"),
        ),
        *edits(
            "nn.aggr._softmax:PowerMeanAggregation._clamped",
            ("no lower bound", "jnp.where(x < self.clamp_min, self.clamp_min, x)", "x"),
            ("no upper bound", "jnp.where(x > self.clamp_max, self.clamp_max, x)", "x", "learn"),
        ),
        grid=(
            Config({"p": 2.0}),
            Config({"p": 1.5, "learn": True, "channels": WIDTH, "clamp_max": 1.0}),
        ),
        weights=_positive,
    ),
    aggr(
        ours.MedianAggregation,
        *QUANTILES,
        grid=(Config({"fill_value": 7.0}),),
        weights=_median,
        expect_zero=buffer("q"),
    ),
    aggr(
        ours.QuantileAggregation,
        *QUANTILES,
        *INTERPOLATED,
        grid=(
            Config({"q": 0.37, "interpolation": "midpoint"}),
            Config({"q": (0.37, 0.58), "fill_value": 3.0}),  # on graphs without nodes
            Config({"q": 0.37, "interpolation": "lower"}),
            Config({"q": 0.37, "interpolation": "nearest"}),
        ),
        weights=_inside,
        expect_zero=buffer("q"),
    ),
    aggr(
        ours.SortAggregation,
        *edits(
            "ops._order:descending_order",
            ("ascends", "_descending_bits(score)", "~_descending_bits(score)"),
        ),
        *of(
            ours.SortAggregation,
            ("by the first feature", "x[:, -1]", "x[:, 0]"),
            ("rows of the next graph follow", "place < counts[:, None]", "place < x.shape[0]"),
            ("every graph starts one later", "- counts\n", "- counts + 1\n"),
            ("features are detached", "gather_once(x, rows)", "gather_once(DETACHED(x), rows)"),
        ),
        args=(3,),
        exact=BOTH,
    ),
)
