from jraphx_eqx.nn.conv import LEConv
from jraphx_eqx.parity import Config

from .._operator import Operator, edits
from ..families import conv
from ..families.conv import BY_BLOCK, WEIGHT, conv_spec

GRID = (Config(), Config({"bias": False}, {**WEIGHT, **BY_BLOCK}))

OPERATOR = Operator(
    LEConv,
    spec=conv_spec(LEConv, GRID),
    faults=(
        *conv.FAULTS,
        *edits(
            "nn.conv._le:LEConv.__call__",
            (
                "own and near change places",
                "(self.lin1, self.lin2, self.lin3)",
                "(self.lin2, self.lin1, self.lin3)",
            ),
            ("degrees of sources", "edge_index[1], num_nodes)", "edge_index[0], num_nodes)"),
            (
                "degrees without weights",
                "degree(target, num_nodes, edge_weight, x.dtype)",
                "degree(target, num_nodes, None, x.dtype)",
            ),
            ("the node itself is added", "- total[:, None] * own", "+ total[:, None] * own"),
            ("no root", " + root", ""),
        ),
    ),
    cost=10,
)
