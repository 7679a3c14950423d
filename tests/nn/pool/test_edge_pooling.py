"""Small graphs whose merged edges can be checked by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.models import GraphSequential
from jraphx_eqx.nn.pool import EdgePooling, SelectOutput

pytestmark = pytest.mark.usefixtures("quick_compile")

# A path of four nodes, each edge in both directions, a node alone, and padding.
X = jnp.array([[1.0], [2.0], [3.0], [4.0], [5.0], [jnp.nan]])
EDGES = jnp.array([[0, 1, 1, 2, 2, 3, 6], [1, 0, 2, 1, 3, 2, 6]], jnp.int32)
ATTRS = jnp.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, jnp.nan])
BATCH = BatchVector(jnp.array([0, 0, 0, 0, 0, 1], jnp.int32), 1)


def as_they_are(raw, edge_index, num_nodes):
    return raw


def pooling(method=as_they_are, weights=(1.0, 1.0), add_to_edge_score=0.0, **options):
    pool = EdgePooling(
        1, method, add_to_edge_score=add_to_edge_score, **options, key=jax.random.key(0)
    )
    values = jnp.array([weights]), jnp.zeros(1)
    return eqx.tree_at(lambda pool: (pool.lin.weight, pool.lin.bias), pool, values)


def test_the_best_edge_is_merged_first_and_what_is_left_stays():
    # The scores are the sums of the ends, 3, 5 and 7: edge 4 and then edge 0 are merged.
    out = pooling()(X, EDGES, ATTRS, BATCH)
    np.testing.assert_array_equal(out.x[:, 0], [7 * 7, 3 * 3, 5, 0, 0, 0])
    np.testing.assert_array_equal(out.batch.index, [0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(out.select.cluster_index, [1, 1, 0, 0, 2, 6])
    np.testing.assert_array_equal(out.select.weight, [3, 3, 7, 7, 1, 0])


def test_edges_are_those_of_the_clusters_with_loops_and_each_once():
    out = pooling()(X, EDGES, ATTRS, BATCH)
    np.testing.assert_array_equal(out.edge_index[:, :4], [[0, 0, 1, 1], [0, 1, 0, 1]])
    np.testing.assert_array_equal(out.edge_attr, [48, 8, 4, 3, 0, 0, 0])
    np.testing.assert_array_equal(out.edge_index[:, 4:], np.full((2, 3), 6))


def test_trim_has_the_shapes_of_pyg():
    out = pooling()(X, EDGES, ATTRS, BATCH).trim()
    assert (out.x.shape, out.edge_index.shape, out.batch.index.shape) == ((3, 1), (2, 4), (3,))
    assert (out.select.num_nodes, out.select.num_clusters) == (6, 3)


def test_it_iterates_over_five_the_selection_last():
    *_, edge_attr, _, select = pooling()(X, EDGES, batch=BATCH)
    assert edge_attr is None and isinstance(select, SelectOutput) and not select.keeps_nodes


def test_lift_divides_by_the_score():
    pool = pooling()
    out = pool(X, EDGES, batch=BATCH)
    np.testing.assert_array_equal(pool.lift(out.x, out.select)[:, 0], [3, 3, 7, 7, 5, 0])
    trimmed = out.trim()
    np.testing.assert_array_equal(pool.lift(trimmed.x, trimmed.select)[:, 0], [3, 3, 7, 7, 5, 0])


def test_the_softmax_is_over_the_edges_with_the_same_target():
    # Edges 0 → 2 and 1 → 2 have raw scores 1 and 2, and 2 → 0 is alone at its target.
    edges = jnp.array([[0, 1, 2], [2, 2, 0]], jnp.int32)
    score = pooling("softmax", (1.0, 0.0), 0.5).score(X[:3], edges)
    share = 1 / (1 + np.e)
    np.testing.assert_allclose(score, [0.5 + share, 1.5 - share, 1.5], rtol=1e-6)


@pytest.mark.parametrize(
    "method, expected", [("tanh", np.tanh(3.0) + 1), ("sigmoid", 1 / (1 + np.exp(-3.0)) + 1)]
)
def test_other_methods_look_at_each_edge_alone(method, expected):
    edges = jnp.array([[0, 0], [1, 1]], jnp.int32)
    score = pooling(method, add_to_edge_score=1.0).score(X[:2], edges)
    np.testing.assert_allclose(score, [expected] * 2, rtol=1e-6)


def test_of_equal_scores_the_first_edge_is_merged():
    x = jnp.ones((3, 1))
    for edges, clusters in [([[0, 1], [1, 2]], [0, 0, 1]), ([[1, 0], [2, 1]], [1, 0, 0])]:
        out = pooling()(x, jnp.array(edges, jnp.int32))
        np.testing.assert_array_equal(out.select.cluster_index, clusters)


def test_a_self_loop_merges_a_node_with_itself_alone():
    out = pooling()(X[:3], jnp.array([[2, 0], [2, 1]], jnp.int32))
    np.testing.assert_array_equal(out.x[:, 0], [6 * 3, 3 * 3, 0])
    np.testing.assert_array_equal(out.edge_index, [[0, 1], [0, 1]])


def test_graphs_are_merged_by_score_in_one_order_whatever_the_batch_vector():
    x = jnp.array([[1.0], [5.0], [2.0], [6.0]])
    batch = BatchVector(jnp.array([1, 0, 1, 0], jnp.int32), 3)
    out = pooling()(x, jnp.array([[0, 1], [2, 3]], jnp.int32), batch=batch)
    np.testing.assert_array_equal(out.x[:, 0], [11 * 11, 3 * 3, 0, 0])
    np.testing.assert_array_equal(out.batch.index, [0, 1, 3, 3])


def test_graphs_without_edges_stay_as_they_are():
    none = jnp.zeros((2, 0), jnp.int32)
    out = pooling()(X, none, batch=BATCH)
    np.testing.assert_array_equal(out.x[:, 0], [1, 2, 3, 4, 5, 0])
    empty = pooling()(X[:0], none, batch=BatchVector(jnp.zeros(0, jnp.int32), 2))
    assert empty.x.shape == (0, 1) and empty.edge_index.shape == (2, 0)


def test_padding_changes_nothing_and_gets_no_gradient():
    def loss(given, edges, batch):
        pool, x, attr = given
        out = pool(x, edges, attr, batch)
        return jnp.sum(jnp.sin(out.x)) + jnp.sum(out.edge_attr**2), out

    gradient = eqx.filter_jit(eqx.filter_grad(loss, has_aux=True))
    pool = pooling("sigmoid", (0.1, 0.2), 0.5)
    padded, out = gradient((pool, X, ATTRS), EDGES, BATCH)
    alone, free = gradient(
        (pool, X[:5], ATTRS[:6]), EDGES[:, :6], BatchVector(jnp.zeros(5, jnp.int32), 1)
    )
    left, right = out.trim(), free.trim()
    for name in ("x", "edge_index", "edge_attr"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))
    np.testing.assert_array_equal(left.batch.index, right.batch.index)
    np.testing.assert_array_equal(padded[1][:5], alone[1])
    np.testing.assert_array_equal(padded[2][:6], alone[2])
    assert padded[1][5] == 0 and padded[2][6] == 0
    np.testing.assert_allclose(padded[0].lin.weight, alone[0].lin.weight, rtol=1e-6)
    assert np.any(padded[0].lin.weight)


def test_jit_gives_the_same_with_one_trace():
    traces = []

    @eqx.filter_jit
    def program(pool, x):
        traces.append(None)
        return pool(x, EDGES, ATTRS, BATCH)

    pool = pooling()
    jax.tree.map(np.testing.assert_array_equal, program(pool, X), pool(X, EDGES, ATTRS, BATCH))
    other = program(pool, X[::-1].at[0].set(2.0))
    assert len(traces) == 1 and np.all(np.isfinite(other.x))


def test_edges_to_merge_can_be_forced_and_are_scored_as_ever():
    pool = pooling()
    # Edge 2 joins nodes 1 and 2; the rest is padding.
    forced = jnp.array([2, 7, 7], jnp.int32)
    out = pool(X, EDGES, batch=BATCH, select=forced)
    np.testing.assert_array_equal(out.x[:, 0], [5 * 5, 1, 4, 5, 0, 0])
    gradient = eqx.filter_grad(lambda p: p(X, EDGES, batch=BATCH, select=forced).x.sum())(pool)
    # Of s (x₁ + x₂) with s = w · (x₁, x₂).
    np.testing.assert_array_equal(gradient.lin.weight, [[10, 15]])


def test_room_for_fewer_nodes_is_enough_or_an_error():
    pool = pooling()
    out = pool(X, EDGES, batch=BATCH, max_nodes=3, max_edges=4)
    np.testing.assert_array_equal(out.x[:, 0], [49, 9, 5])
    np.testing.assert_array_equal(out.edge_index, [[0, 0, 1, 1], [0, 1, 0, 1]])
    for room in (0, 2):
        with pytest.raises(RuntimeError, match=f"more clusters than max_nodes={room} has room for"):
            jax.block_until_ready(
                eqx.filter_jit(lambda x, room: pool(x, EDGES, batch=BATCH, max_nodes=room).x)(
                    X, room
                )
            )
    with pytest.raises(RuntimeError, match="more edges are left than max_edges=0"):
        pool(X, EDGES, batch=BATCH, max_edges=0)
    with pytest.raises(ValueError, match="max_nodes must not be negative, got -1"):
        pool(X, EDGES, batch=BATCH, max_nodes=-1)


def test_dropout_makes_raw_scores_0_or_larger_and_needs_a_key():
    pool = pooling(dropout=0.5)
    with pytest.raises(ValueError, match=r"key must be given in training with dropout=0\.5"):
        pool(X, EDGES, batch=BATCH)
    scores = pool.score(jnp.ones((2, 1)), jnp.zeros((2, 64), jnp.int32), key=jax.random.key(1))
    assert set(np.asarray(scores).tolist()) == {0.0, 4.0}
    still = eqx.nn.inference_mode(pool)
    np.testing.assert_array_equal(
        still(X, EDGES, batch=BATCH).x, pooling()(X, EDGES, batch=BATCH).x
    )


@pytest.mark.parametrize(
    "options, message",
    [
        ({"in_features": 0}, "in_features must be at least 1, got 0"),
        ({"edge_score_method": "relu"}, "edge_score_method must be one of 'softmax', 'tanh'"),
        ({"dropout": 1.0}, r"dropout must be a probability in \[0, 1\), got 1.0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        EdgePooling(**{"in_features": 2, **options}, key=jax.random.key(0))


def test_a_method_must_return_a_score_for_each_edge_of_the_right_dtype():
    with pytest.raises(ValueError, match="one score for each of the 7 edges, got shape"):
        pooling(lambda raw, edge_index, num_nodes: raw[:2])(X, EDGES, batch=BATCH)
    with pytest.raises(ValueError, match="what edge_score_method returns must have the dtype"):
        pooling(lambda raw, edge_index, num_nodes: raw > 0)(X, EDGES, batch=BATCH)


def test_several_batches_at_once_by_vmap_and_in_shard_map():
    pool = pooling("sigmoid", (0.1, 0.2), 0.5)
    xs = jnp.stack([X, X[::-1].at[0].set(2.0)])

    def pooled(x):
        return pool(x, EDGES, batch=BATCH).x

    expected = jnp.stack([pooled(x) for x in xs])
    np.testing.assert_allclose(jax.vmap(pooled)(xs), expected, rtol=1e-6)
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("devices",))
    spec = jax.sharding.PartitionSpec("devices")
    sharded = jax.shard_map(jax.vmap(pooled), mesh=mesh, in_specs=spec, out_specs=spec)
    np.testing.assert_allclose(jax.jit(sharded)(xs), expected, rtol=1e-6)


def test_in_a_sequence_of_layers_it_returns_five():
    signature = "x, edge_index -> x, edge_index, edge_attr, batch, select"
    layers = [(pooling(), signature), (lambda x, select: select.lift(x), "x, select -> x")]
    out = GraphSequential("x, edge_index", layers)(X[:5], EDGES[:, :6])
    np.testing.assert_array_equal(out[:, 0], [9, 9, 49, 49, 5])
