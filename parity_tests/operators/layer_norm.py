import math

import jax
import jax.numpy as jnp
import numpy as np

from jraphx_eqx.nn.norm import LayerNorm
from jraphx_eqx.parity import Config, Divergence

from .._operator import Operator, edits
from ..families import norm
from ..families.norm import LARGE_EPS, norm_made, norm_spec, norm_variant

GRID = (
    Config({**LARGE_EPS}),
    Config({**LARGE_EPS, "affine": False}, {"batched": False}),
    Config({**LARGE_EPS, "mode": "node"}),
    Config({**LARGE_EPS, "mode": "node", "affine": False}),
)


def _deviation():
    """Whether the deviation of 12,000 numbers is right in float64, up to four roundings."""
    import torch

    x = np.random.default_rng(0).random(12_000) ** 4
    exact = math.sqrt(math.fsum((x - math.fsum(x) / x.size) ** 2) / x.size)
    theirs = torch.tensor(x).std(unbiased=False).item()
    with jax.enable_x64(True):
        layer = LayerNorm(1, eps=0.0, affine=False)
        whole = layer(jnp.asarray(x)[:, None])
        ours = (x[0] - math.fsum(x) / x.size) / whole[0, 0].item()
    return tuple(bool(abs(found - exact) <= 2.0**-50 * exact) for found in (theirs, ours))


DEVIATION = Divergence(
    "deviation-of-many",
    condition="thousands of nodes without a batch vector, in float64",
    pyg=False,
    ours=True,
    reason="PyTorch's `std` updates mean and variance number by number, and its float64 result "
    "is off by hundreds of units in the last place. Here the squares are summed up.",
    link="https://pytorch.org/docs/stable/generated/torch.std.html",
    probe=_deviation,
    covers=lambda case, config, lane, tensor: (
        lane == "f64" and not config.inputs.get("batched", True) and len(case["x"]) > 1000
    ),
)

OPERATOR = Operator(
    LayerNorm,
    spec=norm_spec(LayerNorm, GRID),
    faults=(
        *norm.FAULTS,
        *edits(
            "nn.norm._layer_norm:LayerNorm.__call__",
            (
                "mean of each node for that of each graph",
                'self.mode == "node"',
                'self.mode == "graph"',
            ),
        ),
        *edits(
            "nn.norm._layer_norm:_by_graph",
            (
                "number of nodes for that of numbers",
                "batch.num_graphs), 1) * x.shape[1]",
                "batch.num_graphs), 1)",
            ),
            (
                "mean of all features is detached",
                "gather(mean(x),",
                "gather(mean(DETACHED(x)),",
            ),
            ("no eps", "mean(centred**2) + eps", "mean(centred**2)"),
        ),
        *edits(
            "nn.norm._layer_norm:_whole",
            (
                "eps inside the root",
                "(deviation + eps)",
                "jnp.sqrt(deviation**2 + eps)",
                "batched=False",
            ),
        ),
        *edits(
            "nn._layer_norm:normalised_rows",
            (
                "variance of a row over n - 1",
                "jnp.mean(centred**2, axis=-1, keepdims=True)",
                "jnp.var(wide, axis=-1, keepdims=True, ddof=1)",
                "mode=node",
            ),
            ("root of a row", "rsqrt(variance", "rsqrt(2 * variance"),
        ),
    ),
    divergences=(DEVIATION,),
    variants=(
        norm_variant("layer_norm", LayerNorm),
        norm_variant("layer_norm_node", LayerNorm, mode="node"),
    ),
    made=(norm_made(LayerNorm),),
    cost=25,
)
