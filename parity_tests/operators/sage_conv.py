from jraphx_eqx.nn.conv import SAGEConv
from jraphx_eqx.parity import Config

from .._operator import Operator, edits, pick
from ..families import conv, segment
from ..families.conv import (
    REST_BY_BLOCK,
    conv_made,
    conv_spec,
    conv_variant,
    exact_sums,
)
from ..families.segment import HIDDEN_ZERO

GRID = (
    Config({}),
    Config({"aggr": "max"}),
    Config({"aggr": "min", "bias": False}),
    Config({"aggr": "add", "project": True}),
    Config({"aggr": "sum", "root_weight": False}),
    Config({"normalize": True, "project": True}),
    Config({"normalize": True, "root_weight": False, "bias": False}, REST_BY_BLOCK),
)


def _exact(config):
    mean = config.options.get("aggr", "mean") == "mean"
    return () if mean or config.options.get("normalize") else exact_sums(config)


OPERATOR = Operator(
    SAGEConv,
    spec=conv_spec(SAGEConv, GRID, _exact),
    faults=(
        *conv.FAULTS,
        *pick(
            segment.FAULTS,
            "mean over all rows",
            "mean of nothing is NaN",
            "eps in the count of a mean",
            "mean in float32",
            "a sum by block without its last rows",
            "every block is the first",
            "maximum of nothing is infinite",
            "maximum starts from 0",
            "minimum starts from 0",
            "every tie gets all of the gradient",
            "gradient to all rows",
            "share of ties in float16",
            "maximum is a minimum",
            "mean is a sum",
            "sum is a mean",
            "max is min",
        ),
        *edits(
            "nn.conv._sage:unit_rows",
            (
                "other eps of the norm",
                "jnp.where(norm < eps, eps, norm)",
                "(norm + 1e-8)",
                "normalize",
            ),
            (
                "gradient of a norm of 0",
                "jnp.where(square == 0, 0, jnp.sqrt(jnp.where(square == 0, 1, square)))",
                "jnp.sqrt(square)",
                "normalize=True, root",
            ),
            (
                "norm is detached",
                "jnp.sum(wide**2, axis=-1, keepdims=True)",
                "jax.lax.stop_gradient(jnp.sum(wide**2, axis=-1, keepdims=True))",
                "normalize",
            ),
            (
                "unit rows of half precision in float32",
                "jnp.where(norm < eps, eps, norm)).astype(x.dtype)",
                "jnp.where(norm < eps, eps, norm))",
                "normalize",
            ),
        ),
        *edits(
            "nn.conv._sage:SAGEConv.__call__",
            ("not normalised", "unit_rows(out) if self.normalize else out", "out", "normalize"),
            ("no root", "out + apply_linear(self.lin_r, x, node_mask)", "out * 1"),
            (
                "projection without relu",
                "jax.nn.relu(apply_linear(self.lin, x, node_mask))",
                "apply_linear(self.lin, x, node_mask)",
                "project",
            ),
            ("not projected", "self.lin is not None", "False", "project"),
            ("aggr is ignored", "aggr=self.aggr", 'aggr="mean"', "aggr=max"),
        ),
        *edits(
            "nn.conv._sage:SAGEConv.__init__",
            (
                "bias of the wrong map",
                "linear(in_features, out_features, bias, dtype=dtype, key=l_key)",
                "linear(in_features, out_features, False, dtype=dtype, key=l_key)",
            ),
        ),
    ),
    divergences=(HIDDEN_ZERO,),
    variants=(
        conv_variant("sage", SAGEConv),
        conv_variant(
            "sage_options", SAGEConv, minor=True, aggr="min", normalize=True, project=True
        ),
    ),
    made=(conv_made(SAGEConv, project=True),),
    cost=45,
)
