import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.pool import SelectOutput, SelectTopK, TopKPooling, select_nodes

pytestmark = pytest.mark.usefixtures("quick_compile")

# Projected on (3, 4) / 5 these are 1, 3, 2, -1, 5; the last row is padding.
X = jnp.array([[1.0, 0.5], [5.0, 0.0], [2.0, 1.0], [1.0, -2.0], [3.0, 4.0], [jnp.nan, jnp.inf]])
BATCH = BatchVector(jnp.array([0, 1, 0, 0, 1, 2]), 2)
EDGES = jnp.array([[0, 2, 2, 1, 4, 6], [2, 0, 2, 4, 4, 6]], jnp.int32)
ATTRS = jnp.array([10, 20, 30, 40, 50, 99])


def pooling(ratio=0.5, weight=(3.0, 4.0), **options):
    options = {"nonlinearity": "identity"} | options
    pool = TopKPooling(2, ratio, **options, key=jax.random.key(0))
    return eqx.tree_at(lambda pool: pool.select.weight, pool, jnp.array([weight]))


def test_the_best_half_of_each_graph_is_kept_and_gated_by_its_score():
    out = pooling()(X, EDGES, ATTRS, BATCH).trim()
    np.testing.assert_array_equal(out.perm, [2, 0, 4])
    np.testing.assert_allclose(out.score, [2, 1, 5], rtol=1e-6)
    np.testing.assert_allclose(out.x, [[4, 2], [1, 0.5], [15, 20]], rtol=1e-6)
    np.testing.assert_array_equal(out.batch.index, [0, 0, 1])


def test_edges_between_kept_nodes_are_relabelled_in_their_order():
    out = pooling()(X, EDGES, ATTRS, BATCH).trim()
    np.testing.assert_array_equal(out.edge_index, [[1, 0, 0, 2], [0, 1, 0, 2]])
    np.testing.assert_array_equal(out.edge_attr, [10, 20, 30, 50])


def test_without_trim_padding_follows_in_the_shapes_known_beforehand():
    out = pooling()(X, EDGES, ATTRS, BATCH)
    np.testing.assert_array_equal(out.perm, [2, 0, 4, 6, 6])
    np.testing.assert_array_equal(out.batch.index, [0, 0, 1, 2, 2])
    np.testing.assert_array_equal(out.x[3:], np.zeros((2, 2)))
    np.testing.assert_array_equal(out.edge_index, [[1, 0, 0, 5, 2, 5], [0, 1, 0, 5, 2, 5]])
    np.testing.assert_array_equal(out.edge_attr, [10, 20, 30, 0, 50, 0])
    assert out.num_kept == 3 and not out.overflow


def test_a_pool_output_iterates_over_five():
    out = pooling()(X, EDGES, ATTRS, BATCH)
    x, edge_index, edge_attr, batch, perm = out
    assert x is out.x and edge_index is out.edge_index and edge_attr is out.edge_attr
    assert batch is out.batch and perm is out.select.node_index


def test_a_count_keeps_as_many_nodes_of_each_graph_as_there_are():
    assert pooling(1)(X, EDGES, batch=BATCH).trim().perm.tolist() == [2, 4]
    assert pooling(3)(X, EDGES, batch=BATCH).trim().perm.tolist() == [2, 0, 3, 4, 1]
    assert pooling(9)(X, EDGES, batch=BATCH).trim().perm.tolist() == [2, 0, 3, 4, 1]


def test_the_length_of_the_weight_plays_no_part():
    out = pooling(weight=(30.0, 40.0))(X, EDGES, batch=BATCH)
    np.testing.assert_allclose(out.score[:3], [2, 1, 5], rtol=1e-6)


def test_the_multiplier_acts_on_features_and_not_on_scores():
    out = pooling(multiplier=-3)(X, EDGES, batch=BATCH).trim()
    np.testing.assert_allclose(out.x, [[-12, -6], [-3, -1.5], [-45, -60]], rtol=1e-6)
    np.testing.assert_allclose(out.score, [2, 1, 5], rtol=1e-6)


def test_the_nonlinearity_is_applied_once():
    out = pooling(nonlinearity="tanh")(X, EDGES, batch=BATCH).trim()
    np.testing.assert_allclose(out.score, np.tanh([2, 1, 5]), rtol=1e-6)
    np.testing.assert_allclose(out.x[1], np.tanh(1) * np.array([1, 0.5]), rtol=1e-6)


