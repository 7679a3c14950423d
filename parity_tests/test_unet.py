"""Graph U-Nets: the augmentation alone, and conversions both ways."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch_geometric.nn as pyg

from jraphx_eqx.interop import from_pyg, state_dict, to_pyg
from jraphx_eqx.nn.models import GraphUNet
from jraphx_eqx.ops import augment_edges
from jraphx_eqx.parity import graphs

pytestmark = pytest.mark.usefixtures("quick_compile")


def seeded(make, seed=0):
    torch.manual_seed(seed)
    return make()


@pytest.mark.parametrize("seed", range(3))
def test_the_augmentation_is_that_of_pyg(seed):
    case = graphs.double_edges(seed) if seed else graphs.self_loops(0)
    edge_index, weight, num_nodes = case["edge_index"], case["edge_weight"], len(case["x"])
    theirs = pyg.GraphUNet(2, 2, 2, 1).augment_adj(
        torch.tensor(edge_index), torch.tensor(weight), num_nodes
    )
    index, expected = theirs[0].numpy(), theirs[1].numpy()
    # PyTorch leaves the edges from one node in any order.
    order = np.lexsort((index[1], index[0]))
    ours, found, total = jax.jit(augment_edges, static_argnums=(2, 3))(
        jnp.asarray(edge_index), jnp.asarray(weight), num_nodes, 1024
    )
    real = len(order)
    assert 0 < int(total) < 1024
    np.testing.assert_array_equal(ours[:, :real], index[:, order])
    assert np.all(ours[:, real:] == num_nodes)
    np.testing.assert_allclose(found[:real], expected[order], rtol=1e-5)


OPTIONS = [
    {"depth": 1},
    {"depth": 3, "pool_ratios": [0.8, 3, 0.5], "sum_res": False, "act": "elu"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=["plain", "options"])
def test_it_is_converted_both_ways(options):
    theirs = seeded(lambda: pyg.GraphUNet(4, 6, 3, **options))
    ours = from_pyg(theirs)
    assert list(state_dict(ours)) and set(state_dict(ours)) == set(theirs.state_dict())
    back = to_pyg(ours)
    assert repr(back) == repr(theirs)
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor)
    assert bool(eqx.tree_equal(from_pyg(back), ours))
    x, edge_index = torch.randn(12, 4), torch.randint(0, 12, (2, 30))
    np.testing.assert_array_equal(back(x, edge_index).detach(), theirs(x, edge_index).detach())


@pytest.mark.parametrize("ratios", [[0.7, 0.5], [0.7, 3, 0.5, 0.9]])
def test_lists_of_ratios_of_another_length_are_read_as_in_pyg(ratios):
    theirs = pyg.GraphUNet(4, 4, 3, 3, pool_ratios=ratios)
    ours = GraphUNet(4, 4, 3, 3, pool_ratios=ratios, key=jax.random.key(0))
    found = [pool.select.ratio for pool in ours.pools]
    assert found == [pool.ratio for pool in theirs.pools]


def test_of_several_loops_at_a_node_only_the_last_gets_a_gradient():
    theirs = seeded(lambda: pyg.GraphUNet(2, 3, 1, 1))
    ours = from_pyg(theirs)
    x = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    edges = np.array([[0, 0, 0, 1, 2, 3], [0, 0, 1, 2, 3, 0]])
    weight = torch.ones(6, requires_grad=True)
    theirs(torch.tensor(x), torch.tensor(edges), edge_weight=weight).sum().backward()

    def total(weight):
        return jnp.sum(ours(jnp.asarray(x), jnp.asarray(edges), edge_weight=weight))

    gradient = jax.grad(total)(jnp.ones(6))
    # The first loop counts where edges are added up, and not in the convolutions.
    assert abs(float(gradient[0]) - float(weight.grad[0])) > 1e-4
    np.testing.assert_allclose(gradient[1:], weight.grad[1:], rtol=1e-4, atol=1e-6)


def test_other_parts_are_refused():
    theirs = pyg.GraphUNet(4, 4, 3, 2)
    theirs.pools[1] = pyg.SAGPooling(4)
    with pytest.raises(ValueError, match=r"pools=.*SAGPooling has no twin: it must be a .*TopKP"):
        from_pyg(theirs)
    theirs = pyg.GraphUNet(4, 4, 3, 1, act=torch.nn.PReLU())
    with pytest.raises(ValueError, match="PReLU has no known twin"):
        from_pyg(theirs)


def test_an_activation_of_ones_own_goes_by_the_state_dict():
    ours = GraphUNet(2, 3, 1, 1, act=jnp.sin, key=jax.random.key(0))
    with pytest.raises(ValueError, match=re.escape("nonlinearity")):
        to_pyg(ours)
