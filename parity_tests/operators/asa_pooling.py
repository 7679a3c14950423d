from unittest import mock

import jax
import numpy as np

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.pool import ASAPooling
from jraphx_eqx.parity import Config, Decision, Spec

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
from ..families.keep import harder_scores
from ..families.sparse import Matrix

GRID = (Config({"ratio": 2, "gnn": "gcn", "negative_slope": 0.5, "add_self_loops": True}),)


def _matrix(edge_index, weight, size):
    return Matrix(*edge_index, weight, size)


def _entries(matrix):
    import torch

    return torch.stack([matrix.row(), matrix.col()]), matrix.value()


DENSE = {"to_torch_csr_tensor": _matrix, "to_torch_coo_tensor": _matrix, "to_edge_index": _entries}


def _pyg(gnn, **options):
    import torch_geometric.nn as pyg

    return pyg.ASAPooling(WIDTH, GNN={"gcn": pyg.GCNConv}[gnn], **options)


def _ours(**options):
    return undrawn(lambda: ASAPooling(WIDTH, **options, key=jax.random.key(0)))


def _inputs(case):
    names = ("x", "edge_index", "edge_weight", "batch", "num_graphs")
    return {name: case[name] for name in names}


def call_pyg(module, inputs):
    """PyG's own code on dense matrices: it has no gradients of the weights of edges on a CPU."""
    names = ("x", "edge_index", "edge_weight", "batch")
    dense = mock.patch.multiple("torch_geometric.nn.pool.asap", **DENSE)
    with dense, torch_default(inputs["x"].dtype):
        x, edges, weight, batch, perm = module(*(inputs[name] for name in names))
    order = (edges[0] * len(perm) + edges[1]).argsort()
    edges = {"edge_index": edges[:, order], "edge_attr": weight[order]}
    return {"x": x, **edges, "batch": batch, "perm": perm}


def _batch(inputs):
    return BatchVector(inputs["batch"], inputs["num_graphs"], LARGEST)


def _call(module, inputs):
    out = module(inputs["x"], inputs["edge_index"], inputs["edge_weight"], _batch(inputs))
    edges = {"edge_index": out.edge_index, "edge_attr": out.edge_attr}
    return {"x": out.x, **edges, "batch": out.batch.index, "perm": out.perm}


def _select(module, scores, inputs):
    return module.select(scores, _batch(inputs)).node_index


def _real(inputs, outputs):
    kept = outputs["perm"] < len(inputs["x"])
    edges = np.all(outputs["edge_index"] < len(kept), axis=0)
    nodes = dict.fromkeys(("x", "batch", "perm"), kept)
    return {**nodes, "edge_index": np.s_[:, edges], "edge_attr": edges}


def _blocks(inputs, outputs):
    edges = edge_groups(outputs["edge_index"], outputs["batch"])
    return {**row_groups(inputs), "out.x": outputs["batch"], "out.edge_attr": edges}


def _no_gradient(tensor):
    return "it only ranks" if tensor.startswith("d.select.weight") else None


SPEC = Spec(
    "ASAPooling",
    pyg=_pyg,
    eqx=_ours,
    call_pyg=call_pyg,
    call_eqx=_call,
    inputs=_inputs,
    grid=GRID,
    pad=pad_with(np.nan),
    real=_real,
    blocks=_blocks,
    differentiate=("x", "edge_weight"),
    decision=lambda config: Decision(select_eqx=_select, harder=harder_scores),
    expect_zero=_no_gradient,
    properties={"dtypes": keeps_dtypes(_call)},
    input_classes=FEW_CLASSES,
)

OPERATOR = Operator(
    ASAPooling,
    spec=SPEC,
    faults=(
        *edits(
            "nn.pool._asap:ASAPooling.attention",
            ("attention is detached", "apply_dropout(self.dropout, score, key)", "DETACHED(score)"),
            ("query and neighbour change places", "halves[0] + ", "halves[1] + "),
            ("the slope is 0.2", "self.negative_slope", "0.2"),
        ),
        *edits(
            "nn.pool._asap:ASAPooling.assign",
            ("clusters are not weighted", " * share[:, None]", ""),
            (
                "the fitness is detached",
                "select_nodes(perm, fitness,",
                "select_nodes(perm, DETACHED(fitness),",
            ),
        ),
        *edits(
            "nn.pool._asap:ASAPooling.connect",
            ("clusters never keep loops", "if not self.add_self_loops:", "if True:"),
        ),
        *edits(
            "nn.pool._asap:_with_loops",
            ("loops weigh 0", "num_nodes, 1)", "num_nodes, 0)"),
        ),
        *edits(
            "nn.pool._asap:_product",
            ("edges are reversed", "source, target = edges", "target, source = edges"),
        ),
    ),
    live=False,
    cases=few_cases,
    cost=8,
)
