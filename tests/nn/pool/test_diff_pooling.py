"""Memberships that can be checked by hand: of logits 0 and ±1000 the softmax is 1/2, 0 or 1."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.conv import GCNConv, GraphConv, SAGEConv
from jraphx_eqx.nn.pool import DiffPooling, dense_diff_pool

pytestmark = pytest.mark.usefixtures("quick_compile")

# Two graphs: three nodes on a path, whose logits are their first two features; and two nodes.
X = jnp.array([[1e3, 0.0, 1.0], [0.0, 1e3, 2.0], [0.0, 0.0, 4.0], [1e3, 0, 5.0], [1e3, 0, 7.0]])
PADDED = jnp.concatenate([X, jnp.full((1, 3), jnp.nan)])
EDGES = jnp.array([[0, 1, 1, 2, 3, 6], [1, 0, 2, 1, 4, 6]], jnp.int32)
WEIGHTS = jnp.array([1.0, 1.0, 2.0, 2.0, 3.0, jnp.nan])
BATCH = BatchVector(jnp.array([0, 0, 0, 1, 1, 2], jnp.int32), 2)
S = np.array([[1, 0], [0, 1], [0.5, 0.5], [1, 0], [1, 0]])


def first_two(x, edge_index, edge_weight):
    return x[:, :2]


def made(*options, **more):
    return DiffPooling(*options, **more, key=jax.random.key(0))


def pooling(**options):
    return made(3, 2, first_two, **options)


def pooled(pool=None, weights=WEIGHTS, **options):
    return (pool or pooling())(PADDED, EDGES, weights, BATCH, **options)


def test_features_of_a_cluster_are_those_of_its_nodes_by_membership():
    np.testing.assert_array_equal(pooled().x[:, 2], [1 + 4 / 2, 2 + 4 / 2, 12, 0])


def test_edges_join_all_clusters_of_a_graph_and_carry_weights():
    out = pooled()
    np.testing.assert_array_equal(
        out.edge_index, [[0, 0, 1, 1, 2, 2, 3, 3], [0, 1, 0, 1, 2, 3, 2, 3]]
    )
    path = np.array([[0, 1, 0], [1, 0, 2], [0, 2, 0]])
    np.testing.assert_array_equal(out.edge_attr[:4].reshape(2, 2), S[:3].T @ path @ S[:3])
    np.testing.assert_array_equal(out.edge_attr[4:], [3, 0, 0, 0])
    np.testing.assert_array_equal(out.batch.index, [0, 0, 1, 1])


def test_weights_are_1_where_there_are_none_and_may_have_a_column():
    np.testing.assert_array_equal(pooled(weights=None).edge_attr[4:], [1, 0, 0, 0])
    same = pooled(weights=WEIGHTS[:, None])
    np.testing.assert_array_equal(same.edge_attr, pooled().edge_attr)


def test_losses_are_those_of_what_is_real():
    adjacency = np.zeros((5, 5))
    adjacency[np.asarray(EDGES[0, :5]), np.asarray(EDGES[1, :5])] = WEIGHTS[:5]
    product = S @ S.T
    product[:3, 3:] = product[3:, :3] = 0
    expected = np.linalg.norm(adjacency - product) / (3**2 + 2**2)
    loss = pooled().loss
    np.testing.assert_allclose(loss["link_loss"], expected, rtol=1e-6)
    np.testing.assert_allclose(loss["entropy_loss"], np.log(2) / 5, rtol=1e-6)
    free = pooled(pooling(normalize=False)).loss
    np.testing.assert_allclose(free["link_loss"], 13 * expected, rtol=1e-6)


def test_double_edges_are_one_entry_of_the_matrix():
    edges, weights = jnp.array([[0, 0], [1, 1]], jnp.int32), jnp.array([1.0, 2.0])
    out = pooling(normalize=False)(X[:2], edges, weights)
    # [[0, 3], [0, 0]] less the unit matrix.
    np.testing.assert_allclose(out.loss["link_loss"], np.sqrt(9 + 2), rtol=1e-6)


def test_a_perfect_clustering_has_no_link_loss_and_a_gradient_of_0():
    edges = jnp.array([[0, 1], [0, 1]], jnp.int32)
    loss, gradient = jax.value_and_grad(lambda x: pooling()(x, edges).loss["link_loss"])(X[:2])
    assert loss == 0
    np.testing.assert_array_equal(gradient, np.zeros((2, 3)))


def test_a_graph_without_nodes_has_no_clusters():
    batch = BatchVector(jnp.array([0, 0, 0, 2, 2, 4], jnp.int32), 4)
    out = pooling()(PADDED, EDGES, WEIGHTS, batch)
    np.testing.assert_array_equal(out.batch.index, [0, 0, 4, 4, 2, 2, 4, 4])
    assert np.all(out.edge_index[:, 4:8] == 8) and np.all(out.edge_index[:, 12:] == 8)
    trimmed, same = out.trim(), pooled()
    np.testing.assert_array_equal(trimmed.x, same.x)
    np.testing.assert_array_equal(trimmed.edge_index, same.edge_index)
    np.testing.assert_array_equal(trimmed.edge_attr, same.edge_attr)
    np.testing.assert_array_equal(trimmed.select.matrix, same.select.matrix[:5])
    assert out.loss["link_loss"] == same.loss["link_loss"]


def test_no_nodes_and_no_edges():
    none = jnp.zeros((2, 0), jnp.int32)
    out = pooling()(X[:0], none, batch=BatchVector(jnp.zeros(0, jnp.int32), 1))
    np.testing.assert_array_equal(out.x, np.zeros((2, 3)))
    assert all(value == 0 for value in out.loss.values())
    np.testing.assert_array_equal(pooling()(X, none).edge_attr, np.zeros(4))


def test_other_features_can_be_pooled_than_those_that_decide():
    other = jnp.arange(12.0).reshape(6, 2)
    out = pooling()(other, EDGES, WEIGHTS, BATCH, attn=PADDED)
    np.testing.assert_array_equal(out.x, [[2, 3.5], [4, 5.5], [14, 16], [0, 0]])


def test_padding_changes_no_gradient():
    def loss(x, weights, edges, batch):
        out = pooling()(x, edges, weights, batch)
        return jnp.sum(jnp.sin(out.x)) + jnp.sum(out.edge_attr**2) + sum(out.loss.values())

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))
    soft = PADDED.at[:5, :2].multiply(1e-3)
    padded = gradient(soft, WEIGHTS, EDGES, BATCH)
    alone = gradient(soft[:5], WEIGHTS[:5], EDGES[:, :5], BatchVector(BATCH.index[:5], 2))
    for ours, same, rows in zip(padded, alone, (5, 5), strict=True):
        np.testing.assert_allclose(ours[:rows], same, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(ours[rows:], jnp.zeros_like(ours[rows:]))


def test_jit_gives_the_same_with_one_trace():
    traces = []

    @eqx.filter_jit
    def program(pool, x):
        traces.append(None)
        return pooled(pool) if x is None else pool(x, EDGES, WEIGHTS, BATCH)

    pool = DiffPooling(3, 2, key=jax.random.key(1))
    soft = PADDED.at[:5, :2].multiply(1e-3)
    for left, right in zip(
        jax.tree.leaves(program(pool, soft)),
        jax.tree.leaves(pool(soft, EDGES, WEIGHTS, BATCH)),
        strict=True,
    ):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)
    program(pool, 2 * soft)
    assert len(traces) == 1


@pytest.mark.parametrize("name, layer", [("graph", GraphConv), ("gcn", GCNConv)])
def test_named_networks_see_the_weights(name, layer):
    pool = DiffPooling(3, 2, name, key=jax.random.key(0))
    assert isinstance(pool.gnn, layer)
    logits = pool.gnn(X, EDGES[:, :5], WEIGHTS[:5])
    select = pool.assign(PADDED, EDGES, WEIGHTS, BATCH)
    np.testing.assert_allclose(select.matrix[:5], jax.nn.softmax(logits), rtol=1e-5)
    np.testing.assert_array_equal(select.matrix[5], [0, 0])


def test_a_linear_map_and_other_convolutions_see_none():
    linear = DiffPooling(3, 2, "linear", key=jax.random.key(0))
    matrix = linear.assign(PADDED, EDGES, WEIGHTS, BATCH).matrix[:5]
    np.testing.assert_allclose(matrix, jax.nn.softmax(linear.gnn(X)), rtol=1e-5)
    sage = SAGEConv(3, 2, key=jax.random.key(0))
    matrix = (
        DiffPooling(3, 2, sage, key=jax.random.key(0)).assign(PADDED, EDGES, None, BATCH).matrix
    )
    np.testing.assert_allclose(matrix[:5], jax.nn.softmax(sage(X, EDGES[:, :5])), rtol=1e-5)


def test_pooling_twice_goes_on_with_the_weights():
    first, second = pooling(), DiffPooling(3, 1, "graph", key=jax.random.key(1))
    x, edge_index, edge_attr, batch, _ = pooled(first)
    out = second(x, edge_index, edge_attr, batch)
    np.testing.assert_allclose(out.edge_attr, [6, 3], rtol=1e-6)
    np.testing.assert_allclose(out.x[:, 2], [7, 12], rtol=1e-6)


def test_dense_batches_give_the_same_as_the_edge_list():
    x = jnp.stack([X[:3], jnp.concatenate([X[3:], jnp.full((1, 3), jnp.nan)])])
    adj = (
        jnp.zeros((2, 3, 3)).at[0, EDGES[0, :4], EDGES[1, :4]].set(WEIGHTS[:4]).at[1, 0, 1].set(3.0)
    )
    mask = jnp.array([[True, True, True], [True, True, False]])
    pooled_x, pooled_adj, link, entropy = dense_diff_pool(x, adj, x[:, :, :2], mask)
    out = pooled()
    np.testing.assert_array_equal(pooled_x.reshape(4, 3), out.x)
    np.testing.assert_array_equal(pooled_adj.ravel(), out.edge_attr)
    # Divided by the padded sizes, 2 * 3 * 3 and 2 * 3.
    np.testing.assert_allclose(18 * link, 13 * out.loss["link_loss"], rtol=1e-6)
    np.testing.assert_allclose(6 * entropy, 5 * out.loss["entropy_loss"], rtol=1e-6)


def test_one_dense_graph_needs_no_axis_for_it():
    pooled_x, adj, link, _ = dense_diff_pool(X[:2], jnp.eye(2), X[:2, :2], normalize=False)
    assert pooled_x.shape == (1, 2, 3) and link == 0
    np.testing.assert_array_equal(adj, np.eye(2)[None])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: DiffPooling(0, 2, key=jax.random.key(0)), "in_features must be at least 1, got 0"),
        (lambda: DiffPooling(3, 0, key=jax.random.key(0)), "clusters must be at least 1, got 0"),
        (
            lambda: DiffPooling(3, 2, "gat", key=jax.random.key(0)),
            "gnn must be one of 'graph', 'gcn'",
        ),
        (
            lambda: DiffPooling(3, 2, GCNConv, key=jax.random.key(0)),
            "or a callable that is no class",
        ),
        (lambda: pooled(select=jnp.array([0])), "memberships are no choice of nodes"),
        (lambda: pooled(max_nodes=3), "max_nodes must be at least 4, the clusters of all graphs"),
        (lambda: pooled(weights=jnp.ones((6, 2))), "edge_attr must hold one weight of float32"),
        (lambda: pooled(weights=jnp.ones(6, jnp.int32)), "got int32 of shape"),
        (
            lambda: pooled(DiffPooling(3, 3, first_two, key=jax.random.key(0))),
            r"gnn must return 3 numbers for each of the 6 nodes, got shape \(6, 2\)",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_no_array_has_a_product_of_nodes_and_nodes():
    nodes = 512
    edges, batch = jnp.zeros((2, 2 * nodes), jnp.int32), BatchVector(jnp.zeros(nodes, jnp.int32), 8)
    pool = DiffPooling(3, 4, key=jax.random.key(0))

    def loss(x):
        out = pool(x, edges, batch=batch)
        return jnp.sum(out.x) + jnp.sum(out.edge_attr) + sum(out.loss.values())

    program = jax.make_jaxpr(jax.grad(loss))(jnp.ones((nodes, 3)))
    sizes = [v.aval.size for e in program.jaxpr.eqns for v in e.outvars]
    assert max(sizes) <= 2 * nodes * 4 * 4
