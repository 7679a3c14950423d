import jax

from jraphx_eqx.nn.pool import DMoNPooling
from jraphx_eqx.parity import Config

from .._operator import edits
from ..families.common import WIDTH, undrawn
from ..families.memberships import CLUSTERS, CUTS, memberships

GRID = (
    Config({"features": WIDTH}),
    Config({"features": (WIDTH, 5)}, {"weight": False}),
)


def _pyg(features):
    from torch_geometric.nn import DMoNPooling as PyGDMoNPooling

    return PyGDMoNPooling(features if features == WIDTH else list(features), CLUSTERS)


def _ours(features):
    return undrawn(lambda: DMoNPooling(features, CLUSTERS, key=jax.random.key(0)))


def _by_graph(module, x, adj):
    _, out, pooled, *losses = module(x, adj)
    return out[0], pooled[0], *losses


OPERATOR = memberships(
    DMoNPooling,
    _pyg,
    _ours,
    _by_graph,
    ("spectral_loss", "ortho_loss", "cluster_loss"),
    GRID,
    (
        *CUTS,
        *edits(
            "nn.pool._dmon:DMoNPooling.losses",
            ("degrees of targets", "edge_index[0]", "edge_index[1]"),
        ),
        *edits(
            "nn.pool._dmon:DMoNPooling.reduce",
            ("no SELU", "jax.nn.selu(select.reduce(x))", "select.reduce(x)"),
        ),
        *edits(
            "nn.pool._dmon:DMoNPooling._losses",
            ("no edges by chance", "trace - chance", "trace"),
            ("sizes are of all graphs", "if self.pyg_compat:", "if True:"),
        ),
    ),
    cost=6,
)
