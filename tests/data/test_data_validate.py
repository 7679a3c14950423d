import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import BatchVector, validate

# Nodes 0 and 1 are graph 0, node 2 is graph 1, node 3 is padding.
X = jnp.arange(8.0).reshape(4, 2)
IDS = jnp.array([0, 0, 1, 2], jnp.int32)
GOOD = jnp.array([[0, 1, 2, 4], [1, 0, 2, 4]], jnp.int32)

BAD = {
    "negative": ([[0, -1], [1, 0]], IDS, "must not hold negative indices"),
    "past the end": ([[0, 5], [1, 5]], IDS, "must hold node indices below 4"),
    "half a padding edge": ([[0, 1], [1, 4]], IDS, "must mark a padding edge in both rows"),
    "two graphs": ([[0, 1], [1, 2]], IDS, "must join nodes of one graph"),
    "real to padding": ([[0, 2], [1, 3]], IDS, "must join nodes of one graph"),
    "id too large": ([[0], [1]], [0, 0, 1, 3], "must hold graph ids below 2"),
}


@eqx.filter_jit
def checked(x, edge_index, batch):
    return validate(x, edge_index, batch)


@pytest.mark.parametrize("transform", [lambda f: f, eqx.filter_jit], ids=["eager", "jit"])
def test_good_values_come_back_unchanged(transform):
    batch = BatchVector(IDS, 2)
    x, edge_index, out = transform(validate)(X, GOOD, batch)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(edge_index, GOOD)
    np.testing.assert_array_equal(out.index, IDS)
    assert out.num_graphs == 2


@pytest.mark.parametrize("edge_index, ids, message", BAD.values(), ids=BAD.keys())
def test_bad_values_are_value_errors_in_eager(edge_index, ids, message):
    batch = BatchVector(jnp.asarray(ids, jnp.int32), 2)
    with pytest.raises(ValueError, match=message):
        validate(X, jnp.asarray(edge_index, jnp.int32), batch)


@pytest.mark.parametrize("edge_index, ids, message", BAD.values(), ids=BAD.keys())
def test_bad_values_are_runtime_errors_under_jit(edge_index, ids, message):
    # All of one shape, so that one program serves the whole table.
    edges = jnp.tile(jnp.asarray(edge_index, jnp.int32), (1, 2))[:, :2]
    batch = BatchVector(jnp.asarray(ids, jnp.int32), 2)
    with pytest.raises(eqx.EquinoxRuntimeError, match=message):
        jax.block_until_ready(checked(X, edges, batch))


@pytest.mark.parametrize("used", [0, 1, 2])
def test_each_returned_array_carries_the_check(used):
    batch = BatchVector(IDS, 2)
    bad = jnp.array([[0, -1], [1, 0]], jnp.int32)
    program = eqx.filter_jit(lambda *args: jax.tree.leaves(validate(*args))[used])
    with pytest.raises(eqx.EquinoxRuntimeError, match="negative indices"):
        jax.block_until_ready(program(X, bad, batch))


def test_the_negative_id_is_found_under_jit():
    # A concrete one is refused by BatchVector itself.
    program = eqx.filter_jit(lambda ids: validate(X, GOOD[:, :1], BatchVector(ids, 2))[0])
    with pytest.raises(eqx.EquinoxRuntimeError, match="batch must not hold negative ids"):
        jax.block_until_ready(program(jnp.array([0, 0, -1, 2], jnp.int32)))


def test_without_a_batch_vector_there_is_one_graph():
    edge_index = jnp.array([[0, 3], [3, 0]], jnp.int32)
    assert validate(X, edge_index)[2] is None
    with pytest.raises(ValueError, match=r"below 4.*edge 1 has \(9, 0\)"):
        validate(X, edge_index.at[0, 1].set(9))


def test_a_bare_batch_array_stays_bare():
    _, _, ids = validate(X, GOOD[:, :3], jnp.array([0, 0, 5, 5], jnp.int32))
    assert isinstance(ids, jax.Array)
    with pytest.raises(ValueError, match=r"one graph.*edge 0 has \(0, 1\)"):
        validate(X, GOOD[:, :1], jnp.array([0, 1, 1, 1], jnp.int32))


def test_gradients_pass_through():
    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(x):
        return (validate(x, GOOD, BatchVector(IDS, 2))[0] ** 2).sum()

    @eqx.filter_jit
    def gradient_of_traced_indices(x, edge_index, batch):
        return eqx.filter_grad(lambda x: (validate(x, edge_index, batch)[0] ** 2).sum())(x)

    np.testing.assert_array_equal(gradient(X), 2 * X)
    batch = BatchVector(IDS, 2)
    np.testing.assert_array_equal(gradient_of_traced_indices(X, GOOD, batch), 2 * X)


def test_a_graph_without_nodes_is_valid():
    empty = jnp.zeros((0, 2)), jnp.zeros((2, 0), jnp.int32)
    batch = BatchVector(jnp.zeros(0, jnp.int32), 0)
    assert validate(*empty, batch)[0].shape == (0, 2)
    assert eqx.filter_jit(validate)(*empty, batch)[0].shape == (0, 2)
