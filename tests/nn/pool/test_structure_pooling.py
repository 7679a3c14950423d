"""ASAPooling, PANPooling and ClusterPooling on graphs small enough for paper."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.conv import PANConv
from jraphx_eqx.nn.pool import ASAPooling, ClusterPooling, PANPooling
from jraphx_eqx.ops import connected_components

pytestmark = pytest.mark.usefixtures("quick_compile")

KEY = jax.random.key(0)
# A path of three nodes with edges in both directions, a node alone, and padding.
X = jnp.array([[1.0], [2.0], [4.0], [8.0], [jnp.nan]])
EDGES = jnp.array([[0, 1, 1, 2, 5], [1, 0, 2, 1, 5]], jnp.int32)
WEIGHTS = jnp.array([1.0, 1.0, 3.0, 3.0, jnp.nan])
BATCH = BatchVector(jnp.array([0, 0, 0, 1, 2], jnp.int32), 2, 3)


def asap(**options):
    """Attention is equal, and the fitness is the sigmoid of the features of a cluster."""
    pool = ASAPooling(1, **options, key=KEY)
    pool = jax.tree.map(lambda leaf: 0 * leaf if eqx.is_inexact_array(leaf) else leaf, pool)
    ones = jnp.ones((1, 1)), jnp.ones((1, 1))
    return eqx.tree_at(lambda p: (p.gnn_score.lin3.weight, p.select.weight), pool, ones)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_asap_by_hand():
    # The clusters are the means 3/2, 7/3, 3 and 8, of {0, 1}, {0, 1, 2}, {1, 2} and {3}.
    out = asap(ratio=2)(X, EDGES, WEIGHTS, BATCH)
    np.testing.assert_array_equal(out.perm, [2, 1, 3, 5])
    np.testing.assert_array_equal(out.batch.index, [0, 0, 1, 2])
    means = np.array([3, 7 / 3, 8])
    np.testing.assert_allclose(out.x[:3, 0], means * sigmoid(means), rtol=1e-6)
    np.testing.assert_allclose(out.score[:3], sigmoid(means), rtol=1e-6)
    # A has 1 on its diagonal. Cluster 2 is half of 1 and of 2, cluster 1 a third of each.
    matrix = np.array([[1, 1, 0], [1, 1, 3], [0, 3, 1]])
    between = np.array([0, 0.5, 0.5]) @ matrix @ np.full(3, 1 / 3)
    real = np.asarray(out.edge_index[0]) < 4
    np.testing.assert_array_equal(out.edge_index[:, real], [[0, 1], [1, 0]])
    np.testing.assert_allclose(out.edge_attr[real], [between, between], rtol=1e-6)
    assert not np.any(out.edge_attr[~real])


def test_asap_lists_paths_on_demand():
    # Nodes 1 and 2 make cluster 2, all three cluster 1. With a loop each, 2, 3, 2 and 1 edges leave
    # the nodes: 3 + 2 and 2 + 3 + 2 first paths and one of node 3. They come to all three nodes, of
    # which 1, 2 and 2 clusters go on: 5 + 5 + 1 second paths.
    pool = asap(ratio=2)
    assert pool.count_paths(X, EDGES, WEIGHTS, BATCH) == 13
    table, listed = (p(X, EDGES, WEIGHTS, BATCH) for p in (pool, asap(ratio=2, max_paths=13)))
    assert listed.edge_index.shape == table.edge_index.shape == (2, 4 * 2)
    here, there = (np.asarray(out.edge_index[0]) < 4 for out in (listed, table))
    np.testing.assert_array_equal(listed.edge_index[:, here], [[0, 1], [1, 0]])
    np.testing.assert_allclose(listed.edge_attr[here], table.edge_attr[there], rtol=1e-6)
    with pytest.raises(eqx.EquinoxRuntimeError, match=r"max_paths=12 has room for; raise"):
        jax.block_until_ready(asap(ratio=2, max_paths=12)(X, EDGES, WEIGHTS, BATCH).edge_index)
    assert asap(ratio=2, max_paths=12)(X[:0], EDGES[:, :0]).edge_index.shape == (2, 0)


@pytest.mark.parametrize("add_self_loops", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_listed_paths_of_asap_join_the_same_clusters_as_its_tables(weighted, add_self_loops):
    rng = np.random.default_rng(0)
    batch = BatchVector(jnp.array(rng.integers(0, 4, 30).clip(0, 3), jnp.int32), 3, 16)
    # Padding of nodes and of edges, loops, and some edges twice.
    ends = rng.integers(0, 32, (2, 400))
    group = np.append(batch.index, [7, 8])
    joins = (group[ends[0]] == group[ends[1]]) & (group[ends[0]] != 3)
    edges = jnp.array(ends[:, joins], jnp.int32)
    x = jnp.where(batch.node_mask[:, None], rng.normal(size=(30, 4)), jnp.nan)
    weight = jnp.array(rng.normal(size=edges.shape[1]), x.dtype) if weighted else None

    @eqx.filter_jit
    @eqx.filter_value_and_grad(has_aux=True)
    def run(arrays):
        pool, x, weight = arrays
        out = pool(x, edges, weight, batch)
        real = jnp.all(out.edge_index < out.x.shape[0], axis=0)
        values = 0.0 if weight is None else jnp.sum(jnp.where(real, jnp.sin(out.edge_attr), 0))
        return jnp.sum(out.x**2) + values, (out.edge_index, out.edge_attr, real)

    make = functools.partial(ASAPooling, 4, 0.6, add_self_loops=add_self_loops, key=KEY)
    room = make().count_paths(x, edges, weight, batch) + 5
    found = [run((make(max_paths=max_paths), x, weight)) for max_paths in (None, room)]
    ((value, (edge_index, attr, real)), gradients), ((other, listed), others) = found
    np.testing.assert_allclose(other, value, rtol=1e-6)
    np.testing.assert_array_equal(listed[0][:, listed[2]], edge_index[:, real])
    if weighted:
        np.testing.assert_allclose(listed[1][listed[2]], attr[real], rtol=1e-5, atol=1e-6)
    for a, b in zip(jax.tree.leaves(others), jax.tree.leaves(gradients), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_asap_keeps_the_edges_to_themselves_on_demand_and_the_room_follows_max_count():
    out = asap(ratio=2, add_self_loops=True)(X, EDGES, batch=BATCH)
    assert out.edge_attr is None and out.edge_index.shape == (2, 4 * 2)
    assert np.sum(out.edge_index[0] < 4) == 2 + 3
    trimmed = asap(ratio=2)(X, EDGES, WEIGHTS, BATCH, max_edges=2).trim()
    np.testing.assert_array_equal(trimmed.edge_index, [[0, 1], [1, 0]])
    np.testing.assert_array_equal(trimmed.perm, [2, 1, 3])
    np.testing.assert_array_equal(out.lift(out.x)[:, 0] != 0, [False, True, True, True, False])


def test_asap_can_be_told_what_to_keep():
    out = asap(ratio=2)(X, EDGES, WEIGHTS, BATCH, select=jnp.array([0, 3], jnp.int32))
    np.testing.assert_allclose(out.x[:, 0], np.array([1.5, 8]) * sigmoid(np.array([1.5, 8])), 1e-6)


def test_a_negative_sign_keeps_the_least_fit():
    pool = eqx.tree_at(lambda pool: pool.select.weight, asap(ratio=1), -jnp.ones((1, 1)))
    np.testing.assert_array_equal(pool(X, EDGES, batch=BATCH).perm, [0, 3])


def test_pan_by_hand():
    conv = eqx.tree_at(
        lambda conv: (conv.weight, conv.lin.weight, conv.lin.bias),
        PANConv(1, 1, 2, key=KEY),
        (jnp.array([1.0, 2.0, 0.5]), jnp.ones((1, 1)), jnp.zeros(1)),
    )
    x, edges, weight = conv(X, EDGES, BATCH)
    # I + 2 A + A², and all three nodes of the path reach each other.
    matrix = np.array([[2, 2, 1], [2, 3, 2], [1, 2, 2]]) / 3
    np.testing.assert_allclose(x[:4, 0], [*(matrix @ [1, 2, 4]), 8], rtol=1e-6)
    found = np.zeros((6, 6))
    found[edges[1], edges[0]] = weight
    np.testing.assert_allclose(found[:3, :3], matrix, rtol=1e-6)
    assert found[3, 3] == 1 and np.sum(edges[0] < 5) == 10
    # The scores are half of x plus half of the sums of the columns: 5/3, 7/3, 5/3 and 1.
    out = PANPooling(1, 2, nonlinearity="identity", key=KEY)(X, edges, weight, BATCH)
    np.testing.assert_array_equal(out.perm[:3], [2, 1, 3])
    np.testing.assert_allclose(out.score[:3], [17 / 6, 13 / 6, 4.5], rtol=1e-6)
    np.testing.assert_allclose(out.x[:3, 0], [4 * 17 / 6, 2 * 13 / 6, 8 * 4.5], rtol=1e-6)


def clustering(**options):
    pool = ClusterPooling(1, **options, key=KEY)
    values = jnp.array([[1.0, 0.0]]), jnp.full(1, -1.5)
    return eqx.tree_at(lambda pool: (pool.lin.weight, pool.lin.bias), pool, values)


def test_clusters_by_hand():
    # An edge scores tanh(source - 3/2): those from 1 and 2 merge; 0 → 1 does not, and counts.
    x, edges = X[:4], jnp.array([[0, 1, 0, 3], [1, 2, 3, 3]], jnp.int32)
    out = clustering()(x, edges, jnp.array([1.0, 2.0, 4.0, 8.0]))
    np.testing.assert_array_equal(out.select.labels, [0, 1, 1, 2])
    low, high = np.tanh(-0.5), np.tanh(0.5)
    np.testing.assert_allclose(out.x[:, 0], [1, low + 2 * high, 8 + low, 0], rtol=1e-6)
    np.testing.assert_array_equal(out.edge_index[:, :3], [[0, 0, 4], [1, 2, 4]])
    np.testing.assert_array_equal(out.edge_attr, [1, 4, 0, 0])
    back = clustering().lift(out.x, out.select)
    np.testing.assert_array_equal(back[:, 0], out.x[jnp.array([0, 1, 1, 2]), 0])


def test_log_softmax_is_over_all_edges():
    score = clustering(edge_score_method="log_softmax").score(X, EDGES, BATCH)
    raw = np.array([1, 2, 2, 4])
    np.testing.assert_allclose(score[:4], raw - np.log(np.exp(raw).sum()), rtol=1e-5)


@pytest.mark.parametrize(
    "pool", [ASAPooling(1, 0.6, "graph", key=KEY), PANPooling(1, key=KEY), clustering()]
)
def test_padding_changes_nothing_and_gets_no_gradient(pool):
    @eqx.filter_jit
    def program(given, edges, batch):
        def loss(given):
            pool, x, weights = given
            out = pool(x, edges, weights, batch)
            return jnp.sum(jnp.sin(out.x)) + jnp.sum(jnp.sin(out.edge_attr)), out

        return eqx.filter_value_and_grad(loss, has_aux=True)(given)

    (value, _), (padded, *gradients) = program((pool, X, WEIGHTS), EDGES, BATCH)
    alone = (pool, X[:4], WEIGHTS[:4]), EDGES[:, :4], BatchVector(BATCH.index[:4], 2, 3)
    (same, _), (pool_gradient, *others) = program(*alone)
    np.testing.assert_allclose(value, same, rtol=1e-6)
    for left, right in zip(gradients, others, strict=True):
        np.testing.assert_allclose(left[:-1], right, rtol=1e-5, atol=1e-6)
        assert not np.any(left[-1])
    for left, right in zip(*map(jax.tree.leaves, (padded, pool_gradient)), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)
    none = pool(X, EDGES[:, :0], None, BATCH)
    assert np.all(np.isfinite(none.x)) and np.all(none.edge_index >= none.x.shape[0])


def test_components_of_long_paths_in_any_order():
    order = np.random.default_rng(0).permutation(200)
    path = jnp.asarray(np.stack([order[:-1], order[1:]])[:, np.arange(199) != 99], jnp.int32)
    label = np.asarray(connected_components(path, 201))
    assert np.all(label[order[:100]] == order[:100].min())
    assert np.all(label[order[100:]] == order[100:].min()) and label[200] == 200
    padded = jnp.pad(path, ((0, 0), (0, 3)), constant_values=2**31 - 1)
    np.testing.assert_array_equal(connected_components(padded, 201), label)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: ASAPooling(0, key=KEY), "in_features must be at least 1, got 0"),
        (lambda: ASAPooling(1, max_paths=0, key=KEY), "max_paths must be at least 1, got 0"),
        (lambda: ASAPooling(1, gnn="gat", key=KEY), "gnn must be one of 'graph'"),
        (lambda: ASAPooling(1, dropout=1.0, key=KEY), r"dropout must be a probability in \[0, 1\)"),
        (lambda: ASAPooling(1, dropout=0.5, key=KEY)(X, EDGES), "key must be given in training"),
        (lambda: PANConv(1, 1, -1, key=KEY), "filter_size must not be negative, got -1"),
        (lambda: ClusterPooling(1, "softmax", key=KEY), "edge_score_method must be one of 'tanh'"),
        (lambda: ClusterPooling(2, key=KEY)(X, EDGES), "x must have 2 features"),
    ],
)
def test_bad_options_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
