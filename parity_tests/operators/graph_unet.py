"""Graph U-Nets beside PyG's, whose choices are forced at every level."""

import jax
import numpy as np

from jraphx_eqx.data import bounded_batch
from jraphx_eqx.nn.models import GraphUNet
from jraphx_eqx.parity import Config, Decision, Rows, Spec

from .._operator import Made, Operator, Variant, edits
from ..families.common import ROWS, WIDTH, our_layer, pad_with, pyg_layer, row_groups
from .gcn_conv import OVERWRITTEN_LOOP

HIDDEN, OUT = 4, 2
# No graph of any case is larger. A number for each case would compile a program for each.
LARGEST = 64
GRID = (
    Config({"depth": 1}, {"weight": True}),
    Config({"depth": 2, "pool_ratios": [0.8, 0.5], "sum_res": False, "act": "elu"}),
    Config({"depth": 3, "act": "tanh", "pool_ratios": 0.7}, {"weight": True}),
)


def _pyg(**options):
    from torch_geometric.nn import GraphUNet as PyGGraphUNet

    return PyGGraphUNet(WIDTH, HIDDEN, OUT, **options)


def _ours(**options):
    return GraphUNet(WIDTH, HIDDEN, OUT, **options, key=jax.random.key(0))


def _inputs(case, *, weight=False):
    arrays = {name: case[name] for name in ("x", "edge_index", "batch", "num_graphs")}
    return {**arrays, "edge_weight": case["edge_weight"] if weight else None}


def _call_pyg(module, inputs):
    x, edge_index, batch = inputs["x"], inputs["edge_index"], inputs["batch"]
    return {"x": module(x, edge_index, batch, inputs["edge_weight"])}


def _call(module, inputs):
    batch = bounded_batch(inputs["batch"], inputs["num_graphs"], LARGEST)
    return {"x": module(inputs["x"], inputs["edge_index"], batch, inputs["edge_weight"])}


def _padding(module, inputs, outputs):
    padding = outputs["x"][inputs["batch"] >= inputs["num_graphs"]]
    return "padding is not 0 in x" if np.any(padding != 0) else None


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
    decision=lambda config: Decision(ties=True),
    properties={"padding": _padding},
    rows=lambda inputs: {**ROWS, "out.x": Rows("node")},
)


def _variant(name, minor=False, **options):
    def build(dtype, key):
        # Of tanh, because a step of finite differences may cross the kink of ReLU.
        return GraphUNet(WIDTH, 4, 2, act="tanh", dtype=dtype, key=key, **options)

    def call(unet, inputs):
        x, edge_index, edge_attr, batch = inputs
        return unet(x, edge_index, batch, edge_attr[:, 0])

    return Variant(name, build, call, "node", minor)


OPERATOR = Operator(
    GraphUNet,
    spec=SPEC,
    faults=(
        *edits(
            "nn.models._unet:GraphUNet._run",
            ("nothing comes across", "across + up", "up"),
            ("across twice", "across + up", "across + across"),
            ("joined in the other order", "[across, up]", "[up, across]", "False"),
            ("nothing comes up", "across + up", "across"),
            (
                "up is detached",
                "x = across + up if",
                "x = across + DETACHED(up) if",
            ),
            ("levels in the order down", "reversed(levels)", "levels"),
            ("an activation after the last", "[lambda x: x]", "[self.act]"),
            ("no activation before the last", "[self.act] * (", "[lambda x: x] * ("),
            ("padding comes out", "jnp.where(node_mask, x, 0), jnp.nan", "x, jnp.nan"),
        ),
    ),
    live=False,
    divergences=(OVERWRITTEN_LOOP,),
    variants=(
        _variant("unet", depth=2),
        _variant("unet_concat", minor=True, depth=1, pool_ratios=2, sum_res=False),
    ),
    made=(
        Made(
            "GraphUNet",
            our_layer(GraphUNet, 8, 10, depth=2),
            pyg_layer("GraphUNet", 8, 10, depth=2),
        ),
    ),
    cost=120,
)