def test_min_score_keeps_in_the_order_of_nodes_and_scores_by_softmax():
    # Projected on (1, 0): softmax of log 1, log 3, log 4 over graph 0, and 1 for graph 1.
    x = jnp.log(jnp.array([[1.0, 1], [7, 1], [3, 1], [4, 1]]))
    batch = BatchVector(jnp.array([0, 1, 0, 0]), 2)
    pool = pooling(min_score=0.2, weight=(1.0, 0.0), nonlinearity="tanh")
    out = pool(x, EDGES[:, :2], batch=batch).trim()
    np.testing.assert_array_equal(out.perm, [1, 2, 3])
    np.testing.assert_allclose(out.score, [1, 3 / 8, 4 / 8], rtol=1e-6)
    np.testing.assert_array_equal(out.batch.index, [1, 0, 0])


def test_attn_is_scored_in_place_of_x():
    attn = jnp.where(jnp.arange(6)[:, None] == 3, 9.0, X)
    out = pooling(1)(X, EDGES, batch=BATCH, attn=attn).trim()
    np.testing.assert_array_equal(out.perm, [3, 4])
    np.testing.assert_allclose(out.score[0], 9 * 7 / 5, rtol=1e-6)
    np.testing.assert_allclose(out.x[0], 9 * 7 / 5 * X[3], rtol=1e-6)


def test_the_gradient_reaches_kept_nodes_and_the_weight():
    # The sum of x_i · s_i over a node, with s = 3/5 x_0 + 4/5 x_1.
    def total(x):
        return pooling(1)(x, EDGES, batch=BATCH).x.sum()

    gradient = jax.grad(total)(X)
    expected = np.zeros((6, 2))
    expected[2] = 2 + 3 * np.array([0.6, 0.8])
    expected[4] = 5 + 7 * np.array([0.6, 0.8])
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)


def test_a_nonlinearity_with_an_infinite_slope_at_0_does_not_see_padding():
    pool = pooling(nonlinearity=lambda score: jnp.sqrt(jnp.abs(score)))

    def total(leaves):
        pool, x = leaves
        return pool(x, EDGES, batch=BATCH).x.sum()

    pool_gradient, gradient = eqx.filter_grad(total)((pool, X))
    assert np.all(np.isfinite(gradient)) and np.all(np.isfinite(pool_gradient.select.weight))


def test_a_weight_of_0_has_no_direction_and_all_scores_are_nan_as_in_pyg():
    out = pooling(weight=(0.0, 0.0))(X, EDGES, ATTRS, BATCH)
    np.testing.assert_array_equal(out.score, [np.nan] * 3 + [0, 0])
    np.testing.assert_array_equal(out.perm, [0, 2, 1, 6, 6])
    assert np.all(np.isnan(out.x[:3])) and not np.any(out.x[3:])


def test_nan_comes_first_and_stays_in_its_graph():
    out = pooling()(X.at[3].set(jnp.nan), EDGES, batch=BATCH)
    np.testing.assert_array_equal(out.perm, [3, 2, 4, 6, 6])
    np.testing.assert_allclose(out.score[:3], [np.nan, 2, 5], rtol=1e-6)


def test_with_min_score_a_graph_with_nan_loses_all_its_nodes_as_in_pyg():
    out = pooling(min_score=0.01)(X.at[3].set(jnp.nan), EDGES, batch=BATCH)
    np.testing.assert_array_equal(out.trim().perm, [4])


def test_of_equal_scores_in_a_batch_in_any_order_the_first_nodes_stay():
    index = jnp.arange(60, dtype=jnp.int32) % 3
    call = eqx.filter_jit(pooling().select)
    select = call(jnp.ones(60), BatchVector(index, 3))
    expected = [node for graph in range(3) for node in range(graph, 30, 3)]
    np.testing.assert_array_equal(select.node_index[:30], expected)
    assert np.all(select.node_index[30:] == 60)


def test_a_nonlinearity_with_parameters_is_trained():
    class Slope(eqx.Module):
        slope: jax.Array

        def __call__(self, x):
            return self.slope * x

    pool = pooling(nonlinearity=Slope(jnp.array(2.0)))
    gradient = eqx.filter_grad(lambda pool: pool(X, EDGES, batch=BATCH).score.sum())(pool)
    np.testing.assert_allclose(gradient.select.nonlinearity.slope, 2 + 1 + 5, rtol=1e-6)


def test_the_public_stages_put_together_are_the_call():
    pool = pooling()
    out = pool(X, EDGES, ATTRS, BATCH)
    select = pool.select(pool.score(X, EDGES, BATCH), BATCH)
    np.testing.assert_array_equal(pool.reduce(X, select), out.x)
    edge_index, edge_attr, batch = pool.connect(select, EDGES, ATTRS, BATCH)
    np.testing.assert_array_equal(edge_index, out.edge_index)
    np.testing.assert_array_equal(edge_attr, out.edge_attr)
    np.testing.assert_array_equal(batch.index, out.batch.index)


