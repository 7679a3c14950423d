"""Norms, on padded batches and on one graph without a batch vector."""

import jax
import numpy as np

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn import norm
from jraphx_eqx.parity import Config, Rows, Spec

from ._inputs import INPUT_CLASSES, ROWS, pad_with, row_groups
from ._properties import keeps_dtypes

WIDTH = 3
# Several graphs of one node each would otherwise have a variance of 0, and a slope of 1/√eps.
LARGE_EPS = {"eps": 0.1}
BATCH_NORM = (
    Config({**LARGE_EPS}),
    Config({**LARGE_EPS, "affine": False}),
    Config({}, {"training": False}),
    Config({"affine": False}, {"training": False, "batched": False}),
    Config({**LARGE_EPS, "track_running_stats": False}, {"training": False}),
)
GRAPH_NORM = (Config({**LARGE_EPS}), Config({**LARGE_EPS}, {"batched": False}))
LAYER_NORM = (
    Config({**LARGE_EPS}),
    Config({**LARGE_EPS, "affine": False}, {"batched": False}),
    Config({**LARGE_EPS, "mode": "node"}),
    Config({**LARGE_EPS, "mode": "node", "affine": False}),
)


def _inputs(case, *, batched=True, training=True):
    arrays = {name: case[name] for name in ("x", "edge_index", "batch", "num_graphs")}
    if not batched:
        arrays.update({"batch": np.zeros_like(case["batch"]), "num_graphs": 1})
    return {**arrays, "batched": batched, "training": training}


def _call_pyg(name):
    def call(module, inputs):
        module.train(inputs["training"])
        given = inputs["batched"] and name != "BatchNorm"
        # PyG cannot count the graphs of no nodes itself.
        more = (inputs["batch"], inputs["num_graphs"]) if given else ()
        return {"x": module(inputs["x"], *more)}

    return call


def _call(module, inputs):
    import equinox as eqx

    module = eqx.nn.inference_mode(module, not inputs["training"])
    if not inputs["batched"]:
        return {"x": module(inputs["x"])}
    return {"x": module(inputs["x"], BatchVector(inputs["batch"], inputs["num_graphs"]))}


def _rows(inputs):
    return {**ROWS, "out.x": Rows("node")}


def _no_gradient(tensor):
    return (
        "a running statistic, which nothing is differentiated by" if "running" in tensor else None
    )


def _norm_spec(name, grid):
    def pyg(**options):
        import torch_geometric.nn

        return getattr(torch_geometric.nn, name)(WIDTH, **options)

    def ours(**options):
        return getattr(norm, name)(WIDTH, **options, key=jax.random.key(0))

    def blocks(inputs, outputs):
        if name == "BatchNorm":  # where every node counts for all others
            return {}
        return {**row_groups(inputs), "out.x": inputs["batch"]}

    return Spec(
        name,
        pyg=pyg,
        eqx=ours,
        call_pyg=_call_pyg(name),
        call_eqx=_call,
        inputs=_inputs,
        grid=grid,
        pad=pad_with(np.nan),
        real=lambda inputs, outputs: {
            "x": slice(int((inputs["batch"] < inputs["num_graphs"]).sum()))
        },
        blocks=blocks,
        differentiate=("x",),
        # One graph may not be taken out of a batch whose nodes all count together.
        rows=None if name == "BatchNorm" else _rows,
        expect_zero=_no_gradient,
        properties={"dtypes": keeps_dtypes(_call)},
        input_classes=INPUT_CLASSES,
    )


SPECS = (
    _norm_spec("BatchNorm", BATCH_NORM),
    _norm_spec("GraphNorm", GRAPH_NORM),
    _norm_spec("LayerNorm", LAYER_NORM),
)
