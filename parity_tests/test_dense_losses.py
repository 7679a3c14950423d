"""MinCut and DMoNPooling of dense batches beside PyG's. The catalogue has them of edge lists."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch_geometric.nn as pyg
from torch_geometric.utils import to_dense_adj as pyg_to_dense_adj
from torch_geometric.utils import to_dense_batch as pyg_to_dense_batch

from jraphx_eqx.data import BatchVector
from jraphx_eqx.interop import from_pyg, to_pyg
from jraphx_eqx.nn.pool import DMoNPooling, MemPooling, dense_mincut_pool
from jraphx_eqx.ops import to_dense_adj, to_dense_batch

pytestmark = pytest.mark.usefixtures("quick_compile")

BATCHES, WIDTH, CLUSTERS = 20, 3, 4
GRAPHS, LARGEST, EDGES, NODES = 3, 7, 60, 22
SIZE = {"batch_size": GRAPHS, "max_num_nodes": LARGEST}


def random_batch(seed):
    """Graphs with edges in one direction, loops and double edges, each with an edge at least."""
    rng = np.random.default_rng([seed, 53])
    index = np.repeat(np.arange(GRAPHS), rng.integers(2, LARGEST + 1, GRAPHS))
    nodes = [np.flatnonzero(index == graph) for graph in range(GRAPHS)]
    edge_index = np.concatenate(
        [rng.choice(some, (2, rng.integers(4, EDGES // GRAPHS))) for some in nodes], axis=1
    )
    weight = rng.uniform(0.5, 2, edge_index.shape[1])
    return rng.normal(size=(len(index), WIDTH)), edge_index, weight, index


def tensors(x, edge_index, weight, index):
    x, weight = (torch.tensor(value, requires_grad=True) for value in (x, weight))
    edges, batch = torch.tensor(edge_index), torch.tensor(index)
    adj = pyg_to_dense_adj(edges, batch, weight, **SIZE)
    return x, weight, *pyg_to_dense_batch(x, batch, **SIZE), adj


def padded(x, edge_index, weight, index):
    nodes, edges = NODES - len(x), EDGES - len(weight)
    fill = {"constant_values": np.nan}
    arrays = (
        np.pad(x, ((0, nodes), (0, 0)), **fill),
        np.pad(edge_index, ((0, 0), (0, edges)), constant_values=NODES),
        np.pad(weight, (0, edges), **fill),
        np.pad(index, (0, nodes), constant_values=GRAPHS),
    )
    x, edge_index, weight, index = map(jnp.asarray, arrays)
    return x, edge_index, weight, BatchVector(index, GRAPHS)


def loss_of(xp, x, adj, *losses):
    return xp.sin(x).sum() + xp.cos(adj).sum() + sum((3 + i) * one for i, one in enumerate(losses))


@pytest.mark.parametrize("masked", [True, False])
def test_dense_functions_have_the_values_and_gradients_of_pyg(masked):
    torch.manual_seed(1)
    linear = torch.nn.Linear(WIDTH, CLUSTERS).double()
    module = pyg.DMoNPooling(WIDTH, CLUSTERS).double()

    @eqx.filter_jit
    def ours(linear, pool, x, adj, mask):
        mask = mask if masked else None

        def loss(given):
            linear, pool, x, adj = given
            cut = dense_mincut_pool(x, adj, linear(x), mask, 0.7)
            mon = pool.dense(x, adj, mask)[1:]
            return loss_of(jnp, *cut) + loss_of(jnp, *mon), (*cut, *mon)

        return eqx.filter_grad(loss, has_aux=True)((linear, pool, x, adj))

    with jax.enable_x64(True):
        layers = from_pyg(linear), from_pyg(module)
        for seed in range(BATCHES):
            *_, x, mask, adj = tensors(*random_batch(seed))
            x, adj = (value.detach().requires_grad_() for value in (x, adj))
            given = mask if masked else None
            cut = pyg.dense_mincut_pool(x, adj, linear(x), given, temp=0.7)
            mon = module(x, adj, given)[1:]
            (loss_of(torch, *cut) + loss_of(torch, *mon)).backward()
            arrays = (jnp.asarray(value.detach().numpy()) for value in (x, adj, mask))
            gradients, out = ours(*layers, *arrays)
            for left, right in zip(out, (*cut, *mon), strict=True):
                np.testing.assert_allclose(left, right.detach(), rtol=1e-11, atol=1e-12)
            for left, right in zip(gradients[2:], (x, adj), strict=True):
                np.testing.assert_allclose(left, right.grad, rtol=1e-8, atol=1e-10)


def test_the_cluster_loss_of_pyg_mixes_the_sizes_of_graphs():
    # One graph of two nodes and one of one node, all in one of the two clusters.
    module = pyg.DMoNPooling(1, 2)
    with torch.no_grad():
        module.mlp.lins[0].weight.copy_(torch.tensor([[1e3], [0.0]]))
        module.mlp.lins[0].bias.zero_()
    mask = torch.tensor([[True, True], [True, False]])
    x = torch.ones(2, 2, 1)
    theirs = module(x, torch.ones(2, 2, 2), mask)[-1].item()
    ours = from_pyg(module)
    right = DMoNPooling(1, 2, key=jax.random.key(0))
    right = eqx.tree_at(lambda pool: pool.mlp, right, ours.mlp)
    arrays = [jnp.asarray(value.numpy()) for value in (x, torch.ones(2, 2, 2), mask)]
    np.testing.assert_allclose(ours.dense(*arrays)[-1], theirs, rtol=1e-6)
    # sqrt(2) / n * n - 1 for each graph.
    np.testing.assert_allclose(right.dense(*arrays)[-1], np.sqrt(2) - 1, rtol=1e-6)
    np.testing.assert_allclose(theirs, np.sqrt(2) * (2 + 1) / 2 * (1 / 2 + 1) / 2 - 1, rtol=1e-6)


def test_graphs_without_edges_or_nodes_are_nan_in_pyg_and_finite_here():
    s, mask = torch.zeros(2, 3, 2), torch.tensor([[True] * 3, [False] * 3])
    given = torch.ones(2, 3, 1), torch.zeros(2, 3, 3), s, mask
    assert all(loss.isnan() for loss in pyg.dense_mincut_pool(*given)[2:])
    out = dense_mincut_pool(*(jnp.asarray(value.numpy()) for value in given))
    # Equal memberships: SᵀS / |SᵀS| has 1/2 everywhere, the other matrix 1/√2 on its diagonal.
    np.testing.assert_allclose(out[3], np.sqrt(2 * (0.5 - 0.5**0.5) ** 2 + 2 * 0.25), rtol=1e-6)
    assert out[2] == 0


def test_twins_have_the_same_options_and_weights():
    pools = (
        DMoNPooling([3, 5], 4, 0.25, pyg_compat=True, key=jax.random.key(3)),
        MemPooling(3, 2, 5, 4, 0.5, key=jax.random.key(3)),
    )
    for pool in pools:
        again = from_pyg(to_pyg(pool))
        assert eqx.tree_equal(pool, again)
    assert from_pyg(to_pyg(pools[0]).eval()).dropout.inference
    message = r"DMoNPooling with pyg_compat=False has no twin"
    with pytest.raises(ValueError, match=message):
        to_pyg(DMoNPooling(3, 4, key=jax.random.key(0)))
    assert from_pyg(pyg.dense_mincut_pool) is dense_mincut_pool


@pytest.mark.parametrize("seed", range(3))
def test_batches_become_dense_in_any_order(seed):
    x, edge_index, weight, index = random_batch(seed)
    _, _, rows, mask, adj = tensors(x, edge_index, weight, index)
    # Nodes in another order, of which those of a graph keep theirs.
    order = np.random.default_rng(seed).permutation(len(index))
    for graph in range(GRAPHS):
        places = np.flatnonzero(index[order] == graph)
        order[places] = np.sort(order[places])
    place = np.argsort(order)
    with jax.enable_x64(True):
        given = padded(x[order], place[edge_index], weight, index[order])
        x, edge_index, weight, batch = given
        dense, found = to_dense_batch(x, batch, max_nodes=LARGEST)
        np.testing.assert_array_equal(dense, rows.detach())
        np.testing.assert_array_equal(found, mask)
        found = to_dense_adj(edge_index, batch, weight, LARGEST)
        np.testing.assert_allclose(found, adj.detach(), rtol=1e-12)
