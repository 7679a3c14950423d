import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn import trainable
from jraphx_eqx.nn.conv import GATConv, GCNConv, GraphConv, SAGEConv
from jraphx_eqx.nn.pool import SAGPooling

pytestmark = pytest.mark.usefixtures("quick_compile")

KEY = jax.random.key(0)
X = jnp.array([[1.0], [2.0], [3.0], [4.0]])
# Everybody points at node 0, and node 3 at node 1.
EDGES = jnp.array([[1, 2, 3, 3], [0, 0, 0, 1]], jnp.int32)


def sum_of_neighbours(x, edge_index):
    return jnp.zeros_like(x).at[edge_index[1]].add(x[edge_index[0]])


def test_nodes_are_scored_by_the_gnn():
    pool = SAGPooling(1, 2, gnn=sum_of_neighbours, nonlinearity="identity", key=KEY)
    out = pool(X, EDGES)
    np.testing.assert_array_equal(out.perm, [0, 1])
    np.testing.assert_array_equal(out.score, [9, 4])
    np.testing.assert_array_equal(out.x, [[9], [8]])


def test_several_heads_are_added():
    def two_heads(x, edge_index):
        return jnp.concatenate([x, 10 * sum_of_neighbours(x, edge_index)], axis=1)

    pool = SAGPooling(1, 3, gnn=two_heads, nonlinearity="identity", key=KEY)
    out = pool(X, EDGES)
    np.testing.assert_array_equal(out.perm, [0, 1, 3])
    np.testing.assert_array_equal(out.score, [91, 42, 4])


def test_scores_may_come_without_an_axis():
    pool = SAGPooling(1, 2, gnn=lambda x, edge_index: -x[:, 0], key=KEY)
    np.testing.assert_array_equal(pool(X, EDGES).perm, [0, 1])


def test_a_negative_weight_keeps_the_lowest_nodes():
    pool = SAGPooling(1, 1, gnn=sum_of_neighbours, nonlinearity="identity", key=KEY)
    pool = eqx.tree_at(lambda pool: pool.select.weight, pool, jnp.array([[-0.5]]))
    out = pool(X, EDGES)
    np.testing.assert_array_equal(out.perm, [2])
    np.testing.assert_array_equal(out.score, [0])


def test_with_min_score_the_weight_is_a_temperature():
    pool = SAGPooling(1, gnn=lambda x, edge_index: jnp.log(x), min_score=0.5, key=KEY)
    pool = eqx.tree_at(lambda pool: pool.select.weight, pool, jnp.array([[2.0]]))
    out = pool(X, EDGES).trim()
    np.testing.assert_array_equal(out.perm, [3])
    np.testing.assert_allclose(out.score, [16 / 30], rtol=1e-6)


def test_the_weight_starts_at_1_and_gets_no_gradient_from_a_ratio():
    pool = SAGPooling(1, key=KEY)
    np.testing.assert_array_equal(pool.select.weight, [[1.0]])
    gradient = eqx.filter_grad(lambda pool: pool(X, EDGES).x.sum())(pool)
    np.testing.assert_allclose(gradient.select.weight, [[0.0]], atol=1e-6)
    assert np.any(gradient.gnn.lin.weight != 0)


@pytest.mark.parametrize(
    ("name", "cls"), [("gcn", GCNConv), ("gat", GATConv), ("sage", SAGEConv), ("graph", GraphConv)]
)
def test_the_gnn_goes_by_name_and_is_gcn_by_default(name, cls):
    assert type(SAGPooling(3, gnn=name, key=KEY).gnn) is cls
    assert type(SAGPooling(3, key=KEY).gnn) is GCNConv


def test_edge_attributes_are_handed_on_but_do_not_reach_the_gnn():
    pool = SAGPooling(1, 2, gnn=sum_of_neighbours, key=KEY)
    with_attrs, without = pool(X, EDGES, jnp.array([5, 6, 7, 8])), pool(X, EDGES)
    np.testing.assert_array_equal(with_attrs.score, without.score)
    np.testing.assert_array_equal(with_attrs.edge_attr, [5, 0, 0, 0])


def test_dropout_of_the_gnn_takes_the_key():
    gnn = GATConv(1, 1, dropout=0.5, key=KEY)
    pool = SAGPooling(1, 4, gnn=gnn, nonlinearity="identity", key=KEY)
    one = pool(X, EDGES, key=jax.random.key(1))
    other = pool(X, EDGES, key=jax.random.key(2))
    assert np.any(np.sort(one.score) != np.sort(other.score))
    with pytest.raises(ValueError, match="key must be given"):
        pool(X, EDGES)


