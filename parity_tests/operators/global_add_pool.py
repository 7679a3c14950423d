from jraphx_eqx.nn.pool import global_add_pool

from .._operator import Operator, edits, pick
from ..families import readout, segment
from ..families.readout import INTEGERS, SUMS, readout_spec, readout_variant


def _pyg():
    from torch_geometric import nn

    return nn.global_add_pool


OPERATOR = Operator(
    global_add_pool,
    spec=readout_spec(global_add_pool, _pyg, SUMS + INTEGERS),
    faults=(
        *pick(
            segment.FAULTS,
            "sum in bfloat16",
            "sum in float16",
            "sum in float32",
            "padding counts to the last graph",
            "rows of 64 are scaled",
            "rows of 64 are masked where they are real",
            "one graph more than there are",
        ),
        *pick(
            readout.FAULTS,
            "sets stay first",
            "sets are nodes",
            "sets keep an axis of one graph",
            "features are detached",
        ),
        *edits(
            "nn.pool._global:global_add_pool",
            ("sum is a mean", "segment_sum", "segment_mean"),
        ),
        *edits(
            "ops._segment:segment_sum",
            ("sum of half precision in float32", "total.astype(data.dtype)", "total"),
        ),
    ),
    variants=(readout_variant(global_add_pool),),
    cost=26,
)
