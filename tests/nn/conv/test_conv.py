"""What holds for all convolutions."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.nn.conv import AbstractConv, GATConv, GCNConv, GraphConv, SAGEConv

# Compilation is nearly all the time that these tests take.
pytestmark = pytest.mark.usefixtures("quick_compile")
KEY = jax.random.key(1)


def with_weight(conv, x, edge_index, attr):
    return conv(x, edge_index, attr[:, 0])


def with_attr(conv, x, edge_index, attr):
    return conv(x, edge_index, attr)


def without(conv, x, edge_index, attr):
    return conv(x, edge_index)


CONVS = {
    "gcn": (GCNConv(3, 2, key=KEY), without),
    "gcn_weight": (GCNConv(3, 2, improved=True, key=KEY), with_weight),
    "gcn_no_loops": (GCNConv(3, 2, add_self_loops=False, key=KEY), with_weight),
    "gcn_plain": (GCNConv(3, 2, normalize=False, key=KEY), with_weight),
    "graph": (GraphConv(3, 2, key=KEY), with_weight),
    "graph_mean": (GraphConv(3, 2, "mean", key=KEY), without),
    "graph_max": (GraphConv(3, 2, "max", key=KEY), with_weight),
    "sage": (SAGEConv(3, 2, normalize=True, project=True, key=KEY), without),
    "sage_min": (SAGEConv(3, 2, "min", key=KEY), without),
    "gat": (GATConv(3, 1, heads=2, key=KEY), without),
    "gat_attr": (GATConv(3, 1, heads=2, edge_dim=2, residual=True, key=KEY), with_attr),
    "gat_no_loops": (GATConv(3, 2, edge_dim=2, add_self_loops=False, key=KEY), with_attr),
}
all_convs = pytest.mark.parametrize(("conv", "call"), CONVS.values(), ids=CONVS)
plain_convs = pytest.mark.parametrize("cls", [GCNConv, GraphConv, SAGEConv, GATConv])

# Two loops on node 0, a double edge, and node 4 without edges; then the padding: past the end at
# both ends, at the source only, at the target only, and far past the end.
NUM_NODES = 5
EDGES = np.array([[0, 1, 0, 2, 3, 2, 0], [1, 0, 0, 1, 2, 1, 0]])
PADDING = np.array([[7, 7, 2, 7, 100], [7, 1, 7, 0, 100]])
X = np.random.default_rng(0).normal(size=(NUM_NODES, 3)).astype(np.float32)
ATTR = np.random.default_rng(1).uniform(0.5, 2, (EDGES.shape[1], 2)).astype(np.float32)


def value_and_gradients(conv, call, x, edge_index, attr):
    parameters, static = eqx.partition(conv, eqx.is_inexact_array)

    def loss(parameters, x, attr):
        out = call(eqx.combine(parameters, static), x, edge_index, attr)[:NUM_NODES]
        return jnp.sum(jnp.sin(out)), out

    return jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(parameters, x, attr)


def padded(attr, rows):
    edge_index = np.concatenate([EDGES, PADDING], axis=1)
    attr = np.concatenate([ATTR, np.full((PADDING.shape[1], 2), attr, np.float32)])
    x = np.concatenate([X, np.full((2, 3), rows, np.float32)])
    return jnp.asarray(x), jnp.asarray(edge_index), jnp.asarray(attr)


@all_convs
def test_padding_changes_no_real_value_and_no_gradient(conv, call):
    program = eqx.filter_jit(value_and_gradients)
    clean = program(conv, call, *padded(attr=0, rows=0))
    for attr, rows in [(np.nan, 0), (np.inf, 0), (-1e30, 0), (np.nan, 5)]:
        poisoned = program(conv, call, *padded(attr, rows))
        for ours, theirs in zip(jax.tree.leaves(clean), jax.tree.leaves(poisoned), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    (_, x_gradient, attr_gradient), _ = clean
    np.testing.assert_array_equal(x_gradient[NUM_NODES:], np.zeros((2, 3)))
    np.testing.assert_array_equal(attr_gradient[EDGES.shape[1] :], np.zeros((PADDING.shape[1], 2)))
    # The same without the padding, which is another program.
    arrays = jnp.asarray(X), jnp.asarray(EDGES), jnp.asarray(ATTR)
    (parameters, x, attr), out = program(conv, call, *arrays)
    (padded_parameters, _, _), padded_out = clean
    np.testing.assert_allclose(padded_out, out, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(x_gradient[:NUM_NODES], x, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(attr_gradient[: EDGES.shape[1]], attr, rtol=1e-5, atol=1e-5)
    leaves = jax.tree.leaves(parameters), jax.tree.leaves(padded_parameters)
    for ours, theirs in zip(*leaves, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@all_convs
def test_rows_outside_the_node_mask_may_hold_anything(conv, call):
    def masked(conv, *arrays):
        mask = jnp.arange(NUM_NODES + 2) < NUM_NODES
        return call(functools.partial(conv, node_mask=mask), *arrays)

    program = eqx.filter_jit(value_and_gradients)
    clean = program(conv, call, *padded(attr=0, rows=0))
    for rows in (0, np.nan, -np.inf):
        poisoned = program(conv, masked, *padded(np.nan, rows))
        for ours, theirs in zip(jax.tree.leaves(clean), jax.tree.leaves(poisoned), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
        (_, x_gradient, _), _ = poisoned
        np.testing.assert_array_equal(x_gradient[NUM_NODES:], np.zeros((2, 3)))


@all_convs
@pytest.mark.parametrize(
    ("num_nodes", "num_edges"), [(0, 0), (0, 3), (1, 0)], ids=["empty", "padding", "one_node"]
)
def test_graphs_may_be_empty(conv, call, num_nodes, num_edges):
    x = jnp.ones((num_nodes, 3))
    edge_index = jnp.full((2, num_edges), num_nodes)
    attr = jnp.ones((num_edges, 2))
    gradients, out = eqx.filter_jit(value_and_gradients)(conv, call, x, edge_index, attr)
    assert out.shape == (num_nodes, 2)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((gradients, out)))


def test_propagate_serves_layers_of_ones_own():
    conv, _ = CONVS["graph"]
    assert isinstance(conv, AbstractConv)
    x = jnp.arange(6.0).reshape(3, 2, 1)
    edge_index = jnp.array([[0, 1, 3], [2, 2, 2]])
    weight = jnp.array([[1.0, 10], [2, 20], [jnp.nan, jnp.nan]])
    out = conv.propagate(x, edge_index, weight)
    np.testing.assert_array_equal(out[2], [[0 * 1 + 2 * 2], [1 * 10 + 3 * 20]])
    out = conv.propagate(x, edge_index, aggr="mean")
    np.testing.assert_array_equal(out[2], [[1], [2]])


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("out_features", [2, 3, 4])
@pytest.mark.parametrize("aggr", ["add", "mean", "max", "min"])
def test_a_map_is_of_what_the_neighbours_give_however_wide_it_is(aggr, out_features, bias):
    conv, _ = CONVS["graph"]
    linear = eqx.nn.Linear(3, out_features, bias, key=KEY)
    mask = jnp.arange(NUM_NODES) != 1
    x, edge_index = jnp.asarray(X), jnp.asarray(EDGES)
    found = conv.propagate_and_project(
        linear, x.at[1].set(jnp.nan), edge_index, aggr=aggr, node_mask=mask
    )
    rows = conv.propagate(x.at[1].set(0), edge_index, aggr=aggr)
    np.testing.assert_allclose(found, jax.vmap(linear)(rows), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "cls",
    [
        GCNConv,
        GraphConv,
        functools.partial(SAGEConv, project=True),
        functools.partial(GATConv, edge_dim=2, residual=True),
    ],
)
def test_parameters_have_the_dtype_asked_for(cls, x64):
    for dtype in (jnp.bfloat16, jnp.float32, jnp.float64, None):
        conv = eqx.filter_eval_shape(cls, 3, 2, dtype=dtype, key=KEY)
        expected = jnp.dtype(jnp.float64 if dtype is None else dtype)
        shapes = [leaf for leaf in jax.tree.leaves(conv) if hasattr(leaf, "dtype")]
        assert {leaf.dtype for leaf in shapes} == {expected}


def test_initialisation_has_the_bounds_of_pyg():
    # glorot: √(6 / (in + out)), and the uniform default: 1 / √in.
    for weight, bound in [
        (GCNConv(50, 100, key=KEY).lin.weight, 0.2),
        (GATConv(50, 25, heads=4, key=KEY).lin.weight, 0.2),
        (GATConv(1, 146, heads=4, key=KEY).att_src, 0.2),
        (GATConv(50, 100, residual=True, key=KEY).res.weight, 0.2),
        (GraphConv(25, 200, key=KEY).lin_root.weight, 0.2),
        (GraphConv(25, 200, key=KEY).lin_rel.bias, 0.2),
        (SAGEConv(25, 200, key=KEY).lin_l.weight, 0.2),
    ]:
        largest = np.max(np.abs(weight))
        assert 0.19 < largest <= 0.2 == bound
    np.testing.assert_array_equal(GCNConv(5, 3, key=KEY).bias, np.zeros(3))


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (GraphConv, {}),
        (SAGEConv, {"project": True}),
        (GATConv, {"heads": 2, "edge_dim": 2, "residual": True}),
    ],
)
def test_no_two_parameters_are_drawn_from_the_same_random_numbers(cls, options):
    conv = cls(3, 4, **options, key=KEY)
    # Of the same numbers within other bounds, the first two have the same ratio.
    drawn = [leaf.ravel() for leaf in jax.tree.leaves(conv) if eqx.is_array(leaf) and leaf.any()]
    ratios = np.array([first / second for first, second, *_ in drawn])
    apart = np.abs(ratios[:, None] - ratios) + np.eye(len(ratios))
    assert np.all(apart > 1e-3)


@plain_convs
def test_wrong_features_are_refused(cls):
    conv = cls(3, 2, key=KEY)
    edge_index = jnp.array([[0], [1]])
    with pytest.raises(ValueError, match="x must have 3 features, as given by in_features, got 4"):
        conv(jnp.ones((2, 4)), edge_index)
    message = "x must have the dtype of the parameters, float32, got bfloat16; cast"
    with pytest.raises(ValueError, match=message):
        conv(jnp.ones((2, 3), jnp.bfloat16), edge_index)
    with pytest.raises(ValueError, match="edge_index must have dtype int32 or int64, got int8"):
        conv(jnp.ones((2, 3)), edge_index.astype(jnp.int8))


@pytest.mark.parametrize("cls", [GCNConv, GraphConv])
def test_wrong_weights_are_refused(cls):
    conv = cls(3, 2, key=KEY)
    x, edge_index = jnp.ones((2, 3)), jnp.array([[0], [1]])
    message = r"edge_weight must be one number for each edge, got shape \(1, 2\)"
    with pytest.raises(ValueError, match=message):
        conv(x, edge_index, jnp.ones((1, 2)))
    message = "edge_weight must have the dtype of the parameters, float32, got float16"
    with pytest.raises(ValueError, match=message):
        conv(x, edge_index, jnp.ones(1, jnp.float16))


@plain_convs
@pytest.mark.parametrize("sizes", [(0, 1), (1, 0), (-1, 2)])
def test_sizes_must_be_positive(cls, sizes):
    with pytest.raises(ValueError, match="features must be at least 1, got"):
        cls(*sizes, key=KEY)


def test_a_weight_of_an_edge_holds_for_all_heads_and_features():
    x = jnp.arange(12.0).reshape(3, 2, 2)
    out = GCNConv(1, 1, key=KEY).propagate(x, jnp.array([[0, 1], [2, 2]]), jnp.array([10.0, 1.0]))
    np.testing.assert_array_equal(out[2], 10 * x[0] + x[1])


def test_degrees_of_half_precision_may_be_larger_than_its_largest_number():
    edge_index, weight = jnp.array([[1, 2, 3], [0, 0, 0]]), jnp.full(3, 30_000, jnp.float16)

    def out(dtype):
        conv = GCNConv(1, 1, dtype=dtype, key=KEY)
        conv = eqx.tree_at(lambda conv: conv.lin.weight, conv, jnp.ones((1, 1), dtype))
        return conv(jnp.ones((4, 1), dtype), edge_index, weight.astype(dtype))

    assert out(jnp.float16).dtype == jnp.float16
    np.testing.assert_allclose(out(jnp.float16), out(jnp.float32), rtol=2e-3)


def test_float32_stays_float32_where_64_bits_are_on(x64):
    conv = GCNConv(3, 2, dtype=jnp.float32, key=KEY)
    x, edge_index = jnp.asarray(X), jnp.asarray(EDGES)
    with jax.numpy_dtype_promotion("strict"):
        assert conv(x, edge_index).dtype == jnp.float32
