"""Aggregations of three rows of one graph, one of another, and none of a third, on paper."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn import LSTM, MultiheadAttention, aggr
from jraphx_eqx.nn.conv import GraphConv, SAGEConv
from jraphx_eqx.nn.pool import SelectOutput, batch_histogram, global_softmax_pool, global_sort_pool

pytestmark = pytest.mark.usefixtures("quick_compile")

X = jnp.array([[1.0, 4.0], [5.0, 0.0], [3.0, 2.0], [2.0, -1.0]])
INDEX = jnp.array([0, 2, 0, 0])
ROOT = math.sqrt(3)

WORKED = {
    "SumAggregation": (aggr.SumAggregation(), [[6, 5], [0, 0], [5, 0]]),
    "MeanAggregation": (aggr.MeanAggregation(), [[2, 5 / 3], [0, 0], [5, 0]]),
    "MaxAggregation": (aggr.MaxAggregation(), [[3, 4], [0, 0], [5, 0]]),
    "MinAggregation": (aggr.MinAggregation(), [[1, -1], [0, 0], [5, 0]]),
    "MulAggregation": (aggr.MulAggregation(), [[6, -8], [1, 1], [5, 0]]),
    "VarAggregation": (aggr.VarAggregation(), [[2 / 3, 38 / 9], [0, 0], [0, 0]]),
    "StdAggregation": (
        aggr.StdAggregation(),
        [[math.sqrt(2 / 3), math.sqrt(38) / 3], [0, 0], [0, 0]],
    ),
    "VariancePreservingAggregation": (
        aggr.VariancePreservingAggregation(),
        [[6 / ROOT, 5 / ROOT], [0, 0], [5, 0]],
    ),
    "SoftmaxAggregation": (aggr.SoftmaxAggregation(t=0), [[2, 5 / 3], [0, 0], [5, 0]]),
    "PowerMeanAggregation": (
        aggr.PowerMeanAggregation(p=2, clamp_min=None),
        [[math.sqrt(14 / 3), math.sqrt(7)], [0, 0], [5, 0]],
    ),
    "MedianAggregation": (aggr.MedianAggregation(), [[2, 2], [0, 0], [5, 0]]),
    "QuantileAggregation": (
        aggr.QuantileAggregation([0.25, 1], fill_value=-1),
        [[1.5, 0.5, 3, 4], [-1, -1, -1, -1], [5, 0, 5, 0]],
    ),
    "SortAggregation": (aggr.SortAggregation(2), [[1, 4, 3, 2], [0] * 4, [5, 0, 0, 0]]),
    "AttentionalAggregation": (
        aggr.AttentionalAggregation(lambda x: 0 * x[:, :1], lambda x: 2 * x),
        [[4, 10 / 3], [0, 0], [10, 0]],
    ),
}


@pytest.mark.parametrize("name", WORKED)
def test_rows_that_belong_together_become_one(name):
    layer, expected = WORKED[name]
    np.testing.assert_allclose(layer(X, INDEX), expected, rtol=1e-6, atol=1e-7)


def test_without_weights_set2set_asks_for_nothing_and_returns_means():
    layer = aggr.Set2Set(2, 3, key=jax.random.key(0))
    layer = jax.tree.map(jnp.zeros_like, layer)
    expected = [[0, 0, 2, 5 / 3], [0, 0, 0, 0], [0, 0, 5, 0]]
    np.testing.assert_allclose(layer(X, INDEX), expected, rtol=1e-6)


def test_the_gradient_of_a_product_is_the_product_of_the_others():
    x = jnp.array([[0.0, 0.0, 2.0], [3.0, 0.0, 5.0], [2.0, 2.0, 7.0]])
    gradient = jax.grad(lambda x: aggr.MulAggregation()(x).sum())(x)
    np.testing.assert_array_equal(gradient, [[6, 0, 35], [0, 0, 14], [0, 0, 10]])


def test_scores_whose_exponentials_overflow_have_weights():
    x = jnp.array([[1000.0, -1000.0], [1001.0, -1000.0]])
    weight = 1 / (1 + math.exp(-1))
    expected = [[1000 + weight, -1000]]
    np.testing.assert_allclose(aggr.SoftmaxAggregation()(x), expected, rtol=1e-6)
    layer = aggr.AttentionalAggregation(lambda x: x[:, :1], lambda x: x - 1000)
    np.testing.assert_allclose(layer(x), [[weight, -2000]], rtol=1e-5)


def test_of_equal_values_the_median_gives_the_first_its_gradient():
    gradient = jax.grad(lambda x: aggr.MedianAggregation()(x).sum())
    np.testing.assert_array_equal(
        gradient(jnp.array([[2.0], [1.0], [2.0], [2.0]]))[:, 0], [1, 0, 0, 0]
    )


def test_nan_is_the_largest_of_values():
    x = jnp.array([[jnp.nan], [1.0], [-jnp.nan], [2.0]])
    np.testing.assert_array_equal(aggr.QuantileAggregation([0, 0.33], "lower")(x), [[1, 1]])
    assert np.isnan(aggr.QuantileAggregation(1.0)(x)).all()
    out = aggr.SortAggregation(4)(x)[0]
    assert np.isnan(out[:2]).all() and out[2:].tolist() == [2, 1]


def test_the_deviation_of_nearly_equal_rows_is_0_without_gradient():
    x = jnp.array([[0.001], [0.002]])
    value, gradient = jax.value_and_grad(lambda x: aggr.StdAggregation()(x).sum())(x)
    assert value == 0 and not np.any(gradient)
    # As a difference of squares, which is what PyG computes, it would be 8.
    assert aggr.VarAggregation()(jnp.array([[1e4], [1e4 + 1]])).item() == 0.25


def test_a_sequence_stands_still_where_it_is_not_real():
    lstm = LSTM(2, 3, num_layers=2, bidirectional=True, key=jax.random.key(0))
    x = jnp.stack([X, 2 * X])
    mask = jnp.array([[True] * 4, [True, True, False, False]])
    out = lstm(x, mask)
    assert out.shape == (2, 4, 6)
    np.testing.assert_allclose(out[0], lstm(x[:1])[0], rtol=1e-6)
    np.testing.assert_allclose(out[1, :2], lstm(x[1:, :2])[0], rtol=1e-6)
    np.testing.assert_allclose(out[1, 3, :3], out[1, 1, :3])


def test_readouts_by_the_names_of_jraphx():
    uniform = jnp.array([[1.0, -1.0], [4.0, 1.0], [3.0, -3.0]])
    index = jnp.array([0, 1, 0])
    np.testing.assert_allclose(global_softmax_pool(uniform, index), [[2, -2], [4, 1]], rtol=1e-6)
    weight = math.exp(2.0) / (1 + math.exp(2.0))
    out = global_softmax_pool(jnp.array([[0.0], [4.0]]), temperature=2.0)
    np.testing.assert_allclose(out, [[4 * weight]], rtol=1e-6)
    np.testing.assert_array_equal(global_sort_pool(X, INDEX, 1), [[1, 4], [0, 0], [5, 0]])


def test_a_histogram_counts_as_numpy_does():
    x = jnp.array([[0.0, 9.0], [1.0, 8.0], [2.0, 7.0], [0.5, -1.0], [jnp.nan, 7.0]])
    batch = BatchVector(jnp.array([0, 0, 0, 1, 2]), 2)
    out = batch_histogram(x, batch, bins=2, min_val=0, max_val=2)
    np.testing.assert_array_equal(out, [[1, 2, 0, 0], [1, 0, 0, 0]])
    np.testing.assert_array_equal(out[0, :2], np.histogram([0.0, 1, 2], 2)[0])
    # By default the range is that of all numbers, here from 0 to 9.
    np.testing.assert_array_equal(batch_histogram(x[:3], bins=3), [[3, 0, 0, 0, 0, 3]])


def halving():
    layer = aggr.LCMAggregation(2, 2, project=False, key=jax.random.key(0))
    cell = layer.gru_cell
    zeros = [jnp.zeros_like(array) for array in (cell.weight_ih, cell.weight_hh, cell.bias_hh)]
    # The new state is half of the old one, without its candidate, tanh(0).
    values = (*zeros, jnp.zeros_like(cell.bias_ih))
    where = lambda one: tuple(  # noqa: E731
        getattr(one.gru_cell, name) for name in ("weight_ih", "weight_hh", "bias_hh", "bias_ih")
    )
    return eqx.tree_at(where, layer, values)


def test_rows_are_joined_in_pairs_and_one_alone_goes_on():
    # A quarter of the sum of each pair: (1 + 3) / 4 = 1, and then with the 2 that had no partner.
    np.testing.assert_allclose(halving()(X, INDEX)[:, 0], [(1 + 2) / 4, 0, 5])
    # As PyG does, with a row of zeros after them: (1 + 3) / 4 and (2 + 0) / 4.
    np.testing.assert_allclose(halving()(X, INDEX, max_rows=4)[0, 0], (1 + 0.5) / 4)


def test_several_aggregations_are_combined():
    both = lambda mode: aggr.MultiAggregation(["sum", "mean"], mode=mode)(X, INDEX)  # noqa: E731
    np.testing.assert_allclose(both("cat"), [[6, 5, 2, 5 / 3], [0] * 4, [5, 0, 5, 0]], rtol=1e-6)
    np.testing.assert_allclose(both("max"), [[6, 5], [0, 0], [5, 0]])
    np.testing.assert_allclose(both("var"), [[8, 50 / 9], [0, 0], [0, 0]], rtol=1e-6)
    # Which PyG's fused path gets wrong: one of the two copies is the sum.
    twice = aggr.MultiAggregation(["mean", "mean"])(X, INDEX)
    np.testing.assert_array_equal(twice[:, :2], twice[:, 2:])


def test_degrees_scale_an_aggregation():
    degrees = np.array([0, 1, 0, 3])  # of the training set: once 1, and three times 3
    layer = aggr.DegreeScalerAggregation("sum", ["linear", "inverse_linear"], degrees)
    np.testing.assert_allclose(layer.avg_deg_lin, [2.5])
    np.testing.assert_allclose(layer(X, INDEX)[0], [6 * 3 / 2.5, 6, 6 * 2.5 / 3, 25 / 6], rtol=1e-6)


def test_a_query_attends_to_what_is_real_and_to_nothing_where_nothing_is():
    layer = MultiheadAttention(2, key=jax.random.key(0))
    eye = jnp.eye(2)
    weights = jnp.concatenate([0 * eye, eye, eye]), eye
    where = lambda one: (one.in_proj_weight, one.out_proj.weight)  # noqa: E731
    layer = eqx.tree_at(where, layer, weights)
    x = jnp.array([[[1.0, 2.0], [3.0, 6.0], [9.0, 9.0]]] * 2)
    mask = jnp.array([[True, True, False], [False] * 3])
    out = layer(x[:, :1], x, x, mask)
    np.testing.assert_allclose(out[:, 0], [[2, 4], [0, 0]])
    gradient = jax.grad(lambda x: layer(x[:, :1], x, x, mask).sum())(x)
    np.testing.assert_allclose(gradient, [[[0.5] * 2, [0.5] * 2, [0] * 2], [[0] * 2] * 3])


def test_a_convolution_takes_any_aggregation():
    edges = jnp.array([[0, 1, 2], [3, 3, 3]])
    x = jnp.array([[1.0], [2.0], [6.0], [0.0]])
    conv = SAGEConv(1, 1, aggr="median", root_weight=False, bias=False, key=jax.random.key(0))
    conv = eqx.tree_at(lambda one: one.lin_l.weight, conv, jnp.ones((1, 1)))
    np.testing.assert_array_equal(conv(x, edges)[:, 0], [0, 0, 0, 2])
    several = GraphConv(1, 2, aggr=["sum", "max"], key=jax.random.key(0))
    assert several.lin_rel.weight.shape == (2, 2)
    several = eqx.tree_at(
        lambda one: (one.lin_rel.weight, one.lin_rel.bias, one.lin_root.weight),
        several,
        (jnp.eye(2), jnp.zeros(2), jnp.zeros((2, 1))),
    )
    np.testing.assert_array_equal(several(x, edges)[3], [9, 6])


def test_clusters_are_reduced_by_any_aggregation():
    clusters = jnp.array([0, 0, 0, 1])
    select = SelectOutput(jnp.arange(4), clusters, num_nodes=4, num_clusters=3)
    np.testing.assert_array_equal(select.reduce(X, "median"), [[3, 2], [2, -1], [0, 0]])
    out = select.reduce(X, aggr.PowerMeanAggregation(2.0, clamp_min=None))
    np.testing.assert_allclose(out[1], [2, 1], rtol=1e-6)
