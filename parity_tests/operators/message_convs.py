"""Convolutions with networks, or attributes of edges, in their messages."""

import dataclasses

import jax
import numpy as np

from jraphx_eqx.nn.conv import EdgeConv, GATv2Conv, GINEConv, NNConv, PNAConv
from jraphx_eqx.nn.models import MLP
from jraphx_eqx.parity import Config

from .._operator import Operator, edits
from ..families.common import EDGE_WIDTH, FEW_CLASSES, WIDTH, few_cases, undrawn
from ..families.conv import ATTR, OUT, conv_spec

KEY = jax.random.key(0)
EDGES = {"edge_dim": EDGE_WIDTH}
DEGREES = (1, 4, 3, 2)
AGGREGATORS = ("mean", "min", "std")
SCALERS = ("identity", "attenuation", "linear")
NETWORKS = {GINEConv: (WIDTH, OUT), EdgeConv: (2 * WIDTH, OUT), NNConv: (EDGE_WIDTH, WIDTH * OUT)}


def _options(options):
    """A list of aggregations, which a configuration holds as a tuple."""
    return {name: list(v) if isinstance(v, tuple) else v for name, v in options.items()}


def _with_network(layer):
    """What makes PyG's and ours with a network inside."""
    before, after = NETWORKS[layer]
    widths = [before, 5, after]

    def pyg(**options):
        import torch_geometric.nn as pyg

        network = pyg.MLP(widths, act="tanh", norm=None)
        sizes = (WIDTH, OUT) if layer is NNConv else ()
        return getattr(pyg, layer.__name__)(*sizes, network, **_options(options))

    def ours(**options):
        def make():
            network = MLP(widths, act="tanh", norm=None, key=KEY)
            return layer(WIDTH, OUT, network, **_options(options), key=KEY)

        return undrawn(make)

    return {"pyg": pyg, "eqx": ours}


def _pyg_pna(**options):
    import torch
    from torch_geometric.nn import PNAConv as PyGPNAConv

    names = list(AGGREGATORS), list(SCALERS)
    return PyGPNAConv(WIDTH, OUT, *names, torch.tensor(DEGREES), **options)


def _our_pna(**options):
    at = WIDTH, OUT, AGGREGATORS, SCALERS, np.asarray(DEGREES)
    return undrawn(lambda: PNAConv(*at, **options, key=KEY))


def _conv(layer, grid, faults, cost, **more):
    spec = dataclasses.replace(conv_spec(layer, grid), input_classes=FEW_CLASSES, **more)
    return Operator(layer, spec=spec, faults=faults, live=False, cases=few_cases, cost=cost)


def _of_call(layer, *changes):
    module = layer.__module__.removeprefix("jraphx_eqx.")
    return edits(f"{module}:{layer.__name__}.__call__", *changes)


