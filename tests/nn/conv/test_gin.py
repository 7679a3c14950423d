import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.nn import AbstractBatchLayer, Sequential, trainable
from jraphx_eqx.nn.conv import GINConv
from jraphx_eqx.nn.models import GIN
from jraphx_eqx.nn.norm import BatchNorm1d, LayerNorm

pytestmark = pytest.mark.usefixtures("quick_compile")
EDGES = jnp.array([[0, 1], [1, 2]])
X = jnp.array([[1.0], [2.0], [4.0]])


def twice(x):
    return 2 * x


def test_a_node_counts_once_by_default():
    np.testing.assert_array_equal(GINConv(1, 1, twice)(X, EDGES), [[2], [6], [12]])


@pytest.mark.parametrize("x64", [False, True])
def test_eps_is_of_the_default_float_dtype(x64):
    with jax.enable_x64(x64):
        assert GINConv(1, 1, twice).eps.dtype == (jnp.float64 if x64 else jnp.float32)
        assert GINConv(1, 1, twice, eps=1).eps.dtype == (jnp.float64 if x64 else jnp.float32)
        assert GINConv(1, 1, twice, dtype=jnp.float16).eps.dtype == jnp.float16


def test_rows_outside_the_node_mask_count_as_zeros():
    mask = jnp.array([True, False, True])
    out = GINConv(1, 1, twice)(X.at[1].set(jnp.nan), EDGES, node_mask=mask)
    np.testing.assert_array_equal(out, [[2], [2], [8]])


def test_a_class_is_refused():
    with pytest.raises(ValueError, match="nn must be a module or a function"):
        GINConv(1, 1, eqx.nn.Identity)


@pytest.mark.parametrize("nn", [7, "relu"])
def test_what_cannot_be_called_is_refused(nn):
    # By the check of types, where that is on.
    with pytest.raises((ValueError, TypeError), match="nn"):
        GINConv(1, 1, nn)


def test_an_unknown_aggregation_is_refused_when_it_is_made():
    with pytest.raises(ValueError, match="aggr must be one of"):
        GINConv(1, 1, twice, aggr="mode")


class Recorder(AbstractBatchLayer):
    """Adds the number of nodes, if it is told, and what the key draws."""

    def __call__(self, x, batch=None, *, size=None, node_mask=None, key=None):
        drawn = 0 if key is None else jax.random.uniform(key)
        return x + (0 if node_mask is None else jnp.sum(node_mask)) + drawn


def test_node_mask_and_key_reach_the_network():
    conv, key = GINConv(1, 1, Recorder()), jax.random.key(3)
    mask = jnp.array([True, True, False])
    expected = conv(X, EDGES)[:2] + 2 + jax.random.uniform(key)
    np.testing.assert_allclose(conv(X, EDGES, node_mask=mask, key=key)[:2], expected)


def test_norms_in_the_network_take_all_nodes_for_one_graph_and_leave_padding_out():
    conv = GINConv(1, 1, LayerNorm(1, eps=0.0))
    no_edges = jnp.zeros((2, 0), jnp.int32)
    # 0, 1, 2 and 5 have the mean 2 and the variance 14 / 4.
    expected = (np.array([[0.0], [1.0], [2.0], [5.0]]) - 2) / np.sqrt(3.5)
    x = jnp.array([[0.0], [1.0], [2.0], [5.0]])
    np.testing.assert_allclose(conv(x, no_edges), expected, rtol=1e-6)
    padded, mask = jnp.concatenate([x, jnp.full((2, 1), jnp.nan)]), jnp.arange(6) < 4
    out = conv(padded, no_edges, node_mask=mask)
    np.testing.assert_allclose(out, np.append(expected, [[0], [0]], axis=0), rtol=1e-6)


@pytest.mark.parametrize("norm", ["layer_norm", "graph_norm"])
def test_in_a_model_the_batch_reaches_the_norms_between_the_layers_only(norm):
    x, batch = jnp.array([[0.0], [1.0], [2.0], [5.0]]), jnp.array([0, 0, 1, 1])
    edges, key = jnp.array([[0, 2], [1, 3]]), jax.random.key(0)
    # One layer has no norm after it, so the graphs play no part.
    one = GIN(1, 2, 1, norm=norm, key=key)
    np.testing.assert_allclose(one(x, edges, batch=batch), one(x, edges), rtol=1e-6)
    two = GIN(1, 2, 2, norm=norm, key=key)
    hidden = two.convs[0](x, edges)
    hidden = two.convs[1](jax.nn.relu(two.norms[0](hidden, batch)), edges)
    np.testing.assert_allclose(two(x, edges, batch=batch), hidden, rtol=1e-5)
    assert not np.allclose(two(x, edges, batch=batch), two(x, edges), rtol=1e-2)


def test_an_optimiser_is_given_neither_epsilon_nor_statistics_inside_unless_they_are_learnt():
    network = Sequential([BatchNorm1d(1)])
    spec = trainable([GINConv(1, 1, network), GINConv(1, 1, network, train_eps=True)])
    assert [conv.eps for conv in spec] == [False, True]
    for conv in spec:
        assert conv.nn[0].weight is True and conv.nn[0].running_mean is False
