import dataclasses

import jax

from jraphx_eqx.nn.conv import GINConv
from jraphx_eqx.nn.models import MLP
from jraphx_eqx.parity import Config

from .._operator import Made, Operator, Variant, edits, pick
from ..families import segment
from ..families.common import WIDTH, undrawn
from ..families.conv import (
    BY_BLOCK,
    OUT,
    conv_spec,
)
from ..families.segment import HIDDEN_ZERO

GRID = (
    Config({"train_eps": True, "eps": 0.3}),
    Config({"aggr": "mean", "act": "tanh"}, BY_BLOCK),
    Config({"aggr": "max", "train_eps": True}),
    Config({"aggr": "min"}, {"batched": False}),
)


def _pyg(act="relu", **options):
    from torch_geometric.nn import MLP, GINConv

    return GINConv(MLP([WIDTH, 5, OUT], act=act, norm=None), **options)


def _ours(act="relu", **options):
    def make():
        mlp = MLP([WIDTH, 5, OUT], act=act, norm=None, key=jax.random.key(0))
        return GINConv(WIDTH, OUT, mlp, **options)

    return undrawn(make)


def _variant(name, minor=False, **options):
    def build(dtype, key):
        mlp = MLP([WIDTH, 4, 2], norm=None, act="tanh", dtype=dtype, key=key)
        return GINConv(WIDTH, 2, mlp, dtype=dtype, **options)

    return Variant(
        name, build, lambda conv, inputs: conv(inputs.x, inputs.edge_index), "conv", minor
    )


def _made_ours(width, **more):
    mlp = MLP([width, 8, 10], norm="graph_norm", **more)
    return GINConv(width, 10, mlp, eps=0.3, train_eps=True)


def _made_pyg(width):
    from torch_geometric.nn import MLP, GINConv

    return GINConv(MLP([width, 8, 10], norm="graph_norm"), eps=0.3, train_eps=True)


OPERATOR = Operator(
    GINConv,
    spec=dataclasses.replace(conv_spec(GINConv, GRID), pyg=_pyg, eqx=_ours),
    faults=(
        *pick(
            segment.FAULTS,
            "every block is the first",
        ),
        *edits(
            "nn.conv._gin:GINConv.__call__",
            ("eps in place of 1 + eps", "(1 + eps)[None]", "eps[None]"),
            ("eps is subtracted", "(1 + eps)", "(1 - eps)"),
            ("node itself is left out", " + (1 + eps)[None] * x", ""),
            (
                "eps is never learnt",
                "self.eps if self.train_eps else jax.lax.stop_gradient(self.eps)",
                "jax.lax.stop_gradient(self.eps)",
            ),
            (
                "eps is always learnt",
                "self.eps if self.train_eps else jax.lax.stop_gradient(self.eps)",
                "self.eps",
                "aggr=mean",
            ),
            ("always the sum", "aggr=self.aggr", 'aggr="add"', "aggr=mean"),
            (
                "neighbours are detached",
                "self.propagate(x,",
                "self.propagate(jax.lax.stop_gradient(x),",
            ),
        ),
        *edits(
            "ops._by_block:segment_reduce_by_block",
            ("a mean by block is a sum", 'if aggr == "mean":', "if False:", "by_block"),
        ),
    ),
    divergences=(HIDDEN_ZERO,),
    variants=(
        _variant("gin", train_eps=True, eps=0.5),
        _variant("gin_max", minor=True, aggr="max"),
    ),
    made=(Made("GINConv", _made_ours, _made_pyg),),
    cost=45,
)
