import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.nn.conv import GraphConv, SAGEConv

pytestmark = pytest.mark.usefixtures("quick_compile")
KEY = jax.random.key(0)
# Nodes 0 and 1 point at node 2.
X = jnp.array([[1.0], [2.0], [4.0]])
EDGE_INDEX = jnp.array([[0, 1], [2, 2]])


@eqx.filter_jit
def run(conv, *inputs, key=None):
    return conv(*inputs, key=key)


def column(value):
    return jnp.full((1, 1), value)


def graph_conv(aggr="add"):
    """2 aggr + 10 + x."""
    parameters = column(2.0), jnp.array([10.0]), column(1.0)
    return eqx.tree_at(
        lambda conv: (conv.lin_rel.weight, conv.lin_rel.bias, conv.lin_root.weight),
        GraphConv(1, 1, aggr, key=KEY),
        parameters,
    )


def sage_conv(**options):
    """2 aggr + 10 + x."""
    conv = SAGEConv(1, 1, key=KEY, **options)
    parameters = column(2.0), jnp.array([10.0])
    conv = eqx.tree_at(lambda conv: (conv.lin_l.weight, conv.lin_l.bias), conv, parameters)
    if conv.lin_r is None:
        return conv
    return eqx.tree_at(lambda conv: conv.lin_r.weight, conv, column(1.0))


AGGREGATES = [("add", 3), ("sum", 3), ("mean", 1.5), ("max", 2), ("min", 1)]


@pytest.mark.parametrize(("aggr", "neighbours"), AGGREGATES)
def test_neighbours_are_aggregated(aggr, neighbours):
    expected = np.array([[10 + 1], [10 + 2], [2 * neighbours + 10 + 4]])
    np.testing.assert_allclose(run(graph_conv(aggr), X, EDGE_INDEX), expected, rtol=1e-6)
    np.testing.assert_allclose(run(sage_conv(aggr=aggr), X, EDGE_INDEX), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("aggr", "neighbours"), [("add", 13), ("sum", 13), ("mean", 6.5), ("max", 10), ("min", 3)]
)
def test_graph_conv_weights_edges_before_the_aggregation(aggr, neighbours):
    weight = jnp.array([3.0, 5.0])
    expected = np.array([[11], [12], [2 * neighbours + 14]])
    conv = graph_conv(aggr)
    np.testing.assert_allclose(run(conv, X, EDGE_INDEX, weight), expected, rtol=1e-6)
    np.testing.assert_allclose(run(conv, X, EDGE_INDEX, weight[:, None]), expected, rtol=1e-6)


def test_sage_averages_by_default_and_graph_conv_adds():
    assert SAGEConv(1, 1, key=KEY).aggr == "mean"
    assert GraphConv(1, 1, key=KEY).aggr == "add"


def test_self_loops_and_double_edges_are_edges_as_any():
    edge_index = jnp.array([[2, 0, 0], [2, 2, 2]])
    assert run(graph_conv(), X, edge_index)[2, 0] == 2 * (4 + 1 + 1) + 10 + 4
    assert run(sage_conv(), X, edge_index)[2, 0] == 2 * 2 + 10 + 4


def test_the_bias_is_on_the_neighbours_side():
    for conv in (GraphConv(1, 1, key=KEY).lin_root, SAGEConv(1, 1, key=KEY).lin_r):
        assert conv.bias is None
    assert GraphConv(1, 1, bias=False, key=KEY).lin_rel.bias is None
    assert SAGEConv(1, 1, bias=False, key=KEY).lin_l.bias is None


def test_sage_without_root_weight_leaves_the_node_itself_out():
    out = run(sage_conv(root_weight=False), X, EDGE_INDEX)
    np.testing.assert_array_equal(out, [[10], [10], [2 * 1.5 + 10]])


def test_sage_projects_the_neighbours_and_not_the_node_itself():
    conv = eqx.tree_at(
        lambda conv: (conv.lin.weight, conv.lin.bias),
        sage_conv(project=True),
        (column(-1.0), jnp.array([1.5])),
    )
    # relu(1.5 - x) of nodes 0 and 1 is 0.5 and 0.
    np.testing.assert_array_equal(run(conv, X, EDGE_INDEX), [[11], [12], [2 * 0.25 + 10 + 4]])


def test_sage_normalises_rows():
    conv = SAGEConv(2, 2, aggr="add", normalize=True, root_weight=False, bias=False, key=KEY)
    conv = eqx.tree_at(lambda conv: conv.lin_l.weight, conv, jnp.eye(2))
    x = jnp.array([[3.0, 4.0], [5.0, 12.0]])
    out = run(conv, x, jnp.array([[0], [1]]))
    np.testing.assert_allclose(out, [[0, 0], [0.6, 0.8]], rtol=1e-6)


def unit_rows(x):
    conv = SAGEConv(2, 2, normalize=True, bias=False, dtype=x.dtype, key=KEY)
    conv = eqx.tree_at(lambda conv: conv.lin_r.weight, conv, jnp.eye(2, dtype=x.dtype))
    return run(conv, x, jnp.zeros((2, 0), jnp.int32))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_sage_normalises_rows_of_half_precision_in_float32(dtype):
    # In float16 the square of 300 is infinite, that of 2^-13 is 0, and so is eps.
    x = jnp.array([[300.0, 400.0], [3 * 2.0**-13, 4 * 2.0**-13], [0, 0]], dtype)
    out = unit_rows(x)
    assert out.dtype == dtype
    np.testing.assert_array_equal(out, jnp.array([[0.6, 0.8], [0.6, 0.8], [0, 0]], dtype))


def test_sage_normalises_float32_in_float32_where_64_bits_are_on(x64):
    # The square of 1e30 is infinite in float32.
    np.testing.assert_array_equal(unit_rows(jnp.full((1, 2), 1e30, jnp.float32)), [[0, 0]])


def test_sage_has_the_gradient_of_torch_where_a_row_is_zero():
    conv = SAGEConv(1, 1, normalize=True, bias=False, key=KEY)
    conv = eqx.tree_at(lambda conv: conv.lin_r.weight, conv, column(1.0))
    gradient = jax.grad(lambda x: run(conv, x, jnp.zeros((2, 0), jnp.int32))[0, 0])(
        jnp.zeros((1, 1))
    )
    np.testing.assert_allclose(gradient, [[1e12]], rtol=1e-6)


def test_sage_has_the_gradient_of_torch_where_a_row_is_as_long_as_eps():
    # That of x / |x|, which is 0 up to rounding; that of x / eps would be 1e12.
    gradient = jax.grad(lambda x: unit_rows(jnp.stack([x, 0 * x])[None])[0, 0])(jnp.float32(1e-12))
    assert abs(gradient) < 1e6


@pytest.mark.parametrize("cls", [GraphConv, SAGEConv])
def test_unknown_aggregations_are_refused(cls):
    with pytest.raises(ValueError, match=r"aggr must be one of 'add', .*'mode'"):
        cls(1, 1, aggr="mode", key=KEY)
