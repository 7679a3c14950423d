"""Aggregations that lay the rows of a graph side by side."""

from jraphx_eqx.nn import aggr as ours
from jraphx_eqx.parity import Config

from .._operator import edits
from ..families.aggr import ALONE, LARGEST, ROOM, aggr, buffer, of
from ..families.common import WIDTH
from .aggregations_with_networks import UNITS

BOTH = (Config({}, ROOM), Config({}, ALONE))
DENSE = edits(
    "ops._to_dense:to_dense_batch",
    ("the first row is lost", "places_in_graph(batch)", "places_in_graph(batch) - 1"),
    ("no row is real", ".set(True,", ".set(False,"),
)
ATTENTION = (
    *edits(
        "nn._multihead_attention:MultiheadAttention.__call__",
        ("scores are not scaled", "q / math.sqrt(q.shape[-1])", "q"),
        (
            "keys are values",
            'jnp.einsum("bhqk,bkhf->bqhf", weight, v)',
            'jnp.einsum("bhqk,bkhf->bqhf", weight, k)',
        ),
        ("no mask", "_softmax(score, mask)", "_softmax(score, None)"),
    ),
    *edits(
        "nn.aggr._blocks:MultiheadAttentionBlock.__call__",
        ("nothing is added", "out + x", "out"),
        (
            "no norm at the end",
            "_normed(self.layer_norm2, out +",
            "_normed(None, out +",
            "layer_norm",
        ),
    ),
)
LAST = edits(
    "nn.aggr._recurrent:_last_output",
    (
        "the first output",
        "jnp.sum(mask, axis=1, dtype=jnp.int32) - 1",
        "jnp.sum(0 * mask, axis=1, dtype=jnp.int32) - 1",
        "alone",
    ),
    ("no zeros are read", "return unit(rows)[:, -1]", "return unit(rows, mask)[:, -1]", "room"),
)


OPERATORS = (
    aggr(
        ours.LSTMAggregation,
        *DENSE,
        *LAST,
        *edits(
            "nn._recurrent:lstm_step",
            ("gates change places", "i, f, g, o", "f, i, g, o"),
            ("cell is not squashed", "jnp.tanh(cell), cell", "cell, cell"),
        ),
        args=(WIDTH, 2),
        grid=BOTH,
        ordered=True,
        renames={f"lstm.{name}": f"lstm.parameters.{name}" for name in UNITS},
        cost=4,
    ),
    aggr(
        ours.GRUAggregation,
        *DENSE,
        *LAST[:1],
        *edits(
            "nn._recurrent:gru_step",
            ("update backwards", "(1 - update) * new + update", "update * new + (1 - update)"),
            ("no reset", "reset * new_h", "new_h"),
        ),
        args=(WIDTH, 2),
        grid=BOTH[1:],
        ordered=True,
        renames={f"gru.{name}": f"gru.parameters.{name}" for name in UNITS},
    ),
    aggr(
        ours.LCMAggregation,
        *DENSE,
        *of(
            ours.LCMAggregation,
            ("zeros are joined", "if max_rows is None", "if False", "alone"),
            ("zeros are not joined", "if max_rows is None", "if True", "room"),
            (
                "rest is lost",
                "[joined, rows[:, 2 * pairs :]]",
                "[joined, 0 * rows[:, 2 * pairs :]]",
            ),
        ),
        *edits(
            "nn.aggr._lcm:LCMAggregation._joined",
            ("one order of a pair", "jnp.flip(pairs, axis=2)", "pairs"),
            ("sum for a mean", "jnp.mean(gru_step", "jnp.sum(gru_step"),
        ),
        args=(WIDTH, 2),
        grid=BOTH,
        ordered=True,
        cost=4,
    ),
    aggr(
        ours.MLPAggregation,
        *DENSE[:1],
        *of(
            ours.MLPAggregation,
            (
                "features by row",
                "rows.reshape(rows.shape[0], -1)",
                "rows.swapaxes(1, 2).reshape(rows.shape[0], -1)",
            ),
            ("features are detached", "self.mlp(rows", "self.mlp(DETACHED(rows)"),
        ),
        args=(WIDTH, 2, LARGEST),
        grid=(Config({"num_layers": 1, "norm": None}),),
        ordered=True,
    ),
    aggr(
        ours.SetTransformerAggregation,
        *DENSE[1:],  # in any order of the rows
        *ATTENTION,
        *of(
            ours.SetTransformerAggregation,
            (
                "encoders without a mask",
                "_applied(self.encoders, rows, mask, first)",
                "_applied(self.encoders, rows, None, first)",
            ),
        ),
        args=(WIDTH, 2),
        grid=(Config({"heads": 3, "layer_norm": True, "concat": False}), Config({"heads": 1})),
        cost=4,
    ),
    aggr(
        ours.GraphMultisetTransformer,
        *DENSE[1:],
        *ATTENTION[1:-1],  # its heads have one feature each
        args=(WIDTH, 2),
        grid=(Config({"heads": 3}),),
        cost=4,
    ),
    aggr(
        ours.PatchTransformerAggregation,
        *DENSE[:1],
        *edits(
            "nn.aggr._patches:PatchTransformerAggregation.aggregate",
            ("no positions", "patches + self.pe(", "patches + 0 * self.pe("),
            ("patches of a row", "max_rows // size * size", "size", "room"),
        ),
        *edits(
            "nn.aggr._patches:PositionalEncoding.__call__",
            ("cosines first", "jnp.sin(angle), jnp.cos(angle)", "jnp.cos(angle), jnp.sin(angle)"),
        ),
        args=(WIDTH, 2, 2, 4),
        grid=(Config({"heads": 2, "aggr": ("sum", "max", "std")}, ROOM),),
        expect_zero=buffer("pe.frequency"),
        ordered=True,
        cost=4,
    ),
)
