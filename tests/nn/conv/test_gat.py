import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.nn.conv import GATConv

pytestmark = pytest.mark.usefixtures("quick_compile")
KEY = jax.random.key(0)
LOG2 = float(np.log(2))
ONE_EDGE = jnp.array([[0], [1]])
# Nodes 0 and 2 point at node 1.
X = jnp.array([[7.0], [14.0], [21.0]])
TWO_EDGES = jnp.array([[0, 2], [1, 1]])


@eqx.filter_jit
def run(conv, *inputs, key=None):
    return conv(*inputs, key=key)


def gat(att_src=0.0, att_dst=0.0, **options):
    """One feature, weight 1, bias 0."""
    conv = GATConv(1, 1, key=KEY, **options)
    shape = conv.att_src.shape
    return eqx.tree_at(
        lambda conv: (conv.lin.weight, conv.att_src, conv.att_dst),
        conv,
        (jnp.ones_like(conv.lin.weight), jnp.full(shape, att_src), jnp.full(shape, att_dst)),
    )


def edge_gat(**options):
    """Edges with attribute e have weight exp(e), as long as it is positive."""
    conv = gat(edge_dim=1, **options)
    ones = jnp.ones((1, 1)), jnp.ones((1, 1, 1))
    return eqx.tree_at(lambda conv: (conv.lin_edge.weight, conv.att_edge), conv, ones)


def test_neighbours_and_the_node_itself_share_the_attention():
    x = jnp.array([[0.0], [np.log(3)]])
    # exp(0) and exp(log 3): a quarter and three quarters.
    out = run(gat(att_src=1.0), x, ONE_EDGE)
    np.testing.assert_allclose(out, [[0], [0.75 * np.log(3)]], rtol=1e-6)


def test_the_target_decides_only_through_the_leaky_relu():
    x = jnp.array([[1.0], [2.0]])
    np.testing.assert_allclose(run(gat(att_dst=5.0), x, ONE_EDGE), [[1], [1.5]], rtol=1e-6)


def test_negative_logits_are_scaled():
    x = jnp.array([[-5 * LOG2], [0.0]])
    # exp(-log 2) against exp(0).
    out = run(gat(att_src=1.0), x, ONE_EDGE)
    np.testing.assert_allclose(out[1], [-5 * LOG2 / 3], rtol=1e-6)
    out = run(gat(att_src=1.0, negative_slope=0.4), x, ONE_EDGE)
    np.testing.assert_allclose(out[1], [-5 * LOG2 / 5], rtol=1e-6)


def test_the_slope_at_a_logit_of_zero_is_the_negative_one():
    conv = gat()
    x = jnp.array([[1.0], [3.0]])

    def value(att_src):
        conv_ = eqx.tree_at(lambda conv: conv.att_src, conv, jnp.full((1, 1, 1), att_src))
        return run(conv_, x, ONE_EDGE)[1, 0]

    # The mean of 1 and 3 moves by 0.2 times the variance.
    np.testing.assert_allclose(jax.grad(value)(0.0), 0.2 * 1, rtol=1e-6)


