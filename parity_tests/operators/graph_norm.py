from jraphx_eqx.nn.norm import GraphNorm
from jraphx_eqx.parity import Config

from .._operator import Operator, edits
from ..families import norm
from ..families.norm import LARGE_EPS, norm_made, norm_spec, norm_variant

GRID = (Config({**LARGE_EPS}), Config({**LARGE_EPS}, {"batched": False}))

OPERATOR = Operator(
    GraphNorm,
    spec=norm_spec(GraphNorm, GRID),
    faults=(
        *norm.FAULTS,
        *edits(
            "nn.norm._graph_norm:GraphNorm.__call__",
            ("scale of the mean is left out", " * self.mean_scale.astype(wide.dtype)[None]", ""),
            ("eps squared", "variance + self.eps", "variance + self.eps**2"),
            ("no root", "jnp.sqrt(variance)", "variance"),
            ("square of what is not centred", "centred**2", "wide**2"),
            (
                "mean of a graph is detached",
                "gather(segment_mean(wide,",
                "gather(segment_mean(DETACHED(wide),",
            ),
        ),
    ),
    variants=(norm_variant("graph_norm", GraphNorm, minor=False),),
    made=(norm_made(GraphNorm),),
    cost=28,
)
