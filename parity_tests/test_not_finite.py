"""NaN and infinity come out in the same places as in PyG, and choose the same nodes.

The cases of the harness are finite.
"""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch_geometric.nn as pyg

from jraphx_eqx.data import BatchVector
from jraphx_eqx.interop import from_pyg
from jraphx_eqx.nn import pool

pytestmark = pytest.mark.usefixtures("quick_compile")

EDGES = np.array([[0, 1, 2, 3, 4], [1, 2, 0, 4, 3]], np.int32)
BATCH = np.array([0, 0, 0, 1, 1], np.int32)
VALUES = [np.nan, np.inf, -np.inf]
POOLS = {
    "topk": lambda: pyg.TopKPooling(2, 0.5),
    "topk min_score": lambda: pyg.TopKPooling(2, min_score=0.3),
    "sag": lambda: pyg.SAGPooling(2, 0.5, GNN=pyg.GCNConv),
    "sag min_score": lambda: pyg.SAGPooling(2, min_score=0.3, GNN=pyg.GCNConv),
}
LAYERS = {
    "gcn": lambda: pyg.GCNConv(2, 1),
    "gat": lambda: pyg.GATConv(2, 1, heads=2),
    "sage": lambda: pyg.SAGEConv(2, 1, normalize=True),
    "graph": lambda: pyg.GraphConv(2, 1, aggr="max"),
    "gin": lambda: pyg.GINConv(torch.nn.Linear(2, 1)),
}
NORMS = {"layer": pyg.LayerNorm, "graph": pyg.GraphNorm}
READOUTS = ["add", "mean", "max"]


def inputs(value):
    """One feature of one node of the first graph is `value`."""
    x = np.array([[1, 2], [value, 1], [3, 1], [0, 5], [2, 2]], np.float32)
    return [torch.tensor(array) for array in (x, EDGES.astype(np.int64), BATCH.astype(np.int64))]


def ours(value):
    x, _, _ = inputs(value)
    return jnp.asarray(x.numpy()), jnp.asarray(EDGES), BatchVector(jnp.asarray(BATCH), 2)


def made(make):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


def assert_alike(found, expected):
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", POOLS)
def test_a_pooling_keeps_the_same_nodes(name, value):
    theirs = made(POOLS[name])
    x, edge_index, batch = inputs(value)
    expected = theirs(x, edge_index, batch=batch)
    x, edge_index, batch = ours(value)
    out = from_pyg(theirs)(x, edge_index, batch=batch).trim()
    np.testing.assert_array_equal(out.perm, expected[4])
    np.testing.assert_array_equal(out.edge_index, expected[1])
    assert_alike(out.x, expected[0])
    assert_alike(out.score, expected[5])


def test_a_pooling_without_direction_keeps_the_first_nodes():
    theirs = made(POOLS["topk"])
    torch.nn.init.zeros_(theirs.select.weight)
    x, edge_index, batch = inputs(0)
    expected = theirs(x, edge_index, batch=batch)
    x, edge_index, batch = ours(0)
    out = from_pyg(theirs)(x, edge_index, batch=batch).trim()
    assert out.perm.tolist() == expected[4].tolist() == [0, 1, 3]
    assert np.all(np.isnan(out.score)) and torch.isnan(expected[5]).all()


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", LAYERS)
def test_a_convolution_spreads_it_to_the_same_nodes(name, value):
    theirs = made(LAYERS[name])
    assert_alike(from_pyg(theirs)(*ours(value)[:2]), theirs(*inputs(value)[:2]))


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", NORMS)
def test_a_norm_spreads_it_in_its_graph(name, value):
    theirs, (x, _, batch) = NORMS[name](2), inputs(value)
    expected = theirs(x, batch)
    x, _, batch = ours(value)
    assert_alike(from_pyg(theirs)(x, batch), expected)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", READOUTS)
def test_a_readout_gives_it_for_its_graph(name, value):
    x, _, index = inputs(value)
    of_theirs, of_ours = (getattr(one, f"global_{name}_pool") for one in (pyg, pool))
    assert_alike(of_ours(ours(value)[0], ours(value)[2]), of_theirs(x, index))
    assert_alike(of_ours(ours(value)[0]), of_theirs(x, None))


@pytest.mark.parametrize("weights", [[-3, 0.5], [-1, 1], [np.inf, 1], [np.nan, 1]])
def test_degrees_that_have_no_root_are_those_of_pyg(weights):
    theirs = made(lambda: pyg.GCNConv(1, 1))
    edges, weights = np.array([[0, 1], [1, 0]]), np.array(weights, np.float32)
    expected = theirs(torch.ones(2, 1), torch.tensor(edges), torch.tensor(weights))
    found = from_pyg(theirs)(jnp.ones((2, 1)), jnp.asarray(edges), jnp.asarray(weights))
    assert_alike(found, expected)
