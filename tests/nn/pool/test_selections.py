"""What a pooling decided: selections, forced ones, and what they know of clusters."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx._decide import deciding, is_deciding
from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.pool import (
    ASAPooling,
    ClusterPooling,
    DenseSelectOutput,
    DiffPooling,
    DMoNPooling,
    EdgePooling,
    MemPooling,
    MinCutPooling,
    PANPooling,
    SAGPooling,
    SelectOutput,
    TopKPooling,
    global_add_pool,
    select_nodes,
)

pytestmark = pytest.mark.usefixtures("quick_compile")

X = jnp.array([[3.0, 1.0], [1.0, 2.0], [2.0, 5.0], [4.0, 4.0], [9.0, 9.0]])
EDGES = jnp.array([[0, 1, 2, 3, 5], [1, 2, 3, 0, 5]], jnp.int32)
# Two graphs, and one row of padding.
BATCH = BatchVector(jnp.array([0, 0, 1, 1, 2], jnp.int32), 2)
# Node 0 in cluster 0, nodes 1 and 2 in cluster 1, node 3 in both; the last pair is padding.
PAIRS = SelectOutput(
    jnp.array([0, 1, 2, 3, 3, 5], jnp.int32),
    jnp.array([0, 1, 1, 0, 1, 2], jnp.int32),
    jnp.array([1.0, 2.0, 1.0, 0.5, 1.0, 7.0]),
    num_nodes=5,
    num_clusters=3,
)
MATRIX = jnp.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.25, 0.75], [0.0, 0.0]])
DENSE = DenseSelectOutput(MATRIX, BATCH)


def topk(**options):
    pool = TopKPooling(
        2, **{"ratio": 0.5, "nonlinearity": "identity", **options}, key=jax.random.key(0)
    )
    return eqx.tree_at(lambda pool: pool.select.weight, pool, jnp.array([[1.0, 0.0]]))


def test_reduce_adds_the_weighted_rows_of_each_cluster():
    # 3 + 4/2, 1 + 2; and 2 * 1 + 2 + 4, 2 * 2 + 5 + 4. No pair is in the last.
    np.testing.assert_array_equal(PAIRS.reduce(X), [[5, 3], [8, 13], [0, 0]])
    plain = eqx.tree_at(lambda s: s.weight, PAIRS, None, is_leaf=lambda leaf: leaf is None)
    np.testing.assert_array_equal(plain.reduce(X, "max"), [[4, 4], [4, 5], [0, 0]])
    np.testing.assert_array_equal(plain.reduce(X[:, 0], "mean"), [3.5, 7 / np.float32(3), 0])


def test_a_pair_with_padding_on_either_side_counts_nowhere():
    select = SelectOutput(
        jnp.array([0, 5, 1], jnp.int32),
        jnp.array([0, 0, 1], jnp.int32),
        num_nodes=5,
        num_clusters=1,
    )
    np.testing.assert_array_equal(select.reduce(X), [[3, 1]])
    np.testing.assert_array_equal(select.lift(jnp.ones((1, 1)))[:, 0], [1, 0, 0, 0, 0])
    assert select.trim().node_index.tolist() == [0]


def test_a_cluster_is_of_the_graph_of_its_last_node():
    np.testing.assert_array_equal(PAIRS.graphs(BATCH).index, [1, 1, 2])


def test_trim_drops_padding_pairs_and_the_clusters_after_the_last():
    trimmed = PAIRS.trim()
    assert (trimmed.num_nodes, trimmed.num_clusters) == (5, 2)
    np.testing.assert_array_equal(trimmed.cluster_index, [0, 1, 1, 0, 1])
    np.testing.assert_array_equal(trimmed.weight, [1, 2, 1, 0.5, 1])
    np.testing.assert_array_equal(trimmed.reduce(X), [[5, 3], [8, 13]])


@pytest.mark.parametrize("name", ["perm", "score", "num_kept"])
@pytest.mark.parametrize("select", [PAIRS, DENSE], ids=["pairs", "dense"])
def test_clusters_of_several_nodes_have_no_perm_score_or_number_of_kept_nodes(select, name):
    with pytest.raises(AttributeError, match=f"{name} exists only where each cluster is one node"):
        getattr(select, name)


def test_kept_nodes_have_them():
    kept = select_nodes(jnp.array([3, 1, 5], jnp.int32), jnp.arange(5.0))
    np.testing.assert_array_equal(kept.perm, [3, 1, 5])
    np.testing.assert_array_equal(kept.score, [3, 1, 0])
    assert kept.num_kept == 2 and kept.trim().num_kept == 2


def test_memberships_reduce_and_lift_graph_by_graph():
    # Graph 0: 1 * [3, 1] + 0.5 * [1, 2], 0.5 * [1, 2]; graph 1: 0.25 * [4, 4], [2, 5] + 0.75 * ...
    expected = [[3.5, 2], [0.5, 1], [1, 1], [5, 8]]
    np.testing.assert_array_equal(DENSE.reduce(X), expected)
    np.testing.assert_array_equal(DENSE.reduce(X[:, 0]), np.array(expected)[:, 0])
    lifted = DENSE.lift(jnp.array([[1.0], [2.0], [10.0], [20.0]]))
    np.testing.assert_array_equal(lifted[:, 0], [1, 1.5, 20, 17.5, 0])
    assert (DENSE.num_nodes, DENSE.num_clusters, bool(DENSE.overflow)) == (5, 4, False)


def test_memberships_can_only_be_added():
    with pytest.raises(ValueError, match="aggr must be 'add' or 'sum' for memberships, got 'max'"):
        DENSE.reduce(X, "max")


def test_the_clusters_of_a_graph_without_nodes_are_padding():
    batch = BatchVector(jnp.array([0, 0, 2, 2, 3], jnp.int32), 3)
    select = DenseSelectOutput(MATRIX, batch)
    np.testing.assert_array_equal(select.graphs(batch).index, [0, 0, 3, 3, 2, 2])
    trimmed = select.trim()
    np.testing.assert_array_equal(trimmed.reduce(X[:4]), DENSE.reduce(X))
    np.testing.assert_array_equal(trimmed.lift(jnp.arange(4.0)[:, None])[:, 0], [0, 0.5, 3, 2.75])


def test_a_selection_is_used_as_it_is():
    select = select_nodes(jnp.array([1, 5], jnp.int32), jnp.full(5, 10.0))
    out = topk()(X, EDGES, batch=BATCH, select=select)
    np.testing.assert_array_equal(out.x, [[10, 20], [0, 0]])
    assert bool(eqx.tree_equal(out.select, select))


def test_a_forced_choice_is_gated_by_the_scores_of_the_pooling():
    pool = topk(multiplier=2.0)
    out = pool(X, EDGES, batch=BATCH, select=jnp.array([1, 2, 5], jnp.int32))
    np.testing.assert_array_equal(out.score, [1, 2, 0])
    np.testing.assert_array_equal(out.x, [[2, 4], [8, 20], [0, 0]])
    np.testing.assert_array_equal(out.edge_index, [[3, 0, 3, 3, 3], [3, 1, 3, 3, 3]])
    np.testing.assert_array_equal(out.batch.index, [0, 1, 2])
    gradient = eqx.filter_grad(
        lambda pool: pool(X, EDGES, batch=BATCH, select=jnp.array([1, 2], jnp.int32)).score.sum()
    )(pool)
    # Of (x₁ + x₂) · p / ‖p‖ at p = (1, 0): what is orthogonal to p.
    np.testing.assert_allclose(gradient.select.weight, [[0, 7]], atol=1e-6)


def test_a_choice_can_be_a_function_of_the_own_one():
    out = topk()(X, EDGES, batch=BATCH, select=lambda own: own[::-1])
    own = topk()(X, EDGES, batch=BATCH)
    np.testing.assert_array_equal(out.perm, own.perm[::-1])
    same = topk()(X, EDGES, batch=BATCH, select=lambda own: own)
    jax.tree.map(np.testing.assert_array_equal, same, own)


def test_a_selection_of_another_graph_or_with_room_given_twice_is_refused():
    select = select_nodes(jnp.array([1], jnp.int32), jnp.ones(4))
    with pytest.raises(ValueError, match="x must have one row for each of the 4 nodes of select"):
        topk()(X, EDGES, batch=BATCH, select=select)
    with pytest.raises(ValueError, match="max_nodes must not be given with a selection"):
        topk()(X, EDGES, select=select_nodes(jnp.array([1]), jnp.ones(5)), max_nodes=2)


class TwoPools(eqx.Module):
    first: TopKPooling
    second: SAGPooling

    def __call__(self, x, edge_index, batch):
        x, edge_index, _, batch, _ = self.first(x, edge_index, batch=batch)
        x, edge_index, _, batch, _ = self.second(x, edge_index, batch=batch)
        return global_add_pool(x, batch)


def two_pools():
    return TwoPools(topk(ratio=0.9), SAGPooling(2, gnn="graph", key=jax.random.key(1)))


@eqx.filter_jit
def run(network, x, choices):
    own, scores, left = [], [], iter(choices)

    def decider(rows, score):
        own.append(rows)
        scores.append(score)
        return next(left, rows)

    with deciding(decider):
        out = network(x, EDGES, BATCH)
    return out, own, scores


def test_poolings_choose_in_the_order_of_their_calls_what_a_harness_decides():
    network = two_pools()
    free, own, scores = run(network, X, [])
    np.testing.assert_allclose(free, network(X, EDGES, BATCH), rtol=1e-5)
    np.testing.assert_array_equal(own[0][:4], [0, 1, 3, 2])
    np.testing.assert_array_equal(scores[0][:4], X[:4, 0])
    # Forced to its own choices, all or the first, nothing changes.
    for choices in (own, own[:1]):
        np.testing.assert_allclose(run(network, X, choices)[0], free, rtol=1e-5)
    other = jnp.array([1, 0, 2, 3, 5, 5], jnp.int32)[: len(own[0])]
    out, found, after = run(network, X, [other])
    np.testing.assert_array_equal(found[0], own[0])
    # The same nodes in another order: what follows is the same.
    np.testing.assert_allclose(out, free, rtol=1e-5)
    np.testing.assert_allclose(after[1][:2], scores[1][:2][::-1], rtol=1e-5)


def test_one_program_serves_all_choices_and_gradients_go_through_the_scores():
    network, traces = two_pools(), []

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(network, choices):
        traces.append(None)
        left = iter(choices)
        with deciding(lambda own, score: next(left)):
            return network(X, EDGES, BATCH).sum()

    one = gradient(network, [jnp.array([0, 2, 5, 5]), jnp.array([0, 1, 4])])
    other = gradient(network, [jnp.array([1, 3, 5, 5]), jnp.array([0, 1, 4])])
    assert len(traces) == 1
    for found in (one, other):
        assert np.all(np.isfinite(found.first.select.weight)) and np.any(found.first.select.weight)
    assert not np.allclose(one.first.select.weight, other.first.select.weight)


def test_a_call_with_select_is_not_asked():
    asked = []
    with deciding(lambda own, score: asked.append(own) or own):
        topk()(X, EDGES, select=jnp.array([1], jnp.int32))
        topk()(X, EDGES)
    assert len(asked) == 1


def test_nothing_is_decided_after_an_error_in_the_context():
    with pytest.raises(ZeroDivisionError), deciding(lambda own, score: own):
        assert is_deciding()
        raise ZeroDivisionError
    assert not is_deciding()


POOLINGS = {
    **dict.fromkeys((TopKPooling, SAGPooling, EdgePooling, ASAPooling, PANPooling), (2,)),
    ClusterPooling: (2,),
    **dict.fromkeys((DiffPooling, MinCutPooling, DMoNPooling), (2, 2)),
    MemPooling: (2, 2, 1, 2),
}


@pytest.mark.parametrize("pool", POOLINGS)
def test_all_poolings_compute_without_promoting_dtypes_or_ranks(pool):
    pool = pool(*POOLINGS[pool], key=jax.random.key(0))
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        out = eqx.filter_jit(pool)(X, EDGES, batch=BATCH)
    assert np.isfinite(out.x).all()
