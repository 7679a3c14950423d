import dataclasses

import jax

from jraphx_eqx.nn import Linear
from jraphx_eqx.nn.pool import DiffPooling
from jraphx_eqx.parity import Config

from .._operator import Variant, edits
from ..families.common import WIDTH, undrawn
from ..families.memberships import CLUSTERS, FAULTS, memberships

GRID = (Config(), Config({"normalize": False}, {"weight": False}))


def _pyg(normalize=True):
    """PyG has a function, and the network outside."""
    import torch

    class Pool(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gnn, self.normalize = torch.nn.Linear(WIDTH, CLUSTERS), normalize

    return Pool()


def _by_graph(module, x, adj):
    from torch_geometric.nn import dense_diff_pool

    out, pooled, *losses = dense_diff_pool(x, adj, module.gnn(x), normalize=False)
    return out[0], pooled[0], *losses


def _total(module, values, counts):
    """As of one graph of all nodes. PyG divides by the size of the padded batch."""
    links, entropies = values
    link = links.square().sum().sqrt()
    link = link / counts.square().sum() if module.normalize else link
    return link, (entropies * counts).sum() / counts.sum()


def _ours(normalize=True):
    key = jax.random.key(0)
    gnn = undrawn(lambda: Linear(WIDTH, CLUSTERS, key=key))
    return DiffPooling(WIDTH, CLUSTERS, gnn, normalize, key=key)


def _build(dtype, key):
    return DiffPooling(WIDTH, 2, dtype=dtype, key=key)


def _pooled(pool, inputs):
    return pool(inputs.x, inputs.edge_index, inputs.edge_attr[:, 0], inputs.batch)


ENTRY = memberships(
    DiffPooling,
    _pyg,
    _ours,
    _by_graph,
    ("link_loss", "entropy_loss"),
    GRID,
    (
        *FAULTS,
        *edits(
            "nn.pool._diff:_distance",
            ("pairs without an edge do not count", "+ others)", "+ 0 * others)"),
            (
                "equal edges are not one",
                "coalesce(edge_index, weight, select.num_nodes)",
                "(edge_index, weight)",
            ),
        ),
        *edits(
            "nn.pool._diff:DiffPooling.losses",
            ("entropy is over all rows", "jnp.maximum(jnp.sum(counts), 1)", "select.num_nodes"),
            ("always normalised", "if self.normalize:", "if True:", "normalize=False"),
            ("pairs of different graphs count", "jnp.sum(counts**2)", "jnp.sum(counts) ** 2"),
        ),
    ),
    cost=5,
    loops=True,
    total=_total,
)
OPERATOR = dataclasses.replace(
    ENTRY,
    variants=(Variant("diff", _build, _pooled, "pool", mixes=True),),  # by its losses
)