def test_a_decision_from_elsewhere_can_be_put_in():
    pool, score = pooling(), jnp.arange(6.0)
    select = select_nodes(jnp.array([3, 1, 6], jnp.int32), score)
    np.testing.assert_array_equal(pool.reduce(X, select), [[3, -6], [5, 0], [0, 0]])
    edge_index, _, batch = pool.connect(select, EDGES, None, BATCH)
    assert np.all(edge_index == 3)
    np.testing.assert_array_equal(batch.index, [0, 1, 2])


def test_a_selection_has_a_cluster_for_each_node_and_none_for_padding():
    perm, score = jnp.array([1, 3], jnp.int32), jnp.array([5.0, 6.0, 7.0])
    for overflow in (None, jnp.array(False), jnp.array(True)):
        select = select_nodes(perm, score, overflow)
        np.testing.assert_array_equal(select.cluster_index, [0, 2])
        np.testing.assert_array_equal(select.weight, [6, 0])
        assert select.overflow == (overflow is not None and bool(overflow))


@pytest.mark.parametrize(
    ("options", "expected"),
    [({"ratio": 0.5}, 2), ({"ratio": 1}, 1), ({"ratio": 9}, 3), ({"min_score": 0.1}, 3)],
)
def test_the_bound_on_the_nodes_of_a_graph_shrinks_with_it(options, expected):
    known = BatchVector(BATCH.index, 2, 3)
    out = pooling(**options)(X, EDGES, ATTRS, known)
    assert out.batch.max_count == out.trim().batch.max_count == expected


def test_a_decision_from_elsewhere_leaves_the_bound_as_it_was():
    select = select_nodes(jnp.array([3, 2, 0], jnp.int32), jnp.arange(6.0))
    _, _, batch = pooling(1).connect(select, EDGES, None, BatchVector(BATCH.index, 2, 3))
    assert batch.max_count == 3


def test_lift_brings_kept_nodes_back_and_gives_0_to_the_others():
    out = pooling()(X, EDGES, ATTRS, BATCH)
    lifted = out.lift(jnp.arange(1.0, 6)[:, None])
    np.testing.assert_array_equal(lifted[:, 0], [2, 0, 1, 0, 3, 0])
    trimmed = out.trim()
    np.testing.assert_array_equal(trimmed.lift(jnp.arange(1.0, 4)[:, None]), lifted)


def test_trim_leaves_arrays_of_jax():
    out = pooling()(X, EDGES, ATTRS, BATCH).trim()
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(out))
    assert type(out.select.num_clusters) is int


def test_trim_keeps_64_bit_types_that_are_switched_off_by_then():
    out = pooling()(X, EDGES, ATTRS, BATCH)
    with jax.enable_x64(True):
        wide = out.x.astype("float64") / 3, out.edge_attr.astype("int64")
        out = eqx.tree_at(lambda out: (out.x, out.edge_attr), out, wide)
    trimmed = out.trim()
    assert trimmed.x.dtype == "float64" and trimmed.edge_attr.dtype == "int64"
    np.testing.assert_array_equal(trimmed.x, np.asarray(out.x)[:3])


def test_the_selection_takes_a_bare_batch_vector_or_none():
    select, score = pooling(ratio=1).select, jnp.array([1.0, 3.0, 2.0])
    np.testing.assert_array_equal(select(score).node_index, [1])
    np.testing.assert_array_equal(select(score, jnp.array([0, 1, 0])).node_index, [2, 1])


def test_lift_follows_the_clusters_and_adds_those_of_a_node():
    # Node 0 is in cluster 1, node 1 in both, node 2 in none; the last pair is padding.
    node, cluster = jnp.array([0, 1, 1, 3], jnp.int32), jnp.array([1, 0, 1, 2], jnp.int32)
    select = SelectOutput(node, cluster, jnp.ones(4), num_nodes=3, num_clusters=2)
    np.testing.assert_array_equal(select.lift(jnp.array([[1.0], [10.0]])), [[10], [11], [0]])


def test_pooling_twice_keeps_the_best_of_the_best():
    pool = pooling()
    first = pool(X, EDGES, ATTRS, BATCH)
    second = pool(first.x, first.edge_index, first.edge_attr, first.batch).trim()
    # (4, 2) scores 4 and (15, 20) scores 25.
    np.testing.assert_array_equal(second.perm, [0, 2])
    np.testing.assert_allclose(second.x, [[16, 8], [375, 500]], rtol=1e-6)
    np.testing.assert_array_equal(second.edge_index, [[0, 1], [0, 1]])
    np.testing.assert_array_equal(second.edge_attr, [30, 50])
    np.testing.assert_array_equal(second.batch.index, [0, 1])


def test_scores_of_a_bare_batch_under_jit_take_its_size():
    pool = pooling(min_score=0.2)
    traced = jax.jit(lambda ids: pool.score(X[:5], None, ids, size=2))(BATCH.index[:5])
    np.testing.assert_allclose(traced, pool.score(X[:5], None, BATCH.index[:5]), rtol=1e-5)


