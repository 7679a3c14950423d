import equinox as eqx
from jaxtyping import Array, Bool, Float

from ...ops import mask_rows, wide_dtype
from .._check import check_features
from .._layer import AbstractBatchLayer
from .._layer_norm import scale_shift


class AbstractNorm(AbstractBatchLayer):
    """A layer that shifts and scales features by statistics of the nodes.

    Padding, as marked by `batch` or `node_mask`, may hold anything: it counts in no statistic, gets
    a zero gradient, and is zero in the result.
    """

    in_features: eqx.AbstractVar[int]
    eps: eqx.AbstractVar[float]


def entering(
    x: Float[Array, "nodes features"],
    mask: Bool[Array, " nodes"] | None,
    in_features: int,
    weight: Float[Array, " in_features"] | None,
) -> Float[Array, "nodes features"]:
    """`x`, checked, in float32 at least, with zeros in rows of padding."""
    check_features(x, in_features, x.dtype if weight is None else weight.dtype)
    wide = x.astype(wide_dtype(x.dtype))
    return mask_rows(wide, mask)


def leaving(
    normalised: Float[Array, "nodes features"],
    x: Float[Array, "nodes features"],
    mask: Bool[Array, " nodes"] | None,
    weight: Float[Array, " features"] | None,
    bias: Float[Array, " features"] | None,
) -> Float[Array, "nodes features"]:
    """`normalised` in the dtype of `x`, scaled and shifted, with zeros in rows of padding."""
    return mask_rows(scale_shift(normalised.astype(x.dtype), weight, bias), mask)
