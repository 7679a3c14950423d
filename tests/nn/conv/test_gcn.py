import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.nn.conv import GCNConv

pytestmark = pytest.mark.usefixtures("quick_compile")
X = jnp.array([[2.0], [8.0]])
ONE_EDGE = jnp.array([[0], [1]])


@eqx.filter_jit
def run(conv, *inputs, key=None):
    return conv(*inputs, key=key)


def unit_gcn(**options):
    """A layer that only aggregates: weight 1, bias 0."""
    conv = GCNConv(1, 1, key=jax.random.key(0), **options)
    return eqx.tree_at(lambda conv: conv.lin.weight, conv, jnp.ones((1, 1)))


def assert_nodes(out, expected):
    np.testing.assert_allclose(out[:, 0], np.array(expected), rtol=1e-6)


def test_divides_by_the_root_of_both_degrees():
    # Degrees 1 and 2, self-loops included.
    assert_nodes(run(unit_gcn(), X, ONE_EDGE), [2, 2 / np.sqrt(2) + 8 / 2])


def test_degrees_are_sums_of_the_weights_of_incoming_edges():
    # Degrees 1 and 3 + 1.
    assert_nodes(run(unit_gcn(), X, ONE_EDGE, jnp.array([3.0])), [2, 3 / 2 * 2 + 8 / 4])


def test_weights_may_be_a_column():
    out = run(unit_gcn(), X, ONE_EDGE, jnp.array([[3.0]]))
    assert_nodes(out, [2, 5])


def test_bias_is_added_once():
    conv = eqx.tree_at(lambda conv: conv.bias, unit_gcn(), jnp.array([100.0]))
    assert_nodes(run(conv, X, ONE_EDGE, jnp.array([3.0])), [102, 105])
    assert GCNConv(1, 1, bias=False, key=jax.random.key(0)).bias is None


def test_improved_gives_missing_loops_weight_2():
    # Degrees 2 and 6 + 2.
    out = run(unit_gcn(improved=True), X, ONE_EDGE, jnp.array([6.0]))
    assert_nodes(out, [2 / 2 * 2, 6 / 4 * 2 + 2 / 8 * 8])


def test_improved_has_no_effect_without_weights_as_in_pyg():
    plain = run(unit_gcn(), X, ONE_EDGE)
    np.testing.assert_array_equal(run(unit_gcn(improved=True), X, ONE_EDGE), plain)


@pytest.mark.parametrize("improved", [False, True])
def test_an_existing_loop_keeps_its_weight(improved):
    edge_index = jnp.array([[0, 0], [0, 1]])
    fill = 2 if improved else 1
    # Degrees 4, and 4 with the new loop of node 1.
    weight = jnp.array([4.0, 4.0 - fill])
    out = run(unit_gcn(improved=improved), X, edge_index, weight)
    assert_nodes(out, [4 / 4 * 2, (4 - fill) / 4 * 2 + fill / 4 * 8])


def test_of_several_loops_the_last_one_counts_and_gets_the_whole_gradient():
    edge_index = jnp.array([[0, 0, 0], [0, 1, 0]])
    weight = jnp.array([7.0, 3.0, 4.0])
    conv = unit_gcn()
    assert_nodes(run(conv, X, edge_index, weight), [2, 3 / 4 * 2 + 8 / 4])
    gradient = jax.grad(lambda weight: run(conv, X, edge_index, weight)[1, 0])(weight)
    # With degrees d and e, node 1 gets 2 w / √(d e) + 8 / e. The loop's weight is d.
    expected = [0, 2 / 4 - 2 * 3 / (2 * 4 * 4) - 8 / 16, -2 * 3 / (2 * 4 * 4)]
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)


def test_without_weights_existing_loops_count_once():
    edge_index = jnp.array([[0, 1, 0, 1], [1, 1, 0, 1]])
    assert_nodes(run(unit_gcn(), X, edge_index), run(unit_gcn(), X, ONE_EDGE)[:, 0])


def test_a_double_edge_counts_twice():
    # Degrees 1 and 3.
    out = run(unit_gcn(), X, jnp.array([[0, 0], [1, 1]]))
    assert_nodes(out, [2, 2 * 2 / np.sqrt(3) + 8 / 3])


def test_without_new_loops_only_edges_count():
    conv = unit_gcn(add_self_loops=False)
    # Degrees 1 and 4.
    out = run(conv, X, jnp.array([[0, 1], [1, 0]]), jnp.array([4.0, 1.0]))
    assert_nodes(out, [1 / 2 * 8, 4 / 2 * 2])
    # Degree 0 of node 0 counts as an infinite one.
    assert_nodes(run(conv, X, ONE_EDGE, jnp.array([4.0])), [0, 0])


def test_without_normalisation_weights_are_taken_as_they_are():
    conv = unit_gcn(normalize=False)
    assert_nodes(run(conv, X, ONE_EDGE, jnp.array([3.0])), [0, 6])
    assert_nodes(run(conv, X, ONE_EDGE), [0, 2])


def test_a_weight_of_zero_into_degree_zero_has_a_finite_gradient():
    conv = unit_gcn(add_self_loops=False)
    edge_index = jnp.array([[0, 1], [1, 0]])
    gradient = jax.grad(lambda weight: jnp.sum(run(conv, X, edge_index, weight)))(
        jnp.array([0.0, 1.0])
    )
    np.testing.assert_array_equal(gradient, [0, 0])


def test_a_degree_below_0_has_no_root_as_in_pyg():
    # Degrees 1 + 0.5 and 1 - 3.
    edge_index = jnp.array([[0, 1, 2], [1, 0, 2]])
    out = run(unit_gcn(), jnp.ones((3, 1)), edge_index, jnp.array([-3.0, 0.5, 1.0]))
    assert_nodes(out, [np.nan, np.nan, 1])


def test_new_loops_need_normalisation():
    with pytest.raises(ValueError, match="add_self_loops=True needs normalize=True"):
        GCNConv(1, 1, add_self_loops=True, normalize=False, key=jax.random.key(0))


def test_the_root_of_a_negative_degree_is_nan_as_in_pyg():
    both = jnp.array([[0, 1], [1, 0]])
    out = run(unit_gcn(add_self_loops=False), X, both, jnp.array([-3.0, 0.5]))
    assert np.all(np.isnan(out))