def test_without_batch_there_is_one_graph():
    out = pooling(2)(X[:5], EDGES[:, :5])
    np.testing.assert_array_equal(out.perm, [4, 1])
    np.testing.assert_array_equal(out.batch.index, [0, 0])


@pytest.mark.parametrize("edge_dtype", ["int32", "int64"])
@pytest.mark.parametrize("batch_dtype", ["int32", "int64"])
def test_outputs_keep_the_dtypes_of_their_indices(edge_dtype, batch_dtype):
    with jax.enable_x64(True):
        batch = BatchVector(BATCH.index.astype(batch_dtype), 2)
        args = (X.astype(jnp.float64), EDGES.astype(edge_dtype), ATTRS, batch)
        out = eqx.filter_eval_shape(pooling(), *args)
    assert (out.edge_index.dtype, out.batch.index.dtype) == (edge_dtype, batch_dtype)
    assert out.select.node_index.dtype == out.select.cluster_index.dtype == jnp.int32
    assert out.edge_overflow.dtype == out.select.overflow.dtype == bool


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16, jnp.bfloat16])
def test_the_weight_is_drawn_within_one_over_the_root_of_the_width(dtype):
    weight = SelectTopK(400, dtype=dtype, key=jax.random.key(1)).weight
    assert weight.shape == (1, 400) and weight.dtype == dtype
    assert TopKPooling(4, dtype=dtype, key=jax.random.key(1)).select.weight.dtype == dtype
    assert abs(weight.mean()) < 0.005
    largest = np.max(np.abs(np.asarray(weight, np.float32)))
    assert 0.045 < largest <= 0.05 * (1 + float(jnp.finfo(dtype).eps))


def test_a_selection_takes_bare_ids_and_their_number():
    select = SelectTopK(1, 1, key=jax.random.key(0))
    score, ids = jnp.array([1.0, 3.0, 2.0]), jnp.array([0, 0, 2])

    def kept(score, ids):
        return select(score, ids, size=3).node_index

    np.testing.assert_array_equal(jax.jit(kept)(score, ids), [1, 2, 3])
    np.testing.assert_array_equal(select(score).node_index, [1])


@pytest.mark.parametrize(
    ("dtype", "weight"),
    [
        *(("float16", weight) for weight in (1.0, 1e-3, 3e-4, 1e-4, 300.0, 65000.0)),
        *(("bfloat16", weight) for weight in (1.0, 1e-20, 1e20, 3e38)),
        *(("float32", weight) for weight in (1.0, 1e-20, 1e-37, 1e20, 3e38)),
    ],
)
def test_the_length_of_the_projection_plays_no_part(dtype, weight):
    pool = TopKPooling(1, 2, nonlinearity="identity", dtype=dtype, key=jax.random.key(0))
    pool = eqx.tree_at(lambda pool: pool.select.weight, pool, jnp.full((1, 1), weight, dtype))
    out = pool(jnp.array([[0.1], [0.5], [0.9]], dtype), jnp.zeros((2, 0), jnp.int32))
    np.testing.assert_array_equal(out.perm, [2, 1])
    found, rounding = np.asarray(out.score, np.float64), float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(found, [0.9, 0.5], rtol=2 * rounding)


def test_many_large_entries_in_float16_have_a_norm():
    # The square of 20 is far from the largest number of float16, and the sum of 512 is past it.
    pool = TopKPooling(512, 1, nonlinearity="identity", dtype=jnp.float16, key=jax.random.key(0))
    pool = eqx.tree_at(lambda pool: pool.select.weight, pool, jnp.full((1, 512), 20, jnp.float16))
    x = jnp.zeros((2, 512), jnp.float16).at[1, 0].set(1)
    out = pool(x, jnp.zeros((2, 0), jnp.int32))
    np.testing.assert_array_equal(out.perm, [1])
    np.testing.assert_allclose(out.score, [1 / np.sqrt(512)], rtol=1e-3)


def test_a_projection_of_zeros_has_no_direction():
    out = pooling(weight=(0.0, 0.0))(X, EDGES, None, BATCH).trim()
    assert np.all(np.isnan(out.score))


def test_gelu_is_torch_s_far_below_zero():
    # In float32 all are 0, as in PyG; in float64 the third is the largest.
    x, edges = jnp.array([[-5.8], [-6.0], [-9.0]]), jnp.zeros((2, 0), jnp.int32)
    for x64, kept in ((False, 0), (True, 2)):
        with jax.enable_x64(x64):
            dtype = jnp.result_type(float)
            pool = TopKPooling(1, 1, nonlinearity="gelu", key=jax.random.key(0))
            pool = eqx.tree_at(lambda pool: pool.select.weight, pool, jnp.ones((1, 1), dtype))
            np.testing.assert_array_equal(pool(x.astype(dtype), edges).perm, [kept])
