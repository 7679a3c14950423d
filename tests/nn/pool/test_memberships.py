"""Memberships that can be checked by hand: of logits 0 and ±1000 the softmax is 1/2, 0 or 1."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.pool import DMoNPooling, MemPooling, MinCutPooling, dense_mincut_pool
from jraphx_eqx.ops import to_dense_adj, to_dense_batch

pytestmark = pytest.mark.usefixtures("quick_compile")

KEY = jax.random.key(0)
# Two graphs: three nodes on a path, whose logits are their first two features; and two nodes.
X = jnp.array([[1e3, 0.0, 1.0], [0.0, 1e3, 2.0], [0.0, 0.0, 4.0], [1e3, 0, 5.0], [1e3, 0, 7.0]])
PADDED = jnp.concatenate([X, jnp.full((1, 3), jnp.nan)])
EDGES = jnp.array([[0, 1, 1, 2, 3, 6], [1, 0, 2, 1, 4, 6]], jnp.int32)
WEIGHTS = jnp.array([1.0, 1.0, 2.0, 2.0, 3.0, jnp.nan])
BATCH = BatchVector(jnp.array([0, 0, 0, 1, 1, 2], jnp.int32), 2)


def first_two(x, edge_index, edge_weight):
    return x[:, :2]


def dmon(**options):
    pool = DMoNPooling(3, 2, **options, key=KEY)
    weights = jnp.eye(2, 3), jnp.zeros(2)
    return eqx.tree_at(lambda p: (p.mlp.lins[0].weight, p.mlp.lins[0].bias), pool, weights)


def test_mincut_by_hand():
    out = MinCutPooling(3, 2, first_two, key=KEY)(PADDED, EDGES, WEIGHTS, BATCH)
    np.testing.assert_array_equal(out.x[:, 2], [1 + 4 / 2, 2 + 4 / 2, 12, 0])
    # Between the clusters of the path there is 1 + 2 / 2, and the roots of the sums are √2.
    np.testing.assert_array_equal(out.edge_index, [[0, 1, 2, 3], [1, 0, 3, 2]])
    np.testing.assert_allclose(out.edge_attr, [1, 1, 0, 0], rtol=1e-6)
    # Of weights 6 and degrees 1, 3, 2 there is 2 inside of clusters, of 1 + 3 + 2 / 2.
    np.testing.assert_allclose(out.loss["mincut_loss"], (-2 / 5 - 1) / 2, rtol=1e-6)
    path = np.hypot(1.25 / 3.25**0.5 - 0.5**0.5, 0.25 / 3.25**0.5) * 2**0.5
    pair = np.hypot(1 - 0.5**0.5, 0.5**0.5)
    np.testing.assert_allclose(out.loss["ortho_loss"], (path + pair) / 2, rtol=1e-6)


def test_the_temperature_divides_logits():
    warm = MinCutPooling(3, 2, first_two, 1e3, key=KEY).assign(X, EDGES[:, :5])
    np.testing.assert_allclose(warm.matrix[0, 1], 1 / (1 + np.e), rtol=1e-6)


def test_dmon_by_hand():
    out = dmon()(PADDED, EDGES, WEIGHTS, BATCH)
    np.testing.assert_allclose(out.x[:, 2], 1.0507009873554805 * np.array([3, 4, 12, 0]), rtol=1e-6)
    np.testing.assert_allclose(out.edge_attr, [1, 1, 0, 0], rtol=1e-6)
    # The degrees of the clusters are 2 and 4 of 6; those of the pair 3 and 0 of 3.
    spectral = -(2 - (2**2 + 4**2) / 6) / 6
    np.testing.assert_allclose(out.loss["spectral_loss"], spectral / 2, rtol=1e-5)
    np.testing.assert_allclose(out.loss["cluster_loss"], (2**0.5 - 1) / 2, rtol=1e-5, atol=1e-6)
    # There each graph is divided by 3 and by 2: the mean of 1/n is 5/12.
    compat = dmon(pyg_compat=True)(PADDED, EDGES, WEIGHTS, BATCH).loss["cluster_loss"]
    lengths = (1.5 * 2**0.5 + 2) / 2
    np.testing.assert_allclose(compat, lengths * 5 / 12 * 2**0.5 - 1, rtol=1e-5)


def test_mem_by_hand():
    pool = MemPooling(1, 1, 1, 2, key=KEY)
    weights = jnp.array([[[0.0], [1.0]]]), jnp.array([[[[3.0]]]]), jnp.array([[2.0]])
    pool = eqx.tree_at(lambda p: (p.k, p.conv.weight, p.lin.weight), pool, weights)
    # Distances 0 and 1 from the keys give 1 and 1/2, so 2/3 and 1/3.
    x = jnp.array([[0.0], [1.0]])
    out = pool(x, EDGES[:, :0])
    near, far = np.e / (1 + np.e), 1 / (1 + np.e)
    np.testing.assert_allclose(out.select.matrix, [[near, far], [far, near]], rtol=1e-6)
    np.testing.assert_allclose(out.x[:, 0], [2 * far, 2 * near], rtol=1e-6)
    sharp = np.array([near, far]) ** 2
    sharp = sharp / sharp.sum()
    expected = 2 * np.sum(sharp * np.log(sharp / np.array([near, far])))
    np.testing.assert_allclose(out.loss["kl_loss"], expected, rtol=1e-5)


POOLINGS = {
    "mincut": lambda k: MinCutPooling(3, k, lambda x, *_: x[:, :k], key=KEY),
    "dmon": lambda k: DMoNPooling(3, k, key=KEY),
    "mem": lambda k: MemPooling(3, 3, 2, k, key=KEY),
}


@pytest.mark.parametrize("name, clusters", [("mincut", 2), ("dmon", 2), ("mem", 2), ("mincut", 1)])
def test_hard_clusters_and_graphs_without_edges_or_nodes_are_finite(name, clusters):
    # Two nodes in clusters apart, each with a loop; two nodes without edges; and no node.
    edges = jnp.array([[0, 1, 6], [0, 1, 6]], jnp.int32)
    batch = BatchVector(jnp.array([0, 0, 1, 1, 3, 3], jnp.int32), 3)
    x = jnp.concatenate([X[:2], X[2:4], jnp.full((2, 3), jnp.nan)])

    @eqx.filter_jit
    def program(pool, x, weights):
        def loss(given):
            pool, x, weights = given
            out = pool(x, edges, weights, batch)
            back = jnp.where(batch.node_mask[:, None], out.lift(out.x), 0)
            total = jnp.sum(jnp.tanh(out.x)) + jnp.sum(out.edge_attr) + jnp.sum(jnp.tanh(back))
            return total + sum(out.loss.values()), out

        return eqx.filter_grad(loss, has_aux=True)((pool, x, weights))

    pool = POOLINGS[name](clusters)
    (gradient, x_gradient, weight_gradient), out = program(pool, x, jnp.array([1, 1, jnp.nan]))
    for leaf in jax.tree.leaves((gradient, x_gradient, weight_gradient, out.x, out.loss)):
        assert np.all(np.isfinite(leaf))
    assert not np.any(x_gradient[4:]) and weight_gradient[2] == 0
    np.testing.assert_array_equal(out.batch.index, np.repeat([0, 1, 3], clusters))
    np.testing.assert_allclose(
        sum(out.loss.values()),
        sum(pool(x[:4], edges[:, :2], None, BatchVector(batch.index[:4], 2)).loss.values()),
        rtol=1e-6,
    )


def test_dense_batches_give_the_same_as_the_edge_list():
    x, mask = to_dense_batch(PADDED, BATCH, 9.0)
    np.testing.assert_array_equal(mask, [[True] * 3, [True, True, False]])
    np.testing.assert_array_equal(x[:, :, 2], [[1, 2, 4], [5, 7, 9]])
    adj = to_dense_adj(EDGES, BATCH, WEIGHTS)
    np.testing.assert_array_equal(
        adj, [[[0, 1, 0], [1, 0, 2], [0, 2, 0]], [[0, 3, 0]] + 2 * [[0] * 3]]
    )
    pooled, pooled_adj, *losses = dense_mincut_pool(x, adj, x[:, :, :2], mask)
    out = MinCutPooling(3, 2, first_two, key=KEY)(PADDED, EDGES, WEIGHTS, BATCH)
    np.testing.assert_array_equal(pooled.reshape(4, 3), out.x)
    np.testing.assert_allclose(pooled_adj[0], [[0, 1], [1, 0]], rtol=1e-6)
    np.testing.assert_allclose(losses, list(out.loss.values()), rtol=1e-6)
    one = dense_mincut_pool(X[:2], jnp.ones((2, 2)), X[:2, :2])
    assert one[0].shape == (1, 2, 3)


def test_dense_batches_of_unsorted_nodes_of_any_rank():
    batch = BatchVector(jnp.array([1, 0, 1, 2], jnp.int32), 2)
    dense, mask = to_dense_batch(jnp.arange(4), batch)
    np.testing.assert_array_equal(dense, [[1, 0], [0, 2]])
    np.testing.assert_array_equal(mask, [[True, False], [True, True]])
    short, _ = to_dense_batch(jnp.arange(4), batch, max_nodes=1)
    np.testing.assert_array_equal(short, [[1], [0]])
    twice = to_dense_adj(jnp.array([[0, 0], [2, 2]], jnp.int32), batch)
    np.testing.assert_array_equal(twice, [np.zeros((2, 2)), [[0, 2], [0, 0]]])


def test_under_jit_the_room_of_dense_batches_comes_from_max_count():
    bounded = BatchVector(BATCH.index, 2, 4)
    dense, _ = jax.jit(lambda x, batch: to_dense_batch(x, batch))(PADDED, bounded)
    assert dense.shape == (2, 4, 3)
    with pytest.raises(ValueError, match="max_nodes must be given where batch is traced"):
        jax.jit(lambda x, batch: to_dense_batch(x, batch))(PADDED, BATCH)
    with pytest.raises(ValueError, match="max_nodes must not be negative, got -1"):
        to_dense_batch(PADDED, BATCH, max_nodes=-1)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: MinCutPooling(3, 0, key=KEY), "clusters must be at least 1, got 0"),
        (lambda: MinCutPooling(3, 2, "gat", key=KEY), "gnn must be one of 'graph'"),
        (lambda: MinCutPooling(3, 2, temp=0, key=KEY), "temp must be positive, got 0"),
        (lambda: DMoNPooling([], 2, key=KEY), "in_features must hold at least one number"),
        (lambda: DMoNPooling(3, 2, 1.0, key=KEY), r"dropout must be a probability in \[0, 1\)"),
        (lambda: MemPooling(3, 3, 0, 2, key=KEY), "heads must be at least 1, got 0"),
        (lambda: MemPooling(3, 3, 1, 2, -1.0, key=KEY), "tau must be positive, got -1.0"),
        (lambda: DMoNPooling(4, 2, key=KEY)(X, EDGES), "x must have 4 features"),
        (lambda: DMoNPooling(3, 2, 0.5, key=KEY)(X, EDGES), "key must be given in training"),
    ],
)
def test_bad_options_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
