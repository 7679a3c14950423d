"""Where aggregations differ from PyG's, both sides: what is a mistake there is right here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch_geometric.nn import aggr

from jraphx_eqx.interop import from_pyg


def both(module, x, index, **options):
    """What PyG returns, or its error, and what we return."""
    x = np.asarray(x, np.float32)
    try:
        theirs = module(torch.tensor(x), torch.tensor(index), **options).detach().numpy()
    except IndexError as error:
        theirs = error
    return theirs, np.asarray(from_pyg(module)(jnp.asarray(x), jnp.asarray(index, jnp.int32)))


def test_an_aggregation_may_be_there_twice():
    module = aggr.MultiAggregation(["mean", "mean"])
    theirs, ours = both(module, [[1.0], [3.0], [5.0]], [0, 0, 1])
    np.testing.assert_array_equal(theirs, [[4, 2], [5, 5]])  # the first is a sum
    np.testing.assert_array_equal(ours, [[2, 2], [5, 5]])


def test_a_deviation_among_others_keeps_its_semi_gradient():
    module = aggr.MultiAggregation(["mean", aggr.StdAggregation(semi_grad=True)])
    x = torch.tensor([[1.0], [3.0]], requires_grad=True)
    module(x, torch.tensor([0, 0]))[:, 1].sum().backward()
    layer = from_pyg(module)
    ours = jax.grad(lambda x: layer(x)[:, 1].sum())(jnp.array([[1.0], [3.0]]))
    np.testing.assert_allclose(x.grad[:, 0], [-0.5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(ours[:, 0], [-1, -1], rtol=1e-6)
    # Alone, PyG's is that too.
    alone = torch.tensor([[1.0], [3.0]], requires_grad=True)
    module.aggrs[1](alone, torch.tensor([0, 0])).sum().backward()
    np.testing.assert_allclose(alone.grad[:, 0], [-1, -1], rtol=1e-6)


def test_a_quantile_does_not_depend_on_where_the_graph_is():
    module = aggr.QuantileAggregation(0.7)
    x, index = np.zeros((4003, 1)), np.repeat([0, 1], [4000, 3])
    x[4000:, 0] = 0, 1, 2
    theirs, ours = both(module, x, index)
    alone, _ = both(module, x[4000:], index[4000:] - 1)
    assert abs(theirs[1, 0] - 1.4) > 1e-5 > abs(alone[0, 0] - 1.4)
    assert abs(ours[1, 0] - 1.4) < 1e-6
    near = aggr.QuantileAggregation(0.5, "nearest")
    theirs, ours = both(near, [[1.0], [1.0], [2.0]], [0, 1, 1])
    np.testing.assert_array_equal(theirs, [[1], [2]])
    np.testing.assert_array_equal(ours, [[1], [1]])
    assert both(near, [[1.0], [2.0]], [0, 0])[0].item() == 1  # as PyG's where it comes first


def test_the_first_graph_may_have_no_nodes():
    theirs, ours = both(aggr.MedianAggregation(), [[1.0]], [1])
    assert isinstance(theirs, IndexError)
    np.testing.assert_array_equal(ours, [[0], [1]])


def test_large_numbers_are_sorted_and_stay():
    theirs, ours = both(aggr.SortAggregation(2), [[3e8], [3e8]], [0, 0])
    np.testing.assert_array_equal(theirs, [[0, 0]])
    np.testing.assert_array_equal(ours, np.full((1, 2), 3e8, np.float32))


def test_patches_hold_all_rows_and_the_smallest_graph():
    torch.manual_seed(0)
    module = aggr.PatchTransformerAggregation(1, 1, 4, 4).eval()
    x, other = np.ones((5, 1)), np.ones((5, 1))
    other[4] = 9
    index = [0] * 5
    (left, ours), (right, changed) = both(module, x, index), both(module, other, index)
    assert left == right and ours != changed  # PyG's leaves out the fifth row
    theirs, ours = both(module, x[:2], index[:2])
    assert np.isnan(theirs).all() and np.isfinite(ours).all()


def test_the_penalty_of_a_graph_does_not_depend_on_the_number_of_graphs():
    torch.manual_seed(0)
    module = aggr.EquilibriumAggregation(1, 1, [2])
    x = np.array([[1.0], [2.0], [3.0]])
    pair, ported = both(module, x, [0, 0, 1])
    alone, _ = both(module, x[:2], [0, 0])
    assert abs(pair[0] - alone[0]) > 1e-4
    np.testing.assert_allclose(ported, pair, rtol=1e-5)
    layer = from_pyg(module)
    object.__setattr__(layer, "batch_mean", False)
    ours = layer(jnp.asarray(x, jnp.float32), jnp.array([0, 0, 1]))
    np.testing.assert_allclose(ours[0], alone[0], rtol=1e-5)


@pytest.mark.parametrize("name", ["lstm", "gru", "lcm"])
def test_rows_are_read_as_if_the_graph_were_alone(name):
    kind = {"lstm": aggr.LSTMAggregation, "gru": aggr.GRUAggregation, "lcm": aggr.LCMAggregation}
    torch.manual_seed(0)
    module = kind[name](1, 1)
    x = np.array([[1.0], [2.0], [3.0], [4.0]])
    theirs, ours = both(module, x, [0, 1, 1, 1])
    alone, _ = both(module, x[:1], [0])
    assert abs(theirs[0] - alone[0]) > 1e-4
    np.testing.assert_allclose(ours[0], alone[0], rtol=1e-5)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-5)
