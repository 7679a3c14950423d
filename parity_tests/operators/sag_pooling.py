import equinox as eqx
import jax

from jraphx_eqx.nn.conv import GATConv
from jraphx_eqx.nn.pool import SAGPooling
from jraphx_eqx.parity import Config

from .._operator import Made, Operator, Variant, edits, entry, pick
from ..families import conv, keep, segment
from ..families.common import WIDTH, our_layer, undrawn
from ..families.keep import keep_spec, keep_variant, our_options, pyg_options

GRID = (
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


PYG_SCORERS = {"graph": "GraphConv", "gcn": "GCNConv", "gat": "GATConv", "sage": "SAGEConv"}


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


def _pyg(gnn, **options):
    import torch_geometric.nn as pyg

    name, *heads = gnn.split(", ")
    scorer = _pyg_linear if name == "linear" else getattr(pyg, PYG_SCORERS[name])
    options.update({"heads": 2} if heads else {})
    return pyg.SAGPooling(WIDTH, GNN=scorer, **pyg_options(options))


def _ours(gnn, **options):
    return undrawn(lambda: _drawn_sag(gnn, jax.random.key(0), **our_options(options)))


def _drawn_sag(gnn, key, **options):
    if gnn == "gat, 2 heads":
        gnn = GATConv(WIDTH, 1, heads=2, key=key)
    elif gnn == "linear":
        gnn = _Linear(eqx.nn.Linear(WIDTH, 1, key=key))
    return SAGPooling(WIDTH, gnn=gnn, **options, key=key)


def _multi_head_scorer(dtype, key):
    gnn = GATConv(WIDTH, 1, heads=2, dtype=dtype, key=key)
    return SAGPooling(WIDTH, gnn=gnn, dtype=dtype, key=key)


def _made(gnn, most, traffic):
    def pyg(width):
        import torch_geometric.nn

        scorer = getattr(torch_geometric.nn, PYG_SCORERS[gnn])
        return torch_geometric.nn.SAGPooling(width, GNN=scorer)

    ours = our_layer(SAGPooling, gnn=gnn)
    return Made(f"SAGPooling ({gnn})", ours, pyg, most, traffic)


OPERATOR = Operator(
    SAGPooling,
    spec=keep_spec(SAGPooling, _pyg, _ours, GRID),
    faults=(
        *keep.FAULTS,
        *pick(
            conv.SOME,
            "half precision comes back in float32",
        ),
        *pick(
            segment.FAULTS,
            "a sum by block without its last rows",
            "every block is the first",
            "softmax without the maximum",
            "softmax sums to less than 1",
            "softmax over all graphs",
            "softmax is detached",
            "softmax in float32",
        ),
        *edits(
            "nn.conv._gcn:GCNConv.__call__",
            (
                "loop of its own is one unit in the last place off",
                "loop_weight[:, None] * rows",
                "(1 + jnp.finfo(x.dtype).eps) * loop_weight[:, None] * rows",
                "gcn, ratio=0.5",
            ),
        ),
        *edits(
            "nn.pool._sag:SAGPooling.score",
            ("padding reaches the scorer", "node_mask=batch.node_mask", "node_mask=None"),
            ("heads are averaged", "jnp.sum(heads, axis=1", "jnp.mean(heads, axis=1", "2 heads"),
            ("first head only", "jnp.sum(heads, axis=1", "jnp.sum(heads[:, :1], axis=1", "2 heads"),
            (
                "edges reversed for the scorer",
                "self.gnn(x, edge_index, node_mask",
                "self.gnn(x, edge_index[::-1], node_mask",
            ),
            (
                "scorer is detached",
                "jnp.sum(heads, axis=1, keepdims=True)",
                "DETACHED(jnp.sum(heads, axis=1, keepdims=True))",
            ),
        ),
        entry("another scorer", "nn.pool._sag._SCORERS", "sage", "graph", likely="gnn=sage"),
    ),
    divergences=keep.DIVERGENCES,
    variants=(
        keep_variant("sag_gcn", SAGPooling, minor=True, gnn="gcn"),
        keep_variant("sag_gat", SAGPooling, gnn="gat", ratio=0.7),
        keep_variant("sag_sage", SAGPooling, minor=True, gnn="sage", nonlinearity="identity"),
        keep_variant("sag_graph", SAGPooling, minor=True, gnn="graph", ratio=3),
        keep_variant(
            "sag_min_score", SAGPooling, minor=True, gnn="graph", min_score=0.2, multiplier=1.5
        ),
        Variant(
            "sag_heads", _multi_head_scorer, lambda pool, inputs: pool(*inputs), "keep", minor=True
        ),
    ),
    made=(
        _made("graph", {"sort": 1, "scatter": 1, "scatter-add": 2, "gather": 8}, (5.83, 9.28)),
        _made("gcn", {"sort": 1, "scatter": 1, "scatter-add": 3, "gather": 9}, (5.73, 8.87)),
        _made("gat", {"sort": 1, "scatter": 1, "scatter-add": 4, "gather": 12}, (7.59, 14.94)),
        _made("sage", {"sort": 1, "scatter": 1, "scatter-add": 3, "gather": 8}, (6.06, 9.59)),
    ),
    cost=100,
)
