from jraphx_eqx.nn.norm import BatchNorm
from jraphx_eqx.parity import Config

from .._operator import Operator, edits
from ..families import norm
from ..families.norm import LARGE_EPS, norm_made, norm_spec, norm_variant

GRID = (
    Config({**LARGE_EPS}),
    Config({**LARGE_EPS, "affine": False}),
    Config({}, {"training": False}),
    Config({"affine": False}, {"training": False, "batched": False}),
    Config({**LARGE_EPS, "track_running_stats": False}, {"training": False}),
)

OPERATOR = Operator(
    BatchNorm,
    spec=norm_spec(BatchNorm, GRID, mixes=True),
    faults=(
        *norm.FAULTS,
        *edits(
            "nn.norm._batch_norm:_statistics",
            (
                "variance over n - 1",
                "jnp.sum(centred**2, axis=0) / number",
                "jnp.sum(centred**2, axis=0) / jnp.maximum(number - 1, 1)",
            ),
            ("mean over padding too", "axis=0) / number\n", "axis=0) / rows\n"),
        ),
        *edits(
            "nn.norm._batch_norm:BatchNorm1d.normalise",
            (
                "mean is detached",
                "(wide - mean[",
                "(wide - DETACHED(mean)[",
            ),
            (
                "variance is detached",
                "jnp.sqrt(variance + self.eps)",
                "jnp.sqrt(DETACHED(variance) + self.eps)",
            ),
            (
                "eps outside the root",
                "jnp.sqrt(variance + self.eps)",
                "(jnp.sqrt(variance) + self.eps)",
            ),
            (
                "running statistics in training",
                "self.running_mean is None or not self.inference",
                "self.running_mean is None",
            ),
            (
                "statistics of the nodes in inference",
                "self.running_mean is None or not self.inference",
                "True",
                "training=False",
            ),
        ),
        *edits(
            "nn.norm._batch_norm:_running",
            (
                "running statistics swapped",
                "(norm.running_mean, norm.running_var)",
                "(norm.running_var, norm.running_mean)",
                "training=False",
            ),
            (
                "gradients reach running statistics",
                "jax.lax.stop_gradient(value)",
                "value",
                "training=False",
            ),
        ),
    ),
    variants=(
        norm_variant("batch_norm", BatchNorm, minor=False, mixes=True),
        norm_variant("batch_norm_running", BatchNorm, inference=True),
    ),
    made=(norm_made(BatchNorm),),
    cost=18,
)