OPERATORS = (
    _conv(
        GINEConv,
        (
            Config({**EDGES, "eps": 0.5, "train_eps": True}, ATTR),
            Config({**EDGES, "aggr": "max"}, ATTR),
        ),
        _of_call(
            GINEConv,
            (
                "no relu",
                "jax.nn.relu(gather(x, source) + edge_attr)",
                "gather(x, source) + edge_attr",
            ),
            (
                "attributes are detached",
                "edge_attr = apply_linear(self.lin, edge_attr)",
                "edge_attr = apply_linear(self.lin, DETACHED(edge_attr))",
            ),
            ("eps in place of 1 + eps", "(1 + eps)[None]", "eps[None]"),
            (
                "eps is never learnt",
                "self.eps if self.train_eps else jax.lax.stop_gradient(self.eps)",
                "jax.lax.stop_gradient(self.eps)",
                "train_eps",
            ),
            (
                "messages to the source",
                "(source, target), edge_attr",
                "(target, source), edge_attr",
            ),
        ),
        cost=3,
        **_with_network(GINEConv),
    ),
    _conv(
        GATv2Conv,
        (
            Config({"heads": 2, "add_self_loops": False}),
            Config(
                {
                    **EDGES,
                    "heads": 2,
                    "concat": False,
                    "negative_slope": 0.5,
                    "bias": False,
                    "residual": True,
                    "fill_value": "max",
                },
                ATTR,
            ),
        ),
        (
            *_of_call(
                GATv2Conv,
                ("a node sends itself", "self.propagate(near,", "self.propagate(own,"),
                (
                    "attention is detached",
                    "self.dropout, alpha, key",
                    "self.dropout, DETACHED(alpha), key",
                ),
            ),
            *edits(
                "nn.conv._gatv2:GATv2Conv._attention",
                (
                    "the slope is 0.01",
                    "leaky_relu(seen, self.negative_slope)",
                    "leaky_relu(seen, 0.01)",
                ),
                ("no relu", "leaky_relu(seen, self.negative_slope)", "seen"),
                (
                    "ends change places",
                    "gather(near, source) + gather(own, target)",
                    "gather(own, source) + gather(near, target)",
                ),
                ("softmax by source", "logits, target,", "logits, source,"),
            ),
        ),
        cost=3,
    ),
    _conv(
        EdgeConv,
        (Config(), Config({"aggr": ("mean", "std")})),
        edits(
            "nn.conv._edge:_edge_conv",
            ("neighbours for differences", "gather(x, source) - own", "gather(x, source)"),
            ("differences backwards", "gather(x, source) - own", "own - gather(x, source)"),
            ("messages to the source", "(source, target), _", "(target, source), _"),
            (
                "the node itself is detached",
                "own = gather(x, target)",
                "own = DETACHED(gather(x, target))",
            ),
            ("always the largest", "target, num_nodes, aggr)", 'target, num_nodes, "max")', "std"),
        ),
        cost=3,
        **_with_network(EdgeConv),
    ),
    _conv(
        NNConv,
        (
            Config({}, ATTR),
            Config({"aggr": "mean", "root_weight": False, "bias": False}, ATTR),
        ),
        _of_call(
            NNConv,
            (
                "rows and columns of matrices change places",
                "reshape(-1, self.in_features, self.out_features)",
                "reshape(-1, self.out_features, self.in_features).swapaxes(1, 2)",
            ),
            ("attributes are detached", "self.nn, edge_attr,", "self.nn, DETACHED(edge_attr),"),
            ("messages of the target", "gather(x, source)", "gather(x, target)"),
            ("always the sum", "self.aggr_module or self.aggr", '"add"', "aggr=mean"),
            ("no root", "out + apply_linear(self.lin, x, node_mask)", "out * 1"),
            ("no bias", "add_bias(out, self.bias)", "out"),
        ),
        cost=3,
        **_with_network(NNConv),
    ),
    _conv(
        PNAConv,
        (
            Config(
                {
                    **EDGES,
                    "towers": 2,
                    "pre_layers": 2,
                    "post_layers": 2,
                    "act": "tanh",
                    "train_norm": True,
                },
                ATTR,
            ),
        ),
        _of_call(
            PNAConv,
            (
                "ends change places",
                "[gather(x, target), gather(x, source)]",
                "[gather(x, source), gather(x, target)]",
            ),
            ("towers in another order", "out[:, :, i]", "out[:, :, -1 - i]"),
            (
                "attributes are detached",
                "apply_linear(self.edge_encoder, edge_attr)",
                "apply_linear(self.edge_encoder, DETACHED(edge_attr))",
            ),
            ("the node itself is left out", "[own, aggregated]", "[0 * own, aggregated]"),
            ("messages to the source", "axis=1), target, num_nodes", "axis=1), source, num_nodes"),
        ),
        cost=3,
        pyg=_pyg_pna,
        eqx=_our_pna,
        weights=lambda name, drawn: 0.5 + np.abs(drawn) if "avg_deg" in name else drawn,
        renames={
            f"{part}.{tower}.{layer}.{name}": f"{part}.{tower}.layers.{layer}.{name}"
            for part in ("pre_nns", "post_nns")
            for tower in range(2)
            for layer in (0, 2)
            for name in ("weight", "bias")
        },
    ),
)
