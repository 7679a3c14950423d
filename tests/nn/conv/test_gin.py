import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn._layer import AbstractBatchLayer
from jraphx_eqx.nn.conv import GINConv

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
        GINConv(1, 1, twice, aggr="median")


class Recorder(AbstractBatchLayer):
    """Adds the number of graphs, and what the key draws."""

    def __call__(self, x, batch=None, *, size=None, key=None):
        graphs = size if batch is None else batch.num_graphs
        drawn = 0 if key is None else jax.random.uniform(key)
        return x + (0 if graphs is None else graphs) + drawn


def test_batch_and_key_reach_the_network():
    conv, key = GINConv(1, 1, Recorder()), jax.random.key(3)
    batch = BatchVector(jnp.array([0, 0, 1]), 5)
    expected = conv(X, EDGES) + 5 + jax.random.uniform(key)
    np.testing.assert_allclose(conv(X, EDGES, batch, key=key), expected)
