from unittest import mock

import jax
import numpy as np

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.conv import PANConv
from jraphx_eqx.parity import Config, Spec

from .._operator import Operator, edits
from ..families.common import (
    FEW_CLASSES,
    LARGEST,
    WIDTH,
    edge_groups,
    few_cases,
    keeps_dtypes,
    pad_with,
    row_groups,
    torch_default,
    undrawn,
)
from ..families.sparse import Matrix

SIZES = WIDTH, 2


def _pyg(filter_size):
    import torch_geometric.nn

    return torch_geometric.nn.PANConv(*SIZES, filter_size)


def _ours(filter_size):
    return undrawn(lambda: PANConv(*SIZES, filter_size, key=jax.random.key(0)))


def _inputs(case):
    return {name: case[name] for name in ("x", "edge_index", "batch", "num_graphs")}


def _call_pyg(module, inputs):
    """PyG's own code, without torch-sparse."""
    place, product = "torch_geometric.nn.conv.pan_conv", lambda m, x, edge_weight: m.values @ x
    with (
        mock.patch(f"{place}.SparseTensor", Matrix),
        mock.patch.object(module, "propagate", product),
        torch_default(inputs["x"].dtype),
    ):
        x, matrix = module(inputs["x"], inputs["edge_index"])
    matrix = matrix.t()  # from an edge's source to its target
    edges = np.stack([matrix.row(), matrix.col()])
    return {
        "x": x,
        "edge_index": inputs["edge_index"].new_tensor(edges),
        "edge_attr": matrix.value(),
    }


def _call(module, inputs):
    batch = BatchVector(inputs["batch"], inputs["num_graphs"], LARGEST)
    x, edge_index, weight = module(inputs["x"], inputs["edge_index"], batch)
    return {"x": x, "edge_index": edge_index, "edge_attr": weight}


def _real(inputs, outputs):
    nodes = inputs["batch"] < inputs["num_graphs"]
    edges = np.all(outputs["edge_index"] < len(nodes), axis=0)
    return {"x": nodes, "edge_index": np.s_[:, edges], "edge_attr": edges}


def _blocks(inputs, outputs):
    edges = edge_groups(outputs["edge_index"], inputs["batch"])
    return {**row_groups(inputs), "out.x": inputs["batch"], "out.edge_attr": edges}


SPEC = Spec(
    "PANConv",
    pyg=_pyg,
    eqx=_ours,
    call_pyg=_call_pyg,
    call_eqx=_call,
    inputs=_inputs,
    grid=(Config({"filter_size": 3}),),
    pad=pad_with(np.nan),
    real=_real,
    blocks=_blocks,
    differentiate=("x",),
    properties={"dtypes": keeps_dtypes(_call)},
    input_classes=FEW_CLASSES,
)

OPERATOR = Operator(
    PANConv,
    spec=SPEC,
    faults=(
        *edits(
            "nn.conv._pan:PANConv.__call__",
            ("nodes that a node leads to", "x.dtype), edges[1], num", "x.dtype), edges[0], num"),
            ("factors are no products", "jnp.cumprod(self.weight)", "self.weight"),
            (
                "factors are detached",
                "jnp.cumprod(self.weight)",
                "DETACHED(jnp.cumprod(self.weight))",
            ),
            ("rows alone are divided", " * gather(scale, edges[1])", ""),
            (
                "no bias",
                "self.lin(segment_sum(rows, edges[1], num_nodes))",
                "segment_sum(rows, edges[1], num_nodes) @ self.lin.weight.T",
            ),
        ),
        *edits(
            "ops._walks:walks_by_graph",
            ("walks backwards", "gather(table, target), source", "gather(table, source), target"),
        ),
    ),
    live=False,
    cases=few_cases,
    cost=4,
)