def test_edge_attributes_weigh_edges():
    out = run(edge_gat(add_self_loops=False), X, TWO_EDGES, jnp.array([[0.0], [2 * LOG2]]))
    np.testing.assert_allclose(out, [[0], [(7 + 4 * 21) / 5], [0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("fill_value", "loop"),
    [("mean", 2), ("add", 4), ("sum", 4), ("max", 4), ("min", 1), (0.0, 1), (LOG2, 2)],
)
def test_new_loops_get_the_attribute_that_fill_value_says(fill_value, loop):
    conv = edge_gat(fill_value=fill_value)
    out = run(conv, X, TWO_EDGES, jnp.array([0.0, 2 * LOG2]))
    expected = (7 + 4 * 21 + loop * 14) / (1 + 4 + loop)
    np.testing.assert_allclose(out, [[7], [expected], [21]], rtol=1e-6)


def test_existing_loops_are_replaced_with_their_attributes():
    edge_index = jnp.array([[1, 0, 2, 1], [1, 1, 1, 1]])
    attr = jnp.array([30.0, 0.0, 2 * LOG2, 40.0])
    out = run(edge_gat(), X, edge_index, attr)
    np.testing.assert_allclose(out[1], [(7 + 4 * 21 + 2 * 14) / 7], rtol=1e-6)


def test_existing_loops_stay_without_new_ones():
    out = run(gat(add_self_loops=False), X, jnp.array([[1, 1, 0], [1, 1, 1]]))
    np.testing.assert_allclose(out, [[0], [(14 + 14 + 7) / 3], [0]], rtol=1e-6)


def test_edges_do_not_count_without_their_attributes():
    conv = edge_gat()
    np.testing.assert_allclose(run(conv, X, TWO_EDGES)[1], [14], rtol=1e-6)


def two_heads(**options):
    conv = GATConv(1, 1, heads=2, add_self_loops=False, key=KEY, **options)
    weight = jnp.array([[1.0], [10.0]])
    return eqx.tree_at(lambda conv: conv.lin.weight, conv, weight)


def test_heads_are_put_side_by_side_or_averaged():
    out = run(two_heads(), X, ONE_EDGE)
    np.testing.assert_allclose(out, [[0, 0], [7, 70], [0, 0]], rtol=1e-6)
    out = run(two_heads(concat=False), X, ONE_EDGE)
    np.testing.assert_allclose(out, [[0], [38.5], [0]], rtol=1e-6)


def test_parameters_have_the_shapes_of_pyg():
    conv = GATConv(3, 4, heads=2, edge_dim=5, residual=True, key=KEY)
    assert conv.lin.weight.shape == (8, 3)
    assert conv.att_src.shape == conv.att_dst.shape == conv.att_edge.shape == (1, 2, 4)
    assert conv.lin_edge.weight.shape == (8, 5)
    assert conv.res.weight.shape == (8, 3)
    assert conv.bias.shape == (8,)
    averaged = GATConv(3, 4, heads=2, concat=False, residual=True, key=KEY)
    assert averaged.res.weight.shape == (4, 3)
    assert averaged.bias.shape == (4,)
    assert averaged.lin_edge is averaged.att_edge is None
    assert GATConv(3, 4, bias=False, key=KEY).bias is None


def test_residual_and_bias_are_added():
    conv = eqx.tree_at(
        lambda conv: (conv.res.weight, conv.bias),
        two_heads(concat=False, residual=True),
        (jnp.array([[2.0]]), jnp.array([100.0])),
    )
    out = run(conv, X, ONE_EDGE)
    np.testing.assert_allclose(out, [[114], [38.5 + 28 + 100], [142]], rtol=1e-6)


def test_dropout_drops_coefficients_and_scales_the_others():
    conv = gat(dropout=0.5)
    x, no_edges = jnp.ones((64, 1)), jnp.zeros((2, 0), jnp.int32)
    out = run(conv, x, no_edges, key=KEY)
    assert set(np.asarray(out).ravel()) == {0.0, 2.0}


def test_dropout_drops_each_head_of_each_edge_on_its_own():
    conv = GATConv(1, 1, heads=2, bias=False, dropout=0.5, key=KEY)
    conv = eqx.tree_at(lambda conv: conv.lin.weight, conv, jnp.ones((2, 1)))
    out = run(conv, jnp.ones((400, 1)), jnp.zeros((2, 0), jnp.int32), key=KEY)
    kept = np.asarray(out) > 0
    # Binomial, 400 and 1/2: 200 within 4.5 deviations of 10.
    for number in (*kept.sum(axis=0), np.sum(kept[:, 0] != kept[:, 1])):
        assert 155 < number < 245


def test_dropout_is_off_in_inference_and_needs_a_key_in_training():
    conv = gat(dropout=0.5)
    with pytest.raises(ValueError, match=r"key must be given in training with dropout=0\.5"):
        run(conv, X, TWO_EDGES)
    out = run(eqx.nn.inference_mode(conv), X, TWO_EDGES)
    np.testing.assert_allclose(out, [[7], [14], [21]], rtol=1e-6)


def test_edge_attributes_need_edge_dim():
    with pytest.raises(ValueError, match="edge_attr must be None for a layer without edge_dim"):
        run(gat(), X, TWO_EDGES, jnp.ones((2, 1)))


def test_edge_attributes_must_have_edge_dim_columns():
    with pytest.raises(ValueError, match=r"shape \(edges, 1\), as given by edge_dim, got \(2, 3\)"):
        run(edge_gat(), X, TWO_EDGES, jnp.ones((2, 3)))
    with pytest.raises(ValueError, match=r"shape \(edges, 3\), as given by edge_dim, got \(2,\)"):
        run(gat(edge_dim=3), X, TWO_EDGES, jnp.ones(2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fill_value": "median"}, "fill_value must be one of .*'mean'.* got 'median'"),
        ({"dropout": 1.0}, r"dropout must be a probability in \[0, 1\), got 1.0"),
        ({"dropout": -0.1}, r"dropout must be a probability in \[0, 1\), got -0.1"),
        ({"heads": 0}, "heads must be at least 1, got 0"),
        ({"edge_dim": 0}, "edge_dim must be at least 1, got 0"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        GATConv(1, 1, key=KEY, **options)
