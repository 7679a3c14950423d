import jax

from jraphx_eqx.nn import Linear
from jraphx_eqx.nn.pool import MinCutPooling
from jraphx_eqx.parity import Config

from .._operator import edits
from ..families.common import WIDTH, undrawn
from ..families.memberships import CLUSTERS, CUTS, memberships

GRID = (Config(), Config({"temp": 0.5}, {"weight": False}))


def _pyg(temp=1.0):
    """PyG has a function, and the network outside."""
    import torch

    class Pool(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gnn, self.temp = torch.nn.Linear(WIDTH, CLUSTERS), temp

    return Pool()


def _by_graph(module, x, adj):
    from torch_geometric.nn import dense_mincut_pool

    out, pooled, *losses = dense_mincut_pool(x, adj, module.gnn(x), temp=module.temp)
    return out[0], pooled[0], *losses


def _ours(temp=1.0):
    key = jax.random.key(0)
    gnn = undrawn(lambda: Linear(WIDTH, CLUSTERS, key=key))
    return MinCutPooling(WIDTH, CLUSTERS, gnn, temp, key=key)


OPERATOR = memberships(
    MinCutPooling,
    _pyg,
    _ours,
    _by_graph,
    ("mincut_loss", "ortho_loss"),
    GRID,
    (
        *CUTS,
        *edits(
            "nn.pool._mincut:MinCutPooling.graph_losses",
            ("degrees of targets", "edge_index[0]", "edge_index[1]"),
            ("volume of memberships", "select.matrix**2", "select.matrix"),
            ("edges that are cut are a gain", "-quotient(", "quotient("),
        ),
        *edits(
            "nn.pool._mincut:MinCutPooling.logits",
            ("temperature is ignored", "out / self.temp", "out", "temp="),
        ),
    ),
    cost=5,
)
