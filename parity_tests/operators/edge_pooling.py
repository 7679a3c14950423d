import jax
import numpy as np

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.pool import EdgePooling
from jraphx_eqx.ops import greedy_matching
from jraphx_eqx.parity import Config, Decision, Spec

from .._operator import Made, Operator, Variant, edits
from ..families.common import (
    EDGE_CLASSES,
    WIDTH,
    keeps_dtypes,
    our_layer,
    pad_with,
    pyg_layer,
    row_groups,
    undrawn,
)
from ..families.keep import harder_scores

GRID = (
    Config(),
    Config({"edge_score_method": "tanh", "add_to_edge_score": 1.5}),
    Config({"edge_score_method": "sigmoid", "add_to_edge_score": 0.0}),
    Config({"add_to_edge_score": -2.0}),
)


def _pyg(edge_score_method="softmax", **options):
    from torch_geometric.nn import EdgePooling as PyGEdgePooling

    method = getattr(PyGEdgePooling, f"compute_edge_score_{edge_score_method}")
    return PyGEdgePooling(WIDTH, method, **options)


def _ours(**options):
    return undrawn(lambda: EdgePooling(WIDTH, **options, key=jax.random.key(0)))


def _inputs(case):
    return {name: case[name] for name in ("x", "edge_index", "batch", "num_graphs")}


def _call_pyg(module, inputs):
    x, edge_index, batch, info = module(inputs["x"], inputs["edge_index"], inputs["batch"])
    lifted = module.unpool(x, info)[0]
    return {
        "x": x,
        "edge_index": edge_index,
        "batch": batch,
        "cluster": info.cluster,
        "lifted": lifted,
    }


def _batch(inputs):
    return BatchVector(inputs["batch"], inputs["num_graphs"])


def _call(module, inputs):
    out = module(inputs["x"], inputs["edge_index"], batch=_batch(inputs))
    return {
        "x": out.x,
        "edge_index": out.edge_index,
        "batch": out.batch.index,
        "cluster": out.select.cluster_index,
        "lifted": module.lift(out.x, out.select),
    }


def _select(module, scores, inputs):
    return greedy_matching(inputs["edge_index"], scores, inputs["x"].shape[0])


def _real(inputs, outputs):
    nodes = inputs["batch"] < inputs["num_graphs"]
    clusters = outputs["batch"] < inputs["num_graphs"]
    edges = np.all(outputs["edge_index"] < len(outputs["x"]), axis=0)
    return {
        "x": clusters,
        "batch": clusters,
        "cluster": nodes,
        "lifted": nodes,
        "edge_index": np.s_[:, edges],
    }


SPEC = Spec(
    "EdgePooling",
    pyg=_pyg,
    eqx=_ours,
    call_pyg=_call_pyg,
    call_eqx=_call,
    inputs=_inputs,
    grid=GRID,
    pad=pad_with(np.nan),
    real=_real,
    blocks=lambda inputs, outputs: {
        **row_groups(inputs),
        "out.x": outputs["batch"],
        "out.lifted": inputs["batch"],
    },
    differentiate=("x",),
    # Equal edges, as those of a double edge, have equal scores.
    decision=lambda config: Decision(
        index="merged", select_eqx=_select, harder=harder_scores, ties=True
    ),
    properties={"dtypes": keeps_dtypes(_call)},
    input_classes=EDGE_CLASSES,
)


def _build(dtype, key):
    return EdgePooling(WIDTH, dtype=dtype, key=key)


def _call_with_weights(pool, inputs):
    return pool(inputs.x, inputs.edge_index, inputs.edge_attr, inputs.batch)


OPERATOR = Operator(
    EdgePooling,
    spec=SPEC,
    faults=(
        *edits(
            "ops._matching:greedy_matching",
            ("the lowest scores merge", "(score)", "(-score)"),
        ),
        *edits(
            "ops._matching:_round",
            ("an end may be taken twice", "left & jnp.all(", "left & jnp.any("),
            ("taken edges stay", "left & ~jnp.any(gather(nodes, ends), axis=0)", "left & ~new"),
        ),
        *edits(
            "nn.pool._edge:raw_scores",
            (
                "the halves of the map change places",
                "source, target = edge_index",
                "target, source = edge_index",
            ),
            ("no bias", "raw + lin.bias", "raw"),
        ),
        *edits(
            "nn.pool._edge:EdgePooling.score",
            ("nothing is added to scores", "score + self.add_to_edge_score", "score"),
        ),
        *edits(
            "nn.pool._edge:EdgePooling.lift",
            (
                "lift multiplies",
                "gather(x, select.cluster_index) / ",
                "gather(x, select.cluster_index) * ",
            ),
        ),
        *edits(
            "nn.pool._edge:merge_edges",
            (
                "weights are detached",
                "gather_once(score, merged)",
                "DETACHED(gather_once(score, merged))",
            ),
            (
                "nodes left over are dropped",
                "cluster = jnp.where(left, total - 1, cluster)",
                "cluster = cluster",
            ),
            ("nodes left over weigh nothing", "jnp.ones_like(own)", "jnp.zeros_like(own)"),
        ),
    ),
    live=False,
    variants=(Variant("edge", _build, _call_with_weights, "pool"),),
    made=(
        Made(
            "EdgePooling",
            our_layer(EdgePooling),
            pyg_layer("EdgePooling"),
            {"sort": 2, "scatter": 4, "scatter-add": 4, "gather": 16},
        ),
    ),
    cost=75,
)
