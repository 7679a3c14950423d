import dataclasses

import jax

from jraphx_eqx.nn import conv
from jraphx_eqx.nn.models import MLP
from jraphx_eqx.parity import Config, Rows, Spec

from ._inputs import EDGE_CLASSES, ROWS, one_graph, pad_with, row_groups, small_blocks, undrawn
from ._properties import keeps_dtypes

WIDTH, OUT = 3, 4
WEIGHT, COLUMN = {"weight": "edge_weight"}, {"weight": "column"}
ATTR, NUMBER, BY_BLOCK = {"attr": 2}, {"attr": 1}, {"by_block": True}
# Without padding the rows after the last whole block are real ones.
REST_BY_BLOCK = {**BY_BLOCK, "batched": False}
GCN = (
    Config({}, cases=("unsorted",)),
    Config({}, WEIGHT),
    Config({"improved": True}, WEIGHT),
    Config({"improved": True, "bias": False}),
    Config({"add_self_loops": False}, COLUMN),
    Config({"normalize": False}, WEIGHT),
    Config({"normalize": False, "bias": False}, REST_BY_BLOCK),
    Config({"add_self_loops": False}),
)
GAT = (
    Config({}),
    Config({"heads": 3}),
    Config({"heads": 2, "concat": False, "bias": False}),
    Config({"heads": 2, "edge_dim": 2}, {**ATTR, **BY_BLOCK}),
    Config({"edge_dim": 1, "fill_value": 0.5, "negative_slope": 0.5}, NUMBER),
    Config({"edge_dim": 2, "fill_value": "max", "residual": True}, ATTR),
    Config({"edge_dim": 2, "fill_value": "add", "add_self_loops": False}, ATTR),
    Config({"edge_dim": 2, "fill_value": "sum", "heads": 2, "concat": False}, ATTR),
    Config({"edge_dim": 2, "fill_value": "min", "residual": True}, {**ATTR, "batched": False}),
    Config({"edge_dim": 2, "add_self_loops": False}),
    Config({"heads": 2, "concat": False, "residual": True}),
    Config({"edge_dim": 1}, {"attr": "column"}),
)
SAGE = (
    Config({}),
    Config({"aggr": "max"}),
    Config({"aggr": "min", "bias": False}),
    Config({"aggr": "add", "project": True}),
    Config({"aggr": "sum", "root_weight": False}),
    Config({"normalize": True, "project": True}),
    Config({"normalize": True, "root_weight": False, "bias": False}, REST_BY_BLOCK),
)
GRAPH = (
    Config({}),
    Config({}, WEIGHT),
    Config({"aggr": "mean", "bias": False}, COLUMN),
    Config({"aggr": "max"}, WEIGHT),
    Config({"aggr": "min"}),
    Config({"aggr": "sum"}, {**WEIGHT, **REST_BY_BLOCK}),
)

GIN = (
    Config({"train_eps": True, "eps": 0.3}),
    Config({"aggr": "mean", "act": "tanh"}, BY_BLOCK),
    Config({"aggr": "max", "train_eps": True}),
    Config({"aggr": "min"}, {"batched": False}),
)


def _inputs(case, *, weight=None, attr=None, batched=True, by_block=False):
    arrays = {name: case[name] for name in ("x", "edge_index", "batch", "num_graphs")}
    arrays.update({"edge_weight": None, "edge_attr": None, "batched": batched})
    arrays.update({"by_block": True} if by_block else {})
    if weight == "edge_weight":
        arrays["edge_weight"] = case["edge_weight"]
    elif weight == "column":
        arrays["edge_weight"] = case["edge_weight"][:, None]
    elif attr == 1:
        arrays["edge_attr"] = case["edge_weight"]
    elif attr == "column":
        arrays["edge_attr"] = case["edge_weight"][:, None]
    elif attr == 2:
        arrays["edge_attr"] = case["edge_attr"]
    return arrays if batched else one_graph(arrays)


def _call(module, inputs):
    """The same on both sides."""
    features = inputs["edge_weight"] if inputs["edge_attr"] is None else inputs["edge_attr"]
    more = () if features is None else (features,)
    with small_blocks(inputs):
        return {"x": module(inputs["x"], inputs["edge_index"], *more)}


def _real(inputs, outputs):
    num_nodes = int((inputs["batch"] < inputs["num_graphs"]).sum())
    return {"x": slice(num_nodes)}


def _blocks(inputs, outputs):
    return {**row_groups(inputs), "out.x": inputs["batch"]}


def _exact(config):
    """What is a sum of products. Not a mean, see `_global_pools`, nor shares of ties."""
    options, gradients = config.options, ("d.x",)
    if config.inputs.get("weight"):
        gradients = ("d.x", "d.edge_weight")
    aggr = options.get("aggr", "add")
    if aggr in ("max", "min"):
        return ("out.x",)
    return ("out.x", *gradients) if aggr in ("add", "sum") else ()


def _exact_gcn(config):
    return () if config.options.get("normalize", True) else _exact(config)


def _exact_sage(config):
    mean = config.options.get("aggr", "mean") == "mean"
    return () if mean or config.options.get("normalize") else _exact(config)


def _conv_spec(name, grid, exact=lambda config: ()):
    def pyg(**options):
        import torch_geometric.nn

        return getattr(torch_geometric.nn, name)(WIDTH, OUT, **options)

    def ours(**options):
        layer = getattr(conv, name)
        return undrawn(lambda: layer(WIDTH, OUT, **options, key=jax.random.key(0)))

    return Spec(
        name,
        pyg=pyg,
        eqx=ours,
        call_pyg=_call,
        call_eqx=_call,
        inputs=_inputs,
        grid=grid,
        # A convolution cannot know padded nodes. It promises that finite ones change nothing.
        pad=pad_with(7.0),
        real=_real,
        blocks=_blocks,
        differentiate=("x", "edge_weight", "edge_attr"),
        exact=exact,
        rows=lambda inputs: {**ROWS, "out.x": Rows("node")},
        properties={"dtypes": keeps_dtypes(_call)},
        input_classes=EDGE_CLASSES,
    )


def _gin_pyg(act="relu", **options):
    from torch_geometric.nn import MLP, GINConv

    return GINConv(MLP([WIDTH, 5, OUT], act=act, norm=None), **options)


def _gin_ours(act="relu", **options):
    def make():
        mlp = MLP([WIDTH, 5, OUT], act=act, norm=None, key=jax.random.key(0))
        return conv.GINConv(WIDTH, OUT, mlp, **options)

    return undrawn(make)


SPECS = (
    _conv_spec("GCNConv", GCN, _exact_gcn),
    _conv_spec("GATConv", GAT),
    _conv_spec("SAGEConv", SAGE, _exact_sage),
    _conv_spec("GraphConv", GRAPH, _exact),
    dataclasses.replace(_conv_spec("GINConv", GIN), pyg=_gin_pyg, eqx=_gin_ours),
)
