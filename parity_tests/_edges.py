"""The augmentation of Graph U-Nets, which is not part of any other operator."""

import warnings

import numpy as np

from jraphx_eqx.ops import augment_edges
from jraphx_eqx.parity import Spec

from ._inputs import EDGE_CLASSES, edge_groups, pad_with, row_groups

# Of two edges, for each edge: in no case are there more, and a pixel has 8 neighbours.
PATHS = 8


def _pyg():
    from torch_geometric.nn import GraphUNet

    return GraphUNet(1, 1, 1, 1).augment_adj


def _inputs(case):
    """With two thirds of the nodes, in another order, as a pooling keeps some."""
    names = ("x", "edge_index", "edge_weight", "batch", "num_graphs")
    arrays = {name: case[name] for name in names}
    nodes = np.random.default_rng(len(arrays["x"])).permutation(len(arrays["x"]))
    return {**arrays, "nodes": nodes[: 2 * len(nodes) // 3]}


def _pad(inputs, case):
    padded = pad_with(np.nan)(inputs, case)
    num_nodes = len(padded["x"])
    nodes = np.full(num_nodes, num_nodes, np.int32)
    nodes[: len(inputs["nodes"])] = inputs["nodes"]
    return {**padded, "nodes": nodes}


def _call_pyg(augment, inputs):
    """PyTorch leaves the edges from one node in any order; ours are by target."""
    import torch
    from torch_geometric.nn.pool.connect.filter_edges import filter_adj

    num_nodes = len(inputs["x"])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse", UserWarning)  # PyTorch's, of its own.
        edge_index, weight = augment(inputs["edge_index"], inputs["edge_weight"], num_nodes)
    edge_index, weight = filter_adj(edge_index, weight, inputs["nodes"], num_nodes=num_nodes)
    order = torch.argsort(edge_index[0] * max(num_nodes, 1) + edge_index[1])
    return {"edge_index": edge_index[:, order], "edge_weight": weight[order]}


def _call(augment, inputs, decide):
    edges, num_nodes = inputs["edge_index"], inputs["x"].shape[0]
    room = PATHS * edges.shape[1]
    edge_index, edge_weight, _ = augment(
        edges, inputs["edge_weight"], num_nodes, room, inputs["nodes"]
    )
    return {"edge_index": edge_index, "edge_weight": edge_weight}


def _real(inputs, outputs):
    edges = np.all(outputs["edge_index"] < len(inputs["x"]), axis=0)
    return {"edge_index": np.s_[:, edges], "edge_weight": edges}


def _blocks(inputs, outputs):
    groups = edge_groups(outputs["edge_index"], inputs["batch"][inputs["nodes"]])
    return {**row_groups(inputs), "out.edge_weight": groups}


SPECS = (
    Spec(
        "augment_edges",
        pyg=_pyg,
        eqx=lambda: augment_edges,
        call_pyg=_call_pyg,
        call_eqx=_call,
        inputs=_inputs,
        pad=_pad,
        real=_real,
        blocks=_blocks,
        differentiate=("edge_weight",),
        exact=lambda config: ("out.edge_weight", "d.edge_weight"),
        input_classes=EDGE_CLASSES,
    ),
)
