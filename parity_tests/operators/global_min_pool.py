import functools

from jraphx_eqx.nn.pool import global_min_pool

from .._operator import Operator, edits, pick
from ..families import readout, segment
from ..families.readout import EXTREMES, INTEGERS, exact, readout_spec, readout_variant
from ..families.segment import HIDDEN_ZERO
from .global_max_pool import EXTREMUM_OF_NOTHING


def _pyg():
    from torch_geometric.utils import scatter

    def min_pool(x, batch, size=None):
        """PyG has no such pool. This is what its other pools are made of."""
        dim = -1 if x.dim() == 1 else -2
        if batch is None:
            return x.min(dim=dim, keepdim=x.dim() <= 2)[0]
        return scatter(x, batch, dim=dim, dim_size=size, reduce="min")

    return min_pool


OPERATOR = Operator(
    global_min_pool,
    spec=readout_spec(
        global_min_pool, _pyg, EXTREMES + INTEGERS, functools.partial(exact, shared=True)
    ),
    faults=(
        *pick(
            segment.FAULTS,
            "padding counts to the last graph",
            "maximum of nothing is infinite",
            "maximum of nothing is 1",
            "minimum starts from 0",
            "every tie gets all of the gradient",
            "gradient to all rows",
            "minimum is a maximum",
            "one graph more than there are",
        ),
        *pick(
            readout.FAULTS,
            "sets are nodes",
            "last of several largest",
        ),
        *edits(
            "nn.pool._global:global_min_pool",
            (
                "smallest of one graph share the gradient",
                "_first(x, jnp.argmin, axis)",
                "jnp.min(x, axis, keepdims=True)",
                "batch=None",
            ),
        ),
    ),
    divergences=(HIDDEN_ZERO, EXTREMUM_OF_NOTHING),
    variants=(readout_variant(global_min_pool, minor=True),),
    cost=37,
)
