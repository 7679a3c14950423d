import dataclasses

import jax

from jraphx_eqx.nn.pool import TopKPooling
from jraphx_eqx.parity import Config

from .._operator import Made, Operator, edits, pick
from ..families import keep, segment
from ..families.common import EDGE_CLASSES, WIDTH, our_layer, pyg_layer, undrawn
from ..families.keep import keep_spec, keep_variant, our_options, pyg_options

GRID = (
    Config(),
    Config({"ratio": 0.28, "multiplier": 2.0}, {"edges": 1}),
    Config({"ratio": 3}, {"edges": None}),
    Config({"ratio": 0.7, "nonlinearity": "sigmoid"}, {"attn": True}),
    Config({"min_score": 0.1}),
    Config({"min_score": 0.4, "multiplier": 3.0}, {"edges": None}),
    Config({"min_score": 2.0}, {"attn": True}),
    Config({"ratio": 1, "multiplier": 0.5}),
    Config({"min_score": 0.02}, {"room": True, "edges": 3}),
    Config(
        {"ratio": 0.8, "nonlinearity": "sin"},
        {"edges": 3, "by_block": True, "room": True},
        cases=("no_nodes",),
    ),
    Config({"min_score": 0.05}, {"batched": False, "edges": 1}),
    # Of the 38 nodes of the random cases this keeps 21 in float32 and 22 in float64.
    Config({"ratio": 21 / 38}, {"batched": False}),
    Config({"ratio": 0.6, "nonlinearity": "relu"}),
    Config({"ratio": 0.4, "multiplier": 2.0}, {"bare": True, "lift": True}),
    Config({"ratio": 0.5, "nonlinearity": "softshrink"}, {"edges": None}),
)
CLASSES = {**EDGE_CLASSES, "room for no node": lambda inputs: inputs.get("max_nodes") == 0}


def _pyg(**options):
    from torch_geometric.nn import TopKPooling as PyGTopKPooling

    return PyGTopKPooling(WIDTH, **pyg_options(options))


def _ours(**options):
    return undrawn(lambda: TopKPooling(WIDTH, **our_options(options), key=jax.random.key(0)))


def _with_attn(pool, inputs):
    return pool(*inputs, attn=inputs.x[:, ::-1])


TOPK = keep_variant("topk", TopKPooling, ratio=0.5)

OPERATOR = Operator(
    TopKPooling,
    spec=keep_spec(TopKPooling, _pyg, _ours, GRID, CLASSES),
    faults=(
        *keep.FAULTS,
        *pick(
            segment.FAULTS,
            "padding counts to the last graph",
            "every block is the first",
            "maximum is a minimum",
            "softmax without the maximum",
            "softmax sums to less than 1",
            "softmax over all graphs",
            "softmax is detached",
            "softmax in float32",
        ),
        *edits(
            "ops._topk:top_k_counts",
            (
                "k not above the nodes there are",
                "jnp.minimum(counts, fraction.astype(counts.dtype))",
                "fraction.astype(counts.dtype) + 1",
            ),
            ("k in float32", "wide_dtype(dtype)", "jnp.dtype(jnp.float32)", "ratio=0.55"),
            ("a ratio of 1 keeps all", "ratio >= 1", "ratio > 1", "ratio=1"),
        ),
        *edits(
            "ops._topk:top_k_capacity",
            ("capacity without the rounding up", " + num_graphs)", ")", "metamorphic"),
        ),
        *edits(
            "ops._order:_descending_bits",
            ("-0.0 below 0.0", "raw > sign", "raw >= sign"),
        ),
        *edits(
            "ops._topk:above_min_score",
            (
                "not above but from min_score on",
                "score > threshold",
                "score >= threshold",
                "min_score",
            ),
            (
                "ten times the margin below the maximum",
                "segment_max(score, batch.index, batch.num_graphs) - tol",
                "segment_max(score, batch.index, batch.num_graphs) - 10 * tol",
                "min_score=2",
            ),
            ("padding above min_score", " & batch.node_mask", "", "min_score"),
        ),
        *edits(
            "nn.pool._select_topk:SelectTopK.score",
            ("eps beside the norm", "length(projection)", "(length(projection) + 1e-12)"),
            ("norm is detached", "length(projection)", "jax.lax.stop_gradient(length(projection))"),
            ("norm of sizes", "length(projection)", "jnp.sum(jnp.abs(projection))"),
            (
                "score in float16",
                "masked_matmul(x, projection, batch.node_mask)",
                "masked_matmul(x.astype(jnp.float16), projection.astype(jnp.float16), "
                "batch.node_mask).astype(x.dtype)",
            ),
        ),
    ),
    divergences=keep.DIVERGENCES,
    variants=(
        TOPK,
        keep_variant("topk_count", TopKPooling, minor=True, ratio=2),
        keep_variant(
            "topk_options", TopKPooling, minor=True, nonlinearity="sigmoid", multiplier=-2
        ),
        keep_variant("topk_min_score", TopKPooling, min_score=0.2),
        dataclasses.replace(TOPK, name="topk_attn", call=_with_attn, minor=True),
    ),
    made=(
        Made(
            "TopKPooling",
            our_layer(TopKPooling),
            pyg_layer("TopKPooling"),
            {"sort": 1, "scatter": 1, "scatter-add": 1, "gather": 7},
            (4.03, 7.2),
        ),
        Made(
            "TopKPooling (min_score)",
            our_layer(TopKPooling, min_score=0.1),
            None,
            {"sort": 0, "scatter": 1, "scatter-add": 4, "gather": 7},
            (4.73, 9.03),
        ),
    ),
    cost=100,
)