def test_the_gnn_sees_zeros_in_padding():
    seen = []

    def spy(x, edge_index):
        seen.append(x)
        return x

    batch = BatchVector(jnp.array([0, 1, 0, 1]), 1)
    SAGPooling(1, gnn=spy, key=KEY)(X.at[1].set(jnp.nan), EDGES, batch=batch)
    np.testing.assert_array_equal(seen[0], [[1], [0], [3], [0]])


def test_scores_are_given_for_bare_ids_and_under_jit_with_their_number():
    pool = SAGPooling(1, gnn=lambda x, edge_index: jnp.log(x), min_score=0.1, key=KEY)
    ids, expected = jnp.array([0, 1, 1, 0]), [1 / 5, 2 / 5, 3 / 5, 4 / 5]
    np.testing.assert_allclose(pool.score(X, EDGES, ids), expected, rtol=1e-6)
    traced = jax.jit(lambda ids: pool.score(X, EDGES, ids, size=2))(ids)
    np.testing.assert_allclose(traced, expected, rtol=1e-6)
    np.testing.assert_allclose(pool.score(X, EDGES), X[:, 0] / 10, rtol=1e-6)


@pytest.mark.parametrize("gnn", ["gcn", "gat", "sage", "graph"])
def test_all_parameters_are_of_the_dtype(gnn):
    pool = SAGPooling(3, gnn=gnn, min_score=0.1, dtype=jnp.bfloat16, key=KEY)
    arrays = [leaf for leaf in jax.tree.leaves(pool) if eqx.is_inexact_array(leaf)]
    assert {array.dtype for array in arrays} == {jnp.dtype("bfloat16")}


@pytest.mark.parametrize("gnn", ["gcn", "gat", "sage", "graph"])
@pytest.mark.parametrize("weight", [1.0, -0.37])
def test_the_sign_gets_exactly_no_gradient(gnn, weight):
    pool = SAGPooling(3, gnn=gnn, key=KEY)
    pool = eqx.tree_at(lambda pool: pool.select.weight, pool, jnp.array([[weight]]))
    x = jax.random.normal(KEY, (50, 3))
    edges = jax.random.randint(jax.random.key(1), (2, 150), 0, 50)
    gradient = eqx.filter_jit(eqx.filter_grad(lambda pool: jnp.sum(pool(x, edges).x ** 2)))(pool)
    assert gradient.select.weight[0, 0] == 0
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(gradient.gnn))


def test_with_min_score_the_weight_is_learnt():
    pool = SAGPooling(1, gnn=lambda x, edge_index: x, min_score=0.1, key=KEY)
    gradient = eqx.filter_grad(lambda pool: jnp.sum(pool(X, EDGES).score ** 2))(pool)
    assert gradient.select.weight[0, 0] != 0
    assert trainable(pool).select.weight is True


def trained(parameters, rest, steps):
    """The weight after many steps of AdamW with its decay."""
    optimiser = optax.adamw(1e-2, weight_decay=1e-2)

    def loss(parameters, x):
        return jnp.mean((eqx.combine(parameters, rest)(x, EDGES).x - 1) ** 2)

    def step(carry, key):
        parameters, state = carry
        gradient = jax.grad(loss)(parameters, X + 0.1 * jax.random.normal(key, X.shape))
        updates, state = optimiser.update(gradient, state, parameters)
        return (eqx.apply_updates(parameters, updates), state), None

    start = (parameters, optimiser.init(parameters))
    end, _ = jax.jit(lambda start: jax.lax.scan(step, start, jax.random.split(KEY, steps)))(start)
    return eqx.combine(end[0], rest)


def test_fifteen_thousand_steps_of_adamw_leave_the_sign_alone():
    pool = SAGPooling(1, gnn="graph", key=KEY)
    hidden = trained(*eqx.partition(pool, trainable(pool)), 15_000)
    assert hidden.select.weight[0, 0] == 1
    assert np.any(hidden.gnn.lin_rel.weight != pool.gnn.lin_rel.weight)
    # Decay alone makes it small, and changes no score.
    decayed = trained(*eqx.partition(pool, eqx.is_inexact_array), 15_000)
    assert 0 < decayed.select.weight[0, 0] < 0.5


@pytest.mark.parametrize("weight", [1e-30, 1e-8, 3e38])
def test_scores_do_not_depend_on_the_size_of_the_weight(weight):
    pool = SAGPooling(1, 2, gnn=sum_of_neighbours, nonlinearity="identity", key=KEY)
    pool = eqx.tree_at(lambda pool: pool.select.weight, pool, jnp.array([[weight]]))
    np.testing.assert_allclose(pool(X, EDGES).score, [9, 4], rtol=1e-6)
