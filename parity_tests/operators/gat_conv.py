from jraphx_eqx.nn.conv import GATConv
from jraphx_eqx.parity import Config

from .._operator import Operator, edits, pick
from ..families import conv, segment
from ..families.common import EDGE_WIDTH
from ..families.conv import (
    ATTR,
    BY_BLOCK,
    NUMBER,
    all_attributes,
    conv_made,
    conv_spec,
    conv_variant,
)

GRID = (
    Config({}),
    Config({"heads": 3}),
    Config({"heads": 2, "concat": False, "bias": False}),
    Config({"heads": 2, "edge_dim": 2}, {**ATTR, **BY_BLOCK}),
    Config({"edge_dim": 1, "fill_value": 0.5, "negative_slope": 0.5}, NUMBER),
    Config({"edge_dim": 2, "fill_value": "max", "residual": True}, ATTR),
    Config({"edge_dim": 2, "fill_value": "add", "add_self_loops": False}, ATTR),
    Config({"edge_dim": 2, "fill_value": "sum", "heads": 2, "concat": False}, ATTR),
    Config({"edge_dim": 2, "fill_value": "min", "residual": True}, {**ATTR, "batched": False}),
    Config({"edge_dim": 2, "add_self_loops": False}),
    Config({"heads": 2, "concat": False, "residual": True}),
    Config({"edge_dim": 1}, {"attr": "column"}),
)

WITH_EDGES = {"edges": all_attributes, "heads": 2, "edge_dim": EDGE_WIDTH}

OPERATOR = Operator(
    GATConv,
    spec=conv_spec(GATConv, GRID),
    faults=(
        *conv.FAULTS,
        *pick(
            conv.SOME,
            "edges not weighted",
            "weights of edges are detached",
            "padding edges keep their attributes",
            "loops are kept, others removed",
        ),
        *pick(
            segment.FAULTS,
            "sum in float16",
            "sum in float32",
            "a sum by block without its last rows",
            "every block is the first",
            "mean is a sum",
            "sum is a mean",
            "max is min",
            "softmax without the maximum",
            "softmax sums to less than 1",
            "softmax over all graphs",
            "softmax is detached",
            "softmax in float32",
        ),
        *edits(
            "ops._loops:add_self_loops",
            (
                "loops of the sources",
                "edge_index[1], num_nodes)",
                "edge_index[0], num_nodes)",
                "edge_dim=2",
            ),
            (
                "loops without attributes",
                "fill_value, edge_attr.dtype",
                "0 * fill_value, edge_attr.dtype",
                "fill_value=0.5",
            ),
            (
                "one loop too few",
                "jnp.concatenate([edge_index, loops], axis=1)",
                "jnp.concatenate([edge_index, loops.at[:, :1].set(num_nodes)], axis=1)",
            ),
        ),
        *edits(
            "nn.conv._gat:with_loops",
            ("loops always", "if not layer.add_self_loops:", "if False:", "add_self_loops=False"),
        ),
        *edits(
            "nn.conv._gat:joined_heads",
            ("heads are added", "jnp.mean(out, axis=1)", "jnp.sum(out, axis=1)", "concat=False"),
            ("heads in another order", "out.reshape(", "out.swapaxes(1, 2).reshape(", "heads=3"),
            ("no residual", "rows + apply_linear(layer.res, x, node_mask)", "rows * 1", "residual"),
            ("no bias", "add_bias(rows, layer.bias)", "rows"),
        ),
        *edits(
            "nn.conv._gat:GATConv.__call__",
            (
                "attention is detached",
                "self._attention(heads, edge_index, edge_attr)",
                "jax.lax.stop_gradient(self._attention(heads, edge_index, edge_attr))",
            ),
        ),
        *edits(
            "nn.conv._gat:GATConv._attention",
            ("attention vectors swapped", "heads * self.att_src", "heads * self.att_dst"),
            ("softmax by source", "self.negative_slope), target,", "self.negative_slope), source,"),
            (
                "edges not in the attention",
                "logits + jnp.sum(edges * self.att_edge, axis=-1)",
                "logits * 1",
                "edge_dim=2",
            ),
            ("no leaky relu", "leaky_relu(logits, self.negative_slope)", "logits"),
            ("slope is ignored", "leaky_relu(logits, self.negative_slope)", "leaky_relu(logits)"),
        ),
        *edits(
            "nn._activation:leaky_relu",
            ("slope at 0 is 1", "x > 0", "x >= 0"),
        ),
        *edits(
            "nn.conv._gat:GATConv.__init__",
            (
                "attention of one head",
                "att_shape = (1, heads, out_features)",
                "att_shape = (1, 1, out_features)",
                "heads=3",
            ),
        ),
    ),
    equivalent={
        "slope at 0 is 1": "It takes attention logits of exactly 0, which no recorded case "
        "has. `tests/nn/test_activation.py` notices it."
    },
    variants=(
        conv_variant("gat", GATConv, minor=True),
        conv_variant("gat_edges", GATConv, **WITH_EDGES),
        conv_variant(
            "gat_options",
            GATConv,
            minor=True,
            concat=False,
            residual=True,
            add_self_loops=False,
            **WITH_EDGES,
        ),
    ),
    made=(conv_made(GATConv, heads=2, edge_dim=3, residual=True),),
    cost=72,
)
