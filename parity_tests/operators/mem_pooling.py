import jax

from jraphx_eqx.nn.pool import MemPooling
from jraphx_eqx.parity import Config

from .._operator import edits
from ..families.common import WIDTH, undrawn
from ..families.memberships import CLUSTERS, FAULTS, memberships

GRID = (Config({"heads": 2, "tau": 2.5}),)
SIZES = WIDTH, 2


def _pyg(heads, tau):
    from torch_geometric.nn import MemPooling as PyGMemPooling

    return PyGMemPooling(*SIZES, heads, CLUSTERS, tau)


def _ours(heads, tau):
    return undrawn(lambda: MemPooling(*SIZES, heads, CLUSTERS, tau, key=jax.random.key(0)))


def _by_graph(module, x, adj):
    """PyG pools no edges."""
    out, s = module(x[None])
    return out[0], s[0].T @ adj @ s[0], module.kl_loss(s)


OPERATOR = memberships(
    MemPooling,
    _pyg,
    _ours,
    _by_graph,
    ("kl_loss",),
    GRID,
    (
        *FAULTS,
        *edits(
            "nn.pool._mem:MemPooling.logits",
            ("tau is 1 in the power", "(-(self.tau + 1) / 2)", "-1.0"),
            ("tau is 1 in the distance", "/ self.tau)", ")"),
            ("shares are over the heads", "axis=2, keepdims=True", "axis=1, keepdims=True"),
        ),
        *edits(
            "nn.pool._mem:MemPooling.reduce",
            ("no linear map", "self.lin(select.reduce(x))", "select.reduce(x)[:, :2]"),
        ),
        *edits(
            "nn.pool._mem:MemPooling.losses",
            (
                "the target is detached",
                "quotient(target, total), s)",
                "DETACHED(quotient(target, total)), s)",
            ),
            ("a sum over graphs", "/ jnp.maximum(graphs, 1)", ""),
        ),
        *edits(
            "nn.pool._mem:_squared_distances",
            ("distances are not squared", "** 2, axis=2", ", axis=2"),
        ),
    ),
    cost=5,
    loops=True,
)
