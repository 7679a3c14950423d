import jax
import numpy as np

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.pool import ClusterPooling
from jraphx_eqx.parity import Config, Spec

from .._operator import Operator, edits
from ..families.common import (
    FEW_CLASSES,
    WIDTH,
    few_cases,
    keeps_dtypes,
    pad_with,
    row_groups,
    torch_default,
    undrawn,
)

GRID = (
    Config(),
    Config({"edge_score_method": "sigmoid", "threshold": 0.6}),
    Config({"edge_score_method": "log_softmax", "threshold": -3.0}),
)


def _pyg(**options):
    import torch_geometric.nn

    return torch_geometric.nn.ClusterPooling(WIDTH, **options)


def _ours(**options):
    return undrawn(lambda: ClusterPooling(WIDTH, **options, key=jax.random.key(0)))


def _inputs(case):
    return {name: case[name] for name in ("x", "edge_index", "batch", "num_graphs")}


def _call_pyg(module, inputs):
    with torch_default(inputs["x"].dtype):
        x, edges, batch, info = module(inputs["x"], inputs["edge_index"], inputs["batch"])
    return {"x": x, "edge_index": edges, "batch": batch, "cluster": info.cluster}


def _call(module, inputs):
    batch = BatchVector(inputs["batch"], inputs["num_graphs"])
    out = module(inputs["x"], inputs["edge_index"], batch=batch)
    cluster = out.select.labels
    return {"x": out.x, "edge_index": out.edge_index, "batch": out.batch.index, "cluster": cluster}


def _real(inputs, outputs):
    clusters = outputs["batch"] < inputs["num_graphs"]
    edges = np.all(outputs["edge_index"] < len(clusters), axis=0)
    nodes = inputs["batch"] < inputs["num_graphs"]
    return {"x": clusters, "batch": clusters, "cluster": nodes, "edge_index": np.s_[:, edges]}


SPEC = Spec(
    "ClusterPooling",
    pyg=_pyg,
    eqx=_ours,
    call_pyg=_call_pyg,
    call_eqx=_call,
    inputs=_inputs,
    grid=GRID,
    pad=pad_with(np.nan),
    real=_real,
    blocks=lambda inputs, outputs: {**row_groups(inputs), "out.x": outputs["batch"]},
    differentiate=("x",),
    properties={"dtypes": keeps_dtypes(_call)},
    input_classes=FEW_CLASSES,
)

OPERATOR = Operator(
    ClusterPooling,
    spec=SPEC,
    faults=(
        *edits(
            "nn.pool._joined:_log_softmax",
            (
                "softmax over padding edges",
                "jnp.where(real, jnp.exp(raw), 0)",
                "jnp.exp(raw)",
                "log_softmax",
            ),
        ),
        *edits(
            "nn.pool._joined:ClusterPooling.assign",
            ("the threshold is 0", "score > self.threshold", "score > 0", "threshold"),
        ),
        *edits(
            "nn.pool._joined:merge_along",
            (
                "merged nodes count themselves",
                "alone.astype(score.dtype)",
                "jnp.ones_like(alone, score.dtype)",
            ),
            (
                "shares are detached",
                "jnp.concatenate([weight, ",
                "jnp.concatenate([DETACHED(weight), ",
            ),
            (
                "loops have shares",
                "remove_self_loops(edge_index, score, num_nodes)",
                "(edge_index, score)",
            ),
            (
                "features of targets",
                "jnp.concatenate([source, own.node_index.astype(source.dtype)])",
                "jnp.concatenate([target, own.node_index.astype(source.dtype)])",
            ),
        ),
        *edits(
            "nn.pool._cluster:pooled_edges",
            ("clusters keep loops", "if not keep_loops:", "if False:"),
        ),
    ),
    live=False,
    cases=few_cases,
    cost=6,
)
