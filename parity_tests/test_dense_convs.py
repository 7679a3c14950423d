"""The convolutions by adjacency matrices beside PyG's: values and gradients in float64."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch_geometric.nn as pyg

from jraphx_eqx.interop import from_pyg, state_dict, to_pyg

pytestmark = pytest.mark.usefixtures("quick_compile")

WIDTH, OUT, GRAPHS, NODES = 3, 2, 3, 5


def network():
    return torch.nn.Sequential(torch.nn.Linear(WIDTH, 4), torch.nn.Tanh(), torch.nn.Linear(4, OUT))


LAYERS = {
    "gcn": (lambda: pyg.DenseGCNConv(WIDTH, OUT), {}),
    "gcn, improved": (lambda: pyg.DenseGCNConv(WIDTH, OUT, True, False), {"add_loop": False}),
    "sage": (lambda: pyg.DenseSAGEConv(WIDTH, OUT), {}),
    "sage, normalized": (lambda: pyg.DenseSAGEConv(WIDTH, OUT, True, False), {}),
    "graph": (lambda: pyg.DenseGraphConv(WIDTH, OUT), {}),
    "graph, mean": (lambda: pyg.DenseGraphConv(WIDTH, OUT, "mean"), {}),
    "graph, max": (lambda: pyg.DenseGraphConv(WIDTH, OUT, "max", False), {}),
    "gat": (lambda: pyg.DenseGATConv(WIDTH, OUT, 2), {}),
    "gat, averaged": (lambda: pyg.DenseGATConv(WIDTH, OUT, 2, False, 0.1, bias=False), {}),
    "gin": (lambda: pyg.DenseGINConv(network(), 0.5, True), {}),
    "gin, no loop": (lambda: pyg.DenseGINConv(network()), {"add_loop": False}),
}


def given(one):
    """Graphs of 5, 3 and 1 nodes with weights, or one matrix for all of them."""
    rng = np.random.default_rng(5)
    mask = np.arange(NODES) < np.array([[5], [3], [1]])
    adj = rng.uniform(0.5, 2, (GRAPHS, NODES, NODES)) * (rng.random((GRAPHS, NODES, NODES)) < 0.4)
    adj = adj[:1] if one else adj * mask[:, :, None] * mask[:, None]
    # Equal features, at which a maximum has several arguments.
    x = rng.integers(-2, 3, (GRAPHS, NODES, WIDTH)) * mask[:, :, None] / 2
    return x, adj, mask


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("one", [False, True], ids=["a matrix for each", "one matrix"])
def test_values_and_gradients(name, one):
    make, options = LAYERS[name]
    torch.manual_seed(1)
    module = make().double()
    x, adj, mask = given(one)
    leaves = [torch.tensor(value, requires_grad=True) for value in (x, adj)]
    expected = module(*leaves, None if one else torch.tensor(mask), **options)
    torch.sin(expected).sum().backward()
    with jax.enable_x64(True):
        layer = from_pyg(module)
        assert eqx.tree_equal(layer, from_pyg(to_pyg(layer)))

        @eqx.filter_jit
        def program(layer, x, adj, mask):
            def loss(given):
                out = given[0](*given[1:], mask, **options)
                return jnp.sum(jnp.sin(out)), out

            return eqx.filter_grad(loss, has_aux=True)((layer, x, adj))

        padded = x if one else np.where(mask[:, :, None], x, np.nan)
        arrays = (jnp.asarray(value) for value in (padded, adj))
        gradients, out = program(layer, *arrays, None if one else jnp.asarray(mask))
    np.testing.assert_allclose(out, expected.detach(), rtol=1e-12, atol=1e-13)
    if one:
        np.testing.assert_allclose(gradients[1], leaves[0].grad, rtol=1e-9, atol=1e-12)
    else:  # In PyG padding has gradients, of its bias.
        left, right = (np.asarray(g)[mask] for g in (gradients[1], leaves[0].grad))
        np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-12)
        assert not np.any(np.asarray(gradients[1])[~mask])
    adj_gradient = np.zeros_like(adj) if leaves[1].grad is None else leaves[1].grad
    np.testing.assert_allclose(gradients[2], adj_gradient, rtol=1e-9, atol=1e-12)
    ported = state_dict(gradients[0])
    for key, parameter in module.named_parameters():
        np.testing.assert_allclose(ported[key], parameter.grad, rtol=1e-9, atol=1e-12)


def test_a_node_without_neighbours_is_nan_in_pyg_and_has_no_attention_here():
    module = pyg.DenseGATConv(1, 1)
    x, adj = torch.ones(1, 2, 1), torch.tensor([[[0.0, 1.0], [0.0, 0.0]]])
    theirs = module(x, adj, add_loop=False)
    arrays = jnp.ones((1, 2, 1)), jnp.asarray(adj.numpy())
    out = from_pyg(module)(*arrays, add_loop=False)
    assert theirs[0, 1].isnan() and out[0, 1, 0] == 0
    np.testing.assert_allclose(out[0, 0], theirs[0, 0].detach(), rtol=1e-6)
