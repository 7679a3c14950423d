from jraphx_eqx.nn.conv import GraphConv
from jraphx_eqx.parity import Config

from .._operator import Operator, edits, pick
from ..families import conv, segment
from ..families.conv import (
    COLUMN,
    REST_BY_BLOCK,
    WEIGHT,
    conv_made,
    conv_spec,
    conv_variant,
    exact_sums,
    first_attribute,
)
from ..families.segment import HIDDEN_ZERO

GRID = (
    Config({}),
    Config({}, WEIGHT),
    Config({"aggr": "mean", "bias": False}, COLUMN),
    Config({"aggr": "max"}, WEIGHT),
    Config({"aggr": "min"}),
    Config({"aggr": "sum"}, {**WEIGHT, **REST_BY_BLOCK}),
)

OPERATOR = Operator(
    GraphConv,
    spec=conv_spec(GraphConv, GRID, exact_sums),
    faults=(
        *conv.FAULTS,
        *pick(
            conv.SOME,
            "edges not weighted",
            "weights of edges are detached",
            "padding edges keep their attributes",
            "weights of edges backwards",
        ),
        *pick(
            segment.FAULTS,
            "mean over all rows",
            "sum in bfloat16",
            "sum in float32",
            "padding counts to the last graph",
            "a sum by block without its last rows",
            "every block is the first",
            "maximum of nothing is infinite",
            "maximum starts from 0",
            "minimum starts from 0",
            "every tie gets all of the gradient",
            "gradient to all rows",
            "minimum is a maximum",
            "maximum is detached",
            "mean is a sum",
            "sum is a mean",
            "max is min",
        ),
        *edits(
            "nn.conv._graph:GraphConv.__call__",
            (
                "aggr is ignored",
                "edge_weight, self.aggr, node_mask",
                "edge_weight, node_mask=node_mask",
                "aggr=mean",
            ),
            (
                "no neighbours",
                "return out + ",
                "return apply_linear(self.lin_rel, x, node_mask) + ",
            ),
            (
                "neighbours and itself",
                "return out + ",
                "return out + apply_linear(self.lin_rel, x, node_mask) + ",
            ),
        ),
        *edits(
            "nn.conv._graph:GraphConv.__init__",
            (
                "no bias",
                "linear(in_features, out_features, bias,",
                "linear(in_features, out_features, False,",
            ),
            (
                "parameters of another shape",
                "linear(in_features, out_features, False,",
                "linear(out_features, in_features, False,",
            ),
        ),
    ),
    equivalent={"padding edges keep their attributes": conv.PAST_THE_END},
    divergences=(HIDDEN_ZERO,),
    variants=(
        conv_variant("graph", GraphConv, edges=first_attribute),
        conv_variant("graph_max", GraphConv, minor=True, aggr="max"),
    ),
    made=(conv_made(GraphConv),),
    cost=48,
)
