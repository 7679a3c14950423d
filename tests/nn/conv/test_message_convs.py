"""Convolutions with networks or attributes along the edges, worked by hand.
`parity_tests/test_message_convs.py` compares them with PyG's."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn import Linear, trainable
from jraphx_eqx.nn.conv import (
    DynamicEdgeConv,
    EdgeConv,
    GATv2Conv,
    GINEConv,
    NNConv,
    PNAConv,
    PointNetConv,
)

pytestmark = pytest.mark.usefixtures("quick_compile")
KEY = jax.random.key(0)
# 0 -> 1, 1 -> 2, 0 -> 2, and padding.
EDGES = jnp.array([[0, 1, 0, 3], [1, 2, 2, 3]])
X = jnp.array([[1.0], [2.0], [4.0]])
ATTR = jnp.array([[1.0], [-3.0], [0.5], [jnp.nan]])


def same(rows):
    return rows


def two(rows):
    return 2 * rows


def test_gine_adds_what_is_left_of_a_neighbour_and_its_edge():
    out = GINEConv(1, 1, two)(X, EDGES, ATTR)
    # relu(1 + 1), and relu(2 - 3) + relu(1 + 0.5).
    np.testing.assert_array_equal(out, [[2], [2 * (2 + 2)], [2 * (4 + 1.5)]])


def test_gine_learns_eps_only_if_it_is_told_to():
    for learnt in (True, False):
        assert trainable(GINEConv(1, 1, same, train_eps=learnt)).eps is learnt


def test_gatv2_of_equal_neighbours_is_their_mean():
    conv = GATv2Conv(1, 2, heads=3, key=KEY)
    x = jnp.array([[1.0], [1.0], [1.0]])
    alone = conv.lin_l.weight[:, 0] + conv.lin_l.bias + conv.bias
    np.testing.assert_allclose(conv(x, EDGES), np.tile(alone, (3, 1)), rtol=1e-6)


def test_edge_conv_takes_the_node_and_the_difference():
    out = EdgeConv(1, 2, same)(X, EDGES)
    # The maximum of each column; a node without edges is 0.
    np.testing.assert_array_equal(out, [[0, 0], [2, -1], [4, -2]])
    several = EdgeConv(1, 2, same, ["mean", "min"])(X, EDGES)
    np.testing.assert_array_equal(several[2], [4, -2.5, 4, -3])


def test_dynamic_edge_conv_finds_the_nearest_in_each_graph_and_the_node_itself():
    x = jnp.array([[0.0], [1.0], [5.0], [0.5], [jnp.nan]])
    batch = BatchVector(jnp.array([0, 0, 0, 1, 2]), 2)
    out = DynamicEdgeConv(1, 2, same, 2)(x, batch)
    # Of the node at 5 the nearest is at 1; the one of the second graph has only itself.
    np.testing.assert_array_equal(out, [[0, 1], [1, 0], [5, 0], [0.5, 0], [0, 0]])


def test_nn_conv_multiplies_by_a_matrix_of_the_edge():
    conv = NNConv(
        1, 2, lambda attr: jnp.concatenate([attr, 2 * attr], axis=1), "add", False, key=KEY
    )
    np.testing.assert_array_equal(conv(X, EDGES, ATTR), [[0, 0], [1, 2], [-6 + 0.5, -12 + 1]])


def test_point_net_looks_at_features_and_relative_positions():
    pos = jnp.array([[0.0], [1.0], [3.0]])
    out = PointNetConv(aggr="add")(X, pos, EDGES)
    # With itself at a distance of 0.
    np.testing.assert_array_equal(out, [[1, 0], [2 + 1, -1], [4 + 2 + 1, -2 - 3]])
    out = PointNetConv(add_self_loops=False)(
        None, (pos, pos[1:]), jnp.array([[0, 2, 3], [1, 0, 2]])
    )
    np.testing.assert_array_equal(out, [[2], [-3]])


def test_padded_points_may_hold_anything():
    pos, x = jnp.array([[0.0], [1.0], [jnp.nan]]), X.at[2].set(jnp.nan)
    edges, mask = jnp.array([[0, 3], [1, 3]]), jnp.array([True, True, False])
    linear = Linear(2, 2, key=KEY)

    def loss(linear):
        return jnp.sum(PointNetConv(linear, aggr="add")(x, pos, edges, node_mask=mask))

    gradient = jax.grad(loss)(linear).weight
    np.testing.assert_array_equal(gradient, [[1 + 2 + 1, -1]] * 2)


def test_pna_multiplies_each_aggregation_by_each_scaler():
    conv = PNAConv(1, 1, ["sum", "max"], ["identity", "linear"], np.array([0, 1, 0, 1]), key=KEY)
    # Two neighbours on average. The last node gets 4 + 2 and 4 + 1.
    first = conv.pre_nns[0][0]
    summing = eqx.tree_at(
        lambda lin: (lin.weight, lin.bias), first, (jnp.ones((1, 2)), jnp.zeros(1))
    )
    conv = eqx.tree_at(lambda conv: conv.pre_nns[0].layers, conv, (summing,))
    out = conv(X, EDGES)
    post, lin = conv.post_nns[0][0], conv.lin
    seen = jnp.array([4.0, 11.0, 6.0, 11.0, 6.0])
    np.testing.assert_allclose(out[2], lin(post(seen)), rtol=1e-6)
    assert post.weight.shape == (1, 5)


BAD = {
    "no attributes": (
        lambda: GINEConv(1, 1, same)(X, EDGES),
        r"edge_attr must have shape \(edges, 1\)",
    ),
    "attributes of another width": (
        lambda: GINEConv(1, 1, same, edge_dim=2, key=KEY)(X, EDGES, ATTR),
        r"edge_attr must have shape \(edges, 2\), got \(4, 1\)",
    ),
    "no key": (lambda: GINEConv(1, 1, same, edge_dim=2), "key must be given with edge_dim"),
    "no edge_dim": (
        lambda: GATv2Conv(1, 1, key=KEY)(X, EDGES, ATTR),
        "edge_attr must be None for a layer without edge_dim",
    ),
    "too few messages": (
        lambda: EdgeConv(1, 3, same)(X, EDGES),
        r"nn must return 3 features for each of the 4 edges, as given by out_features, got",
    ),
    "a class": (lambda: EdgeConv(1, 3, Linear), "nn must be a module or a function"),
    "k": (lambda: DynamicEdgeConv(1, 2, same, 0), "k must be at least 1, got 0"),
    "a matrix of another shape": (
        lambda: NNConv(1, 2, same, key=KEY)(X, EDGES, ATTR),
        r"as given by in_features \* out_features, got shape \(4, 1\)",
    ),
    "a wide aggregation": (
        lambda: NNConv(1, 2, same, ["mean", "max"], key=KEY),
        "aggr must keep the 2 features, but makes 4",
    ),
    "positions of other points": (
        lambda: PointNetConv()(X, X[:2], EDGES),
        "x must have one row for each of the 2 rows of pos",
    ),
    "towers": (
        lambda: PNAConv(4, 3, ["sum"], ["identity"], np.ones(2, int), towers=2, key=KEY),
        "towers must divide out_features=3, got 2",
    ),
    "attributes that are needed": (
        lambda: PNAConv(1, 1, ["sum"], ["identity"], np.ones(2, int), 2, key=KEY)(X, EDGES),
        r"edge_attr must have shape \(edges, 2\), got None",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_inputs_are_refused_with_the_reason(name):
    make, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        make()
