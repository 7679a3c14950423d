"""Graph U-Nets beside PyG's.

A spec can force one choice and not one after the other, so both sides choose for themselves, on
graphs without ties.
"""

import dataclasses

import jax
import numpy as np

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.models import GraphUNet
from jraphx_eqx.parity import Config, Rows, Spec, graphs, stable_sort

from ._inputs import ROWS, pad_with, row_groups
from .divergences import DIVERGENCES as ALL_DIVERGENCES

WIDTH, HIDDEN, OUT = 3, 4, 2
# At each level; the padded shapes would have room for far more.
MAX_PATHS = 1024
GRID = (
    Config({"depth": 1}, {"weight": True}),
    Config({"depth": 2, "pool_ratios": [0.8, 0.5], "sum_res": False, "act": "elu"}),
    Config({"depth": 3, "act": "tanh", "pool_ratios": 0.7}, {"weight": True}),
)


# What diverges in its convolutions diverges in the whole.
DIVERGENCES = [
    dataclasses.replace(divergence, operators=("GraphUNet",))
    for divergence in ALL_DIVERGENCES
    if divergence.id == "overwritten-loop"
]


def _pyg(**options):
    from torch_geometric.nn import GraphUNet as PyGGraphUNet

    return PyGGraphUNet(WIDTH, HIDDEN, OUT, **options)


def _ours(**options):
    return GraphUNet(WIDTH, HIDDEN, OUT, **options, key=jax.random.key(0))


def _inputs(case, *, weight=False):
    arrays = {name: case[name] for name in ("x", "edge_index", "batch", "num_graphs")}
    return {**arrays, "edge_weight": case["edge_weight"] if weight else None}


def _call_pyg(module, inputs):
    with stable_sort():
        at = (inputs["x"], inputs["edge_index"], inputs["batch"], inputs["edge_weight"])
        return {"x": module(*at)}


def _call(module, inputs):
    batch = BatchVector(inputs["batch"], inputs["num_graphs"])
    at = (inputs["x"], inputs["edge_index"], batch, inputs["edge_weight"])
    return {"x": module(*at, max_paths=MAX_PATHS)}


def cases():
    """Random graphs, and those corner graphs that have no ties."""
    corners = graphs.corners(0, features=WIDTH)
    corners = [case for case in corners if not case.tags & {"ties", "symmetric"}]
    return [*(graphs.random(seed, features=WIDTH) for seed in range(2)), *corners]


SPEC = Spec(
    "GraphUNet",
    pyg=_pyg,
    eqx=_ours,
    call_pyg=_call_pyg,
    call_eqx=_call,
    inputs=_inputs,
    grid=GRID,
    pad=pad_with(np.nan),
    real=lambda inputs, outputs: {"x": inputs["batch"] < inputs["num_graphs"]},
    blocks=lambda inputs, outputs: {**row_groups(inputs), "out.x": inputs["batch"]},
    differentiate=("x", "edge_weight"),
    rows=lambda inputs: {**ROWS, "out.x": Rows("node")},
)
