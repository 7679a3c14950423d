import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.conv import GATConv
from jraphx_eqx.nn.pool import SAGPooling, TopKPooling, select_nodes
from jraphx_eqx.parity import Config, Decision, Rows, Spec, Stage

from ._inputs import (
    EDGE_CLASSES,
    ROWS,
    edge_groups,
    one_graph,
    pad_with,
    row_groups,
    small_blocks,
    undrawn,
)
from ._properties import POOLING, keeps_dtypes

WIDTH = 3
TOPK = (
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
SAG = (
    Config({"gnn": "graph"}),
    Config({"gnn": "gcn", "ratio": 0.5}, cases=("linked_pairs",)),
    Config({"gnn": "gat", "ratio": 0.3, "multiplier": 2.0}, {"edges": 1}),
    Config({"gnn": "sage", "ratio": 0.8, "nonlinearity": "sigmoid"}),
    Config({"gnn": "graph", "ratio": 4}, {"edges": None}),
    Config({"gnn": "graph", "min_score": 0.2}, {"attn": True, "by_block": True}),
    Config({"gnn": "gcn", "min_score": 0.1, "multiplier": 3.0}),
    Config({"gnn": "gat", "min_score": 0.3}),
    Config({"gnn": "sage", "min_score": 0.05}, {"edges": None}),
    Config({"gnn": "gcn", "ratio": 0.6}, {"attn": True}),
    Config({"gnn": "gat, 2 heads", "ratio": 0.5}),
    Config({"gnn": "graph", "ratio": 0.5}, {"batched": False, "by_block": True}),
    Config({"gnn": "graph", "ratio": 0.5, "nonlinearity": "identity", "multiplier": 2.0}),
    Config({"gnn": "linear", "ratio": 0.6}),
)
POOL_ROWS = {
    **ROWS,
    "out.x": Rows("kept"),
    "out.score": Rows("kept"),
    "out.perm": Rows("kept", holds="node"),
    "out.lifted": Rows("node"),
    "out.batch": Rows("kept", holds="graph"),
    "out.edge_index": Rows("kept_edge", axis=1, holds="kept"),
    "out.edge_attr": Rows("kept_edge"),
}

TOPK_CLASSES = {**EDGE_CLASSES, "room for no node": lambda inputs: inputs.get("max_nodes") == 0}

OUTPUTS = ("x", "edge_index", "edge_attr", "batch", "perm", "score")


def _with_function(options, functions):
    """The options, with a function in the place of the name of a nonlinearity."""
    name = options.get("nonlinearity")
    return {**options, "nonlinearity": functions[name]} if name in functions else options


def _pyg_options(options):
    import torch

    return _with_function(options, {"sin": torch.sin, "identity": torch.nn.Identity()})


def _options(options):
    return _with_function(options, {"sin": jnp.sin})


def _pyg_topk(**options):
    from torch_geometric.nn import TopKPooling as PyGTopKPooling

    return PyGTopKPooling(WIDTH, **_pyg_options(options))


def _topk(**options):
    return undrawn(lambda: TopKPooling(WIDTH, **_options(options), key=jax.random.key(0)))


class _Linear(eqx.Module):
    """A scorer that is no convolution: it sees no edges and returns one score for each node."""

    lin: eqx.nn.Linear

    def __call__(self, x, edge_index):
        return jax.vmap(self.lin)(x)[:, 0]


def _pyg_linear(in_channels, out_channels):
    import torch

    class Linear(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = torch.nn.Linear(in_channels, out_channels)

        def forward(self, x, edge_index):
            return self.lin(x)

        def reset_parameters(self):
            self.lin.reset_parameters()

    return Linear()


def _pyg_sag(gnn, **options):
    import torch_geometric.nn as pyg

    name, *heads = gnn.split(", ")
    names = {"graph": "GraphConv", "gcn": "GCNConv", "gat": "GATConv", "sage": "SAGEConv"}
    scorer = _pyg_linear if name == "linear" else getattr(pyg, names[name])
    options.update({"heads": 2} if heads else {})
    return pyg.SAGPooling(WIDTH, GNN=scorer, **_pyg_options(options))


def _sag(gnn, **options):
    return undrawn(lambda: _drawn_sag(gnn, jax.random.key(0), **_options(options)))


def _drawn_sag(gnn, key, **options):
    if gnn == "gat, 2 heads":
        gnn = GATConv(WIDTH, 1, heads=2, key=key)
    elif gnn == "linear":
        gnn = _Linear(eqx.nn.Linear(WIDTH, 1, key=key))
    return SAGPooling(WIDTH, gnn=gnn, **options, key=key)


def _inputs(case, *, edges=2, attn=False, batched=True, room=False, **flags):
    arrays = {name: case[name] for name in ("x", "edge_index", "batch", "num_graphs")}
    if edges == 1:
        arrays["edge_attr"] = case["edge_weight"]
    elif edges is not None:
        attr = case["edge_attr"]
        arrays["edge_attr"] = attr if edges == 2 else np.repeat(attr[..., None], 2, axis=2)
    if attn:
        arrays["attn"] = case["attn"]
    # Absent inputs are None on both sides, and are not differentiated.
    arrays = {"edge_attr": None, "attn": None, **arrays, "batched": batched, **flags}
    if room:  # for all that is real, which is less than there could be
        arrays["max_nodes"] = len(case["x"])
        arrays["max_edges"] = case["edge_index"].shape[1]
    return arrays if batched else one_graph(arrays)


def _pad(inputs, case):
    # A bare batch vector holds no padding.
    return inputs if inputs.get("bare") else pad_with(np.nan)(inputs, case)


def _call_pyg(module, inputs):
    batch = inputs["batch"] if inputs["batched"] else None
    at = (inputs["x"], inputs["edge_index"], inputs["edge_attr"], batch, inputs["attn"])
    outputs = dict(zip(OUTPUTS, module(*at), strict=True))
    if inputs.get("lift"):  # as in PyG's GraphUNet
        lifted = inputs["x"].new_zeros(inputs["x"].shape)
        outputs["lifted"] = lifted.index_put((outputs["perm"],), outputs["x"])
    return outputs


def _batch(inputs):
    return BatchVector(inputs["batch"], inputs["num_graphs"])


def _score(module, inputs):
    features = inputs["x"] if inputs["attn"] is None else inputs["attn"]
    with small_blocks(inputs):
        return module.score(features, inputs["edge_index"], _batch(inputs))


def _select(module, scores, inputs):
    return module.select(scores, _batch(inputs)).node_index


def _call(module, inputs):
    x, edge_index, edge_attr = inputs["x"], inputs["edge_index"], inputs["edge_attr"]
    batch = _batch(inputs) if inputs["batched"] else None
    more = {name: inputs.get(name) for name in ("max_nodes", "max_edges")}
    if inputs.get("bare"):
        batch, more["size"] = inputs["batch"], inputs["num_graphs"]
    with small_blocks(inputs):
        out = module(x, edge_index, edge_attr, batch, inputs["attn"], **more)
    found = _outputs(out.x, out.edge_index, out.edge_attr, out.batch, out.perm, out.score)
    return {**found, "lifted": out.lift(out.x)} if inputs.get("lift") else found


def _outputs(x, edge_index, edge_attr, batch, perm, score):
    return dict(zip(OUTPUTS, (x, edge_index, edge_attr, batch.index, perm, score), strict=True))


def _real(inputs, outputs):
    """What is not padding, by the convention: no index past the end."""
    kept = outputs["perm"] < len(inputs["x"])
    edges = np.all(outputs["edge_index"] < len(outputs["x"]), axis=0)
    in_graph = outputs["batch"] < inputs["num_graphs"]
    return {
        "x": kept,
        "score": kept,
        "perm": kept,
        "batch": in_graph,
        "edge_index": np.s_[:, edges],
        "edge_attr": edges,
        "lifted": inputs["batch"] < inputs["num_graphs"],
    }


def _blocks(inputs, outputs):
    edges = edge_groups(outputs["edge_index"], outputs["batch"])
    kept = {"out.x": outputs["batch"], "out.score": outputs["batch"], "out.edge_attr": edges}
    kept["out.lifted"] = inputs["batch"]
    return {**row_groups(inputs), **kept}


def harder_scores(choice):
    """Most scores replaced: by zeros, NaNs and infinities of both signs, and numbers that differ in
    the last bit; or by the threshold."""
    scores = choice.scores
    if choice.kind == "threshold":
        return np.where(np.arange(len(scores)) % 2, choice.thresholds(scores), scores)
    next_, third = 1 + np.finfo(scores.dtype).eps * np.arange(1, 3)
    special = [np.nan, 0.0, -0.0, 1.0, next_, third, 0.0, -np.nan, np.inf, -0.0, -np.inf]
    return np.resize(np.array(special, scores.dtype), scores.shape)


def _has_ties(options):
    """Of ReLU's zeros and softshrink's, which have both signs; and GCN gives equal scores to nodes
    with the same neighbourhood."""
    return options.get("nonlinearity") in ("relu", "softshrink") or options.get("gnn") == "gcn"


def _decision(config):
    return Decision(
        select_eqx=_select,
        harder=harder_scores,
        ties=_has_ties(config.options),
        # Only GCN, in PyG, gives both nodes of a linked pair the same score to the last bit.
        symmetric=config.options.get("gnn") == "gcn",
    )


def _run_score(module, inputs, known):
    return {"scores": _score(module, inputs)}


def _run_select(module, inputs, known):
    return {"perm": _select(module, known["scores"], inputs)}


def _run_reduce(module, inputs, known):
    select = select_nodes(known["perm"], known["scores"])
    return {"x": module.reduce(inputs["x"], select), "score": select.weight}


def _run_connect(module, inputs, known):
    select = select_nodes(known["perm"], known["scores"])
    at = (inputs["edge_index"], inputs["edge_attr"], _batch(inputs))
    edge_index, edge_attr, batch = module.connect(select, *at)
    return {"edge_index": edge_index, "edge_attr": edge_attr, "batch": batch.index}


STAGES = (
    Stage("score", _run_score, ("scores",)),
    Stage("select", _run_select, ("perm",)),
    Stage("reduce", _run_reduce, ("x", "score")),
    Stage("connect", _run_connect, ("edge_index", "edge_attr", "batch")),
)


def _exact(config):
    """Copies always; the rest where the scores are sums of products, too."""
    copies = () if config.inputs.get("edges", 2) is None else ("out.edge_attr", "d.edge_attr")
    linear = config.options.get("nonlinearity") == "identity"
    return ("out.x", "out.score", *copies) if linear else copies


def _pool_spec(name, pyg, eqx_pool, grid, classes=EDGE_CLASSES):
    return Spec(
        name,
        pyg=pyg,
        eqx=eqx_pool,
        call_pyg=_call_pyg,
        call_eqx=_call,
        inputs=_inputs,
        grid=grid,
        pad=_pad,
        real=_real,
        blocks=_blocks,
        differentiate=("x", "edge_attr", "attn"),
        decision=_decision,
        exact=_exact,
        rows=lambda inputs: POOL_ROWS,
        stages=STAGES,
        properties={**POOLING, "dtypes": keeps_dtypes(_call)},
        input_classes=classes,
    )


SPECS = (
    _pool_spec("TopKPooling", _pyg_topk, _topk, TOPK, TOPK_CLASSES),
    _pool_spec("SAGPooling", _pyg_sag, _sag, SAG),
)
