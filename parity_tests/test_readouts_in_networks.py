"""A whole network with each of the readouts that are met most: ported by names, verified."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
import torch
import torch_geometric.nn as pyg

from jraphx_eqx.fit import Network, verify
from jraphx_eqx.interop import load_state_dict
from jraphx_eqx.nn import Linear, aggr
from jraphx_eqx.nn.conv import GCNConv

from .networks.whole import GRAPHS, graphs
from .networks.whole_theirs import IN

WIDTH, CLASSES, KEY = 4, 3, jax.random.key(0)

# PyG's readout, ours, and how much wider than a node the result is.
READOUTS = {
    "set2set": (lambda: pyg.Set2Set(WIDTH, 3), lambda: aggr.Set2Set(WIDTH, 3, key=KEY), 2),
    "attentional": (
        lambda: pyg.aggr.AttentionalAggregation(torch.nn.Linear(WIDTH, 1, bias=False)),
        lambda: aggr.AttentionalAggregation(Linear(WIDTH, 1, bias=False, key=KEY)),
        1,
    ),
    "sort": (lambda: pyg.aggr.SortAggregation(4), lambda: aggr.SortAggregation(4), 4),
    "multi": (
        lambda: pyg.MultiAggregation(["mean", "max", "std"]),
        lambda: aggr.MultiAggregation(["mean", "max", "std"]),
        3,
    ),
    "graph multiset transformer": (
        lambda: pyg.aggr.GraphMultisetTransformer(WIDTH, 2, heads=2),
        lambda: aggr.GraphMultisetTransformer(WIDTH, 2, heads=2, key=KEY),
        1,
    ),
}


class Theirs(torch.nn.Module):
    def __init__(self, readout, times):
        super().__init__()
        self.conv = pyg.GCNConv(IN, WIDTH)
        self.readout = readout
        self.lin = torch.nn.Linear(times * WIDTH, CLASSES)

    def forward(self, x, edge_index, batch):
        x = torch.tanh(self.conv(x, edge_index))
        return self.lin(self.readout(x, batch))


class Ours(eqx.Module):
    conv: GCNConv
    readout: aggr.AbstractAggregation
    lin: Linear

    def __init__(self, readout, times):
        self.conv = GCNConv(IN, WIDTH, key=KEY)
        self.readout = readout
        self.lin = Linear(times * WIDTH, CLASSES, key=KEY)

    def __call__(self, x, edge_index, batch):
        x = jnp.tanh(self.conv(x, edge_index))
        return self.lin(self.readout(x, batch))


@pytest.mark.parametrize("name", READOUTS)
def test_a_network_with_it_is_ported_and_verified(name):
    theirs, ours, times = READOUTS[name]
    torch.manual_seed(0)
    network = Theirs(theirs(), times).eval()
    port = load_state_dict(Ours(ours(), times), network.state_dict())
    names = ("x", "edge_index", "batch")
    data = Network(graphs("continuous"), names, num_graphs=GRAPHS)
    found = verify(port, network, data, lanes=("f64",))
    assert found.result.exit_code == 0, [r for r in found.result.records if r.verdict != "PASS"]
    passed = {record.tensor for record in found.result.records if record.verdict == "PASS"}
    assert {"out.0", "d.arg0", *(f"d.{name}" for name in network.state_dict())} <= passed
