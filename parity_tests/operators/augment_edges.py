"""The augmentation of Graph U-Nets, which is not part of any other operator."""

import warnings

import numpy as np

from jraphx_eqx.ops import augment_edges
from jraphx_eqx.parity import Config, Spec

from .._operator import Operator, edits
from ..families.common import EDGE_CLASSES, edge_groups, keeps_dtypes, pad_with, row_groups

# Of two edges, for each edge: in no case are there more, and a pixel has 8 neighbours.
PATHS = 8
# No more are made where the room is not limited.
MOST_PATHS = 2**18


def _pyg():
    from torch_geometric.nn import GraphUNet

    return GraphUNet(1, 1, 1, 1).augment_adj


def _inputs(case, *, some=True):
    """With two thirds of the nodes, in another order, as a pooling keeps some, or with all."""
    names = ("x", "edge_index", "edge_weight", "batch", "num_graphs")
    arrays = {name: case[name] for name in names}
    nodes = np.random.default_rng(len(arrays["x"])).permutation(len(arrays["x"]))
    return {**arrays, "nodes": nodes[: 2 * len(nodes) // 3] if some else None}


def _pad(inputs, case):
    padded = pad_with(np.nan)(inputs, case)
    if inputs["nodes"] is None:
        return padded
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
    if inputs["nodes"] is not None:
        edge_index, weight = filter_adj(edge_index, weight, inputs["nodes"], num_nodes=num_nodes)
    order = torch.argsort(edge_index[0] * max(num_nodes, 1) + edge_index[1])
    return {"edge_index": edge_index[:, order], "edge_weight": weight[order]}


def _call(augment, inputs):
    at = inputs["edge_index"], inputs["edge_weight"], inputs["x"].shape[0]
    edge_index, edge_weight, _ = augment(*at, _max_paths(inputs), inputs["nodes"])
    return {"edge_index": edge_index, "edge_weight": edge_weight}


def _max_paths(inputs):
    num_nodes, num_edges = len(inputs["x"]), inputs["edge_index"].shape[1]
    limited = inputs["nodes"] is not None or num_nodes * num_edges > MOST_PATHS
    return PATHS * num_edges if limited else None


def _real(inputs, outputs):
    edges = np.all(outputs["edge_index"] < len(inputs["x"]), axis=0)
    return {"edge_index": np.s_[:, edges], "edge_weight": edges}


def _room(augment, inputs, outputs):
    """For all single steps and as many paths as were asked for, or as there can be; and not for
    more edges than the nodes have pairs."""
    num_nodes, num_edges = len(inputs["x"]), inputs["edge_index"].shape[1]
    ends = num_nodes if inputs["nodes"] is None else len(inputs["nodes"])
    paths = num_edges * min(num_edges, ends, num_nodes - 1)
    limit = _max_paths(inputs)
    expected = num_edges + (paths if limit is None else min(paths, limit))
    expected = min(expected, ends * (ends - 1))
    found = outputs["edge_index"].shape[1]
    return None if found == expected else f"room for {found} edges, expected {expected}"


def _blocks(inputs, outputs):
    batch, nodes = inputs["batch"], inputs["nodes"]
    groups = edge_groups(outputs["edge_index"], batch if nodes is None else batch[nodes])
    return {**row_groups(inputs), "out.edge_weight": groups}


SPEC = Spec(
    "augment_edges",
    pyg=_pyg,
    eqx=lambda: augment_edges,
    call_pyg=_call_pyg,
    call_eqx=_call,
    grid=(Config(), Config({}, {"some": False})),
    inputs=_inputs,
    pad=_pad,
    real=_real,
    blocks=_blocks,
    differentiate=("edge_weight",),
    exact=lambda config: () if config.inputs else ("out.edge_weight", "d.edge_weight"),
    properties={"room": _room, "dtypes": keeps_dtypes(_call)},
    input_classes=EDGE_CLASSES,
)

OPERATOR = Operator(
    augment_edges,
    spec=SPEC,
    faults=(
        *edits(
            "ops._square:_simple",
            (
                "loops are steps",
                "edge_index, weight = remove_self_loops(edge_index, edge_weight, num_nodes)",
                "weight = edge_weight",
            ),
        ),
        *edits(
            "ops._square:augment_edges",
            ("one step counts once", "2 * direct_weight", "direct_weight"),
            ("no single steps", "2 * direct_weight", "0 * direct_weight"),
            (
                "nodes keep their numbers",
                "labels = positions(node_index, num_nodes, jnp.int32)",
                "labels = jnp.arange(num_nodes, dtype=jnp.int32)",
            ),
            (
                "the first node is no end by default",
                "jnp.arange(num_nodes, dtype=jnp.int32)",
                "jnp.arange(1, num_nodes + 1, dtype=jnp.int32)",
            ),
            ("room for loops", "num_kept * (num_kept - 1)", "num_kept * num_kept"),
        ),
        *edits(
            "ops._square:_paths",
            (
                "weight of the first step only",
                "gather(edge_weight, edge) * gather(end_weight, step)",
                "gather(edge_weight, edge)",
            ),
            (
                "second step is detached",
                "gather(end_weight, step), total",
                "DETACHED(gather(end_weight, step)), total",
            ),
            ("paths backwards", "[begin, end]", "[end, begin]"),
            ("branches of the source", "num_labels, target, num_nodes", "num_labels, source, 0"),
            ("paths between nodes that are not kept", "begin < num_labels", "begin >= num_labels"),
            (
                "second steps to nodes that are not kept",
                "first_true(end < num_labels",
                "first_true(end >= num_labels",
            ),
        ),
        *edits(
            "ops._paths:paths",
            ("last path is lost", "jnp.where(slot < total,", "jnp.where(slot < total - 1,"),
        ),
        *edits(
            "ops._square:path_capacity",
            ("room for a path of each edge", "num_nodes - 1", "1"),
        ),
        *edits(
            "ops._coalesce:coalesce",
            ("equal edges stay", "first = real & jnp.any", "first = real | jnp.any"),
            ("mean of equal edges", "aggregation(aggr)", 'aggregation("mean")'),
            ("largest of equal edges", "aggregation(aggr)", 'aggregation("max")'),
            ("attributes keep their order", "gather(edge_attr, order)", "edge_attr"),
        ),
        *edits(
            "ops._order:edge_order",
            (
                "edges by target",
                "[(target, bits), (source, bits)]",
                "[(source, bits), (target, bits)]",
            ),
        ),
    ),
    cost=47,
)
