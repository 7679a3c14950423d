"""Poolings that PyG has not, by hand, and beside what torch-geometric-pool gave.

`parity_tests/tgp/record.py` wrote `tgp.npz`; `nox -s tgp` runs it.
"""

import functools
import pathlib
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.pool import (
    ASAPooling,
    AsymCheegerCutPooling,
    BNPool,
    DenseSelectOutput,
    DiffPooling,
    DMoNPooling,
    EdgeContractionPooling,
    EdgePooling,
    GraclusPooling,
    HOSCPooling,
    JustBalancePooling,
    KMISPooling,
    LaPooling,
    MaxCutPooling,
    MinCutPooling,
    NoPool,
    SAGPooling,
    TopKPooling,
    get_pooler,
)
from jraphx_eqx.ops import independent_nodes

pytestmark = pytest.mark.usefixtures("quick_compile")

KEY = jax.random.key(0)
# Two graphs: three nodes on a path, in clusters 0, 1 and both; and a pair in cluster 0.
X = jnp.array([[1.0], [2.0], [4.0], [5.0], [7.0]])
PADDED = jnp.concatenate([X, jnp.full((1, 1), jnp.nan)])
EDGES = jnp.array([[0, 1, 1, 2, 3, 6], [1, 0, 2, 1, 4, 6]], jnp.int32)
WEIGHTS = jnp.array([1.0, 1.0, 2.0, 2.0, 3.0, jnp.nan])
BATCH = BatchVector(jnp.array([0, 0, 0, 1, 1, 2], jnp.int32), 2)
S = jnp.array([[1, 0], [0, 1], [0.5, 0.5], [1, 0], [1, 0], [0, 0]])


def losses(pool, s=S, edges=EDGES, weights=WEIGHTS, batch=BATCH, extra=None):
    select = DenseSelectOutput(s, batch, extra)
    return eqx.filter_jit(type(pool).losses)(pool, select, edges, weights, batch)


def test_just_balance_by_hand():
    # The clusters of the path have the norm √(1 + 1/4), those of the pair √2 and 0.
    path, pair = 2 * 1.25**0.5, 2**0.5
    loss = losses(JustBalancePooling(1, 2, key=KEY))["balance_loss"]
    np.testing.assert_allclose(loss, -(path / 6**0.5 + pair / 2) / 2, rtol=1e-6)
    plain = losses(JustBalancePooling(1, 2, normalize_loss=False, key=KEY))["balance_loss"]
    np.testing.assert_allclose(plain, -(path + pair) / 2, rtol=1e-6)


def test_hosc_by_hand():
    path = np.array([[0, 1, 0], [1, 0, 2], [0, 2, 0]])
    adjacency = np.zeros((5, 5))
    adjacency[:3, :3], adjacency[3, 4] = path, 3

    def cut(power, nodes):
        matrix, s = np.linalg.matrix_power(adjacency, power)[nodes, nodes], S[:5][nodes]
        volume = np.sum(matrix.sum(axis=1) * np.sum(s**2, axis=1))
        return np.trace(s.T @ matrix @ s) / volume if volume else 0

    # No walk of three edges is in the pair.
    parts = [0.75 * cut(1, nodes) + 0.25 * cut(3, nodes) for nodes in (np.s_[:3], np.s_[3:5])]
    loss = losses(HOSCPooling(1, 2, alpha=0.25, key=KEY))["hosc_loss"]
    np.testing.assert_allclose(loss, -sum(parts) / 2 / 2, rtol=1e-6)
    lengths = np.array([2 * 1.25**0.5 / 3**0.5, 1])
    expected = 0.5 * np.mean((2**0.5 - lengths) / (2**0.5 - 1))
    loss = losses(HOSCPooling(1, 2, mu=0.5, hosc_ortho=True, key=KEY))["ortho_loss"]
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_asymmetric_cheeger_by_hand():
    loss = losses(AsymCheegerCutPooling(1, 2, key=KEY))
    # Steps of 2 and 1 on the path, and none in the pair.
    steps = (2 * 1 * 2 + 2 * 2 * 1) / (2 * 4)
    np.testing.assert_allclose(loss["total_variation_loss"], steps / 2, rtol=1e-6)
    # The second of three is 1/2: two memberships are 1/2 away from it, in both clusters. That of
    # the pair is the last one: none is away.
    np.testing.assert_allclose(loss["balance_loss"], ((1 - 4 / 2 / 3) + 1) / 2, rtol=1e-6)


def test_bnpool_by_hand():
    pool = BNPool(1, 2, alpha_dp=1.0, k_mu=3.0, inference=True, key=KEY)
    # α = β = 1 are the prior, and α = 2, β = 1 are log 2 - 1/2 from it.
    extra = jnp.array([[1.0, 1.0], [1.0, 1.0], [2.0, 1.0], [1.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    found = losses(pool, extra=extra)
    # Terms of about 1 cancel.
    np.testing.assert_allclose(found["kl"], (np.log(2) - 0.5) / 9 / 2, atol=1e-6)
    # All four entries of K are 2 away from the mean.
    np.testing.assert_allclose(found["K_prior"], 4 * 4 / 2 / 2 * (1 / 9 + 1 / 4) / 2, rtol=1e-6)
    # The pairs of nodes have the logits 1, -1 and, with the third node, 0.
    plus, minus, zero = (np.log1p(np.exp(value)) for value in (1, -1, 0))
    path = 5 / 4 * (2 * plus + 2 * zero) + 2 * plus + 3 * zero
    pair = 3 * minus + 3 * plus
    np.testing.assert_allclose(found["quality"], (path / 9 + pair / 4) / 2, rtol=1e-6)


def test_sticks_are_broken_by_their_means_or_by_a_key():
    weight = jnp.zeros((4, 1)), jnp.log(jnp.expm1(jnp.array([1.0, 3.0, 3.0, 1.0])))
    pool = BNPool(1, 3, inference=True, key=KEY)
    where = lambda p: (p.mlp.lins[0].weight, p.mlp.lins[0].bias)  # noqa: E731
    pool = eqx.tree_at(where, pool, weight)
    out = pool(PADDED, EDGES, WEIGHTS, BATCH)
    expected = [1 / 4, 3 / 4 * 3 / 4, 3 / 4 * 1 / 4]
    np.testing.assert_allclose(out.select.matrix[:5], [expected] * 5, rtol=1e-5)
    np.testing.assert_array_equal(out.select.matrix[5], np.zeros(3))
    drawn = eqx.nn.inference_mode(pool, value=False)
    first, same, other = (
        drawn.assign(PADDED, EDGES, WEIGHTS, BATCH, key=jax.random.key(seed)).matrix
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, same)
    assert np.any(first != other)
    np.testing.assert_allclose(jnp.sum(first, axis=1), [1, 1, 1, 1, 1, 0], rtol=1e-6)
    with pytest.raises(ValueError, match="key must be given in training"):
        drawn(PADDED, EDGES, WEIGHTS, BATCH)
    with pytest.raises(ValueError, match="select must have the parameters"):
        losses(pool)


def test_kmis_by_hand():
    # The canonical order keeps 0 and 2 of the path, and 3, which reaches 4.
    pool = KMISPooling(scorer="canonical", score_heuristic=None)
    out = pool(PADDED, EDGES, WEIGHTS, BATCH)
    np.testing.assert_array_equal(out.select.labels, [0, 0, 1, 2, 2, 6])
    np.testing.assert_array_equal(out.x[:3, 0], [-1 * 2, -2 * 4, -3 * 5 - 4 * 7])
    np.testing.assert_array_equal(out.edge_index[:, :3], [[0, 1, 6], [1, 0, 6]])
    np.testing.assert_array_equal(out.edge_attr[:3], [2, 2, 0])
    np.testing.assert_array_equal(out.batch.index, [0, 0, 1, 2, 2, 2])
    lifted = pool.lift(out.x, out.select)
    np.testing.assert_array_equal(lifted[:, 0], [0, 2, 16, 129, 172, 0])
    # The degree 3 of node 1, divided by 3 walks, ties with that of node 2, divided by 2.
    degree = KMISPooling(scorer="degree")(PADDED, EDGES, WEIGHTS, BATCH)
    np.testing.assert_array_equal(degree.select.labels, [0, 0, 0, 1, 2, 6])


def test_kmis_in_more_steps_and_both_directions():
    path = jnp.array([[0, 1, 2, 3], [1, 2, 3, 4]], jnp.int32)
    first = KMISPooling(scorer="constant", score_heuristic=None)
    np.testing.assert_array_equal(first(X, path).select.labels, [0, 0, 1, 1, 2])
    two = KMISPooling(None, 2, "constant", None, force_undirected=True)
    np.testing.assert_array_equal(two(X, path).select.labels, [0, 0, 0, 1, 1])
    forced = first(X, path, select=jnp.array([1, 5, 5]))
    np.testing.assert_array_equal(forced.select.labels, [5, 0, 0, 5, 5])


@eqx.filter_jit
def on_both_graphs(pool):
    """The pooled batch, the features brought back, and gradients, of what has padding."""

    def loss(given):
        pool, x, weights = given
        out = pool(x, EDGES, weights, BATCH)
        lifted = pool.lift(out.x, out.select)
        return jnp.sum(jnp.sin(lifted)) + jnp.sum(jnp.sin(out.edge_attr)), (out, lifted)

    return eqx.filter_grad(loss, has_aux=True)((pool, PADDED, WEIGHTS))


def assert_finite(gradients):
    _, x, weights = gradients
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradients))
    assert np.any(x[:5]) and not np.any(x[5:]) and not np.any(weights[5:])


def test_kmis_with_the_features_of_kept_nodes_and_other_edges():
    pool = KMISPooling(
        scorer="canonical",
        score_heuristic=None,
        sum_features=False,
        lift_by="inverse",
        keep_loops=True,
        edge_aggr="max",
        edge_norm="degree",
    )
    gradients, (out, lifted) = on_both_graphs(pool)
    np.testing.assert_array_equal(out.x[:3, 0], [0, -2 * 4, -3 * 5])
    np.testing.assert_array_equal(out.edge_index[:, :5], [[0, 0, 1, 2, 6], [0, 1, 0, 2, 6]])
    # The sums at the ends are 1 + 2, 2 and 3.
    between = 2 / (3 * 2) ** 0.5
    np.testing.assert_allclose(out.edge_attr[:4], [1 / 3, between, between, 1], rtol=1e-6)
    scores = -np.arange(5.0)
    back = scores * np.array([0, 0, -8 / 4, -15 / 25, -15 / 25])
    np.testing.assert_allclose(lifted[:, 0], [*back, 0], rtol=1e-6)
    assert_finite(gradients)
    # Without weights each edge has 1.
    _, weights, _ = eqx.filter_jit(pool.connect)(out.select, EDGES, None, BATCH)
    np.testing.assert_allclose(weights[:4], [1 / 2, 1 / 2**0.5, 1 / 2**0.5, 1], rtol=1e-6)


def test_graclus_pooling_by_hand():
    gradients, (out, lifted) = on_both_graphs(GraclusPooling("inverse", edge_norm="max"))
    np.testing.assert_array_equal(out.select.labels, [0, 1, 1, 2, 2, 6])
    np.testing.assert_array_equal(out.x[:, 0], [1, 6, 12, 0, 0, 0])
    np.testing.assert_array_equal(out.edge_index[:, :3], [[0, 1, 6], [1, 0, 6]])
    np.testing.assert_array_equal(out.edge_attr[:3], [1, 1, 0])
    np.testing.assert_array_equal(out.batch.index, [0, 0, 1, 2, 2, 2])
    np.testing.assert_array_equal(lifted[:, 0], [1, 3, 3, 6, 6, 0])
    assert_finite(gradients)
    forced = eqx.filter_jit(GraclusPooling().assign)
    forced = forced(PADDED, EDGES, batch=BATCH, choice=jnp.array([1, 6]))
    np.testing.assert_array_equal(forced.labels, [0, 0, 1, 2, 3, 6])


def test_edge_contraction_by_hand():
    # All scores are 1/2 + 3/2, and the first edge comes first.
    pool = EdgeContractionPooling(1, "sigmoid", add_to_edge_score=1.5, key=KEY)
    weight = jnp.zeros_like(pool.edges.lin.weight), jnp.zeros(1)
    where = lambda p: (p.edges.lin.weight, p.edges.lin.bias)  # noqa: E731
    gradients, (out, lifted) = on_both_graphs(eqx.tree_at(where, pool, weight))
    np.testing.assert_array_equal(out.select.labels, [0, 0, 1, 2, 2, 6])
    np.testing.assert_array_equal(out.x[:, 0], [2 * 3, 4, 2 * 12, 0, 0, 0])
    np.testing.assert_array_equal(out.edge_index[:, :3], [[0, 1, 6], [1, 0, 6]])
    np.testing.assert_array_equal(out.edge_attr[:3], [2, 2, 0])
    np.testing.assert_array_equal(lifted[:, 0], [12, 12, 4, 48, 48, 0])
    assert_finite(gradients)


def test_an_independent_set_is_that_of_the_loop():
    rng = np.random.default_rng(0)
    for hops in (1, 2):
        edges = rng.integers(0, 40, (2, 50))
        rank = rng.permutation(40)
        kept, reached = [], np.zeros(40, bool)
        matrix = np.eye(40, dtype=int)
        matrix[edges[0], edges[1]] = 1
        walks = np.linalg.matrix_power(matrix, hops) > 0
        for node in np.argsort(rank):
            if not reached[node]:
                kept.append(node)
                reached |= walks[node]
        found = independent_nodes(jnp.asarray(edges), jnp.asarray(rank), hops)
        np.testing.assert_array_equal(np.flatnonzero(found), np.sort(kept))


def test_random_scores_come_from_the_key():
    pool = KMISPooling(scorer="random")
    first = pool(PADDED, EDGES, WEIGHTS, BATCH, key=KEY).select.weight
    assert np.all((first[:5] > 0) & (first[:5] < 1)) and first[5] == 0
    with pytest.raises(ValueError, match="key must be given for scorer='random'"):
        pool(PADDED, EDGES, WEIGHTS, BATCH)


def test_lapool_by_hand():
    # A path 3 - 0 - 1 - 2, which 0 and 2 lead; a pair, which both lead; no node; and padding.
    x = jnp.array([[1.0, 0], [1, 1], [0, 2], [3, 0], [5, 5], [6, 5], [jnp.nan, 1]])
    ends = [0, 1, 0, 4, 7], [1, 2, 3, 5, 7]
    edges = jnp.array([[*ends[0], *ends[1]], [*ends[1], *ends[0]]], jnp.int32)
    weights = jnp.array([1, 2, 4, 3, jnp.nan] * 2)
    batch = BatchVector(jnp.array([0, 0, 0, 0, 1, 1, 3], jnp.int32), 3, 4)
    pool = LaPooling(shortest_path_reg=True, clusters=2)

    @eqx.filter_jit
    def program(x, weights, leaders):
        def loss(given):
            select = lambda own: jnp.where(leaders[0] < 0, own, leaders)  # noqa: E731
            out = pool(given[0], edges, given[1], batch, select=select)
            return jnp.sum(out.x**2) + jnp.sum(out.edge_attr**2), out

        score = pool.score(x, edges, batch, edge_attr=weights)
        return score, *eqx.filter_grad(loss, has_aux=True)((x, weights))

    score, gradients, out = program(x, weights, jnp.full(7, -1))
    np.testing.assert_allclose(score**2, [65, 5, 8, 64, 9, 9, 0], rtol=1e-6)
    like = np.e / (np.e + 1)  # 1 is as like 0 as 2, and 3 has the direction of 0.
    rows = np.array([[1, 0], [0.5, 0.5], [0, 1], [like, (1 - like) / 3], [1, 0], [0, 1], [0, 0]])
    np.testing.assert_allclose(out.select.matrix, rows, rtol=1e-6)
    np.testing.assert_array_equal(out.batch.index, [0, 0, 1, 1, 3, 3])
    np.testing.assert_array_equal(out.edge_index, [[0, 1, 2, 3, 6, 6], [1, 0, 3, 2, 6, 6]])
    np.testing.assert_allclose(out.edge_attr, [1, 1, 1, 1, 0, 0], rtol=1e-6)
    pooled = rows[:4].T @ x[:4]
    np.testing.assert_allclose(out.x, [*pooled, x[4], x[5], *np.zeros((2, 2))], rtol=1e-6)
    assert all(np.all(np.isfinite(leaf)) for leaf in gradients)
    assert not np.any(gradients[0][6]) and gradients[1][4] == 0
    # With leaders from elsewhere the second cluster of both graphs is padding.
    *_, out = program(x, weights, jnp.array([1, 7, 4, 7, 7, 7, 7]))
    rows = jnp.array([1, 1, 1, 1 / 2, 1, 1, 0])
    np.testing.assert_allclose(out.select.matrix, jnp.stack([rows, 0 * rows], axis=1))
    np.testing.assert_array_equal(out.batch.index, [0, 3, 1, 3, 3, 3])
    assert np.all(out.edge_index == 6)
    trimmed = out.trim()
    np.testing.assert_allclose(trimmed.x, out.x[jnp.array([0, 2])])
    both = eqx.filter_jit(lambda select, x, rows: (select.lift(x), select.reduce(rows)))
    lifted, reduced = both(trimmed.select, trimmed.x, x[:6])
    np.testing.assert_allclose(lifted, rows[:6, None] * trimmed.x[batch.index[:6]])
    np.testing.assert_allclose(reduced, trimmed.x, rtol=1e-6)
    assert trimmed.select.graphs(trimmed.select.batch).index.tolist() == [0, 1]
    with pytest.raises(RuntimeError, match="a graph has more leaders than clusters=2 has room for"):
        program(x, weights, jnp.array([0, 1, 2, 4, 7, 7, 7]))


def maxcut(**options):
    """Scores are the features; with one convolution P times them."""
    options = {"mp_units": (), "mlp_units": (), "mp_act": "identity", "act": "identity"} | options
    pool = MaxCutPooling(1, **options, key=KEY)
    arrays, rest = eqx.partition(pool, eqx.is_array)
    fixed = jax.tree.map(lambda leaf: jnp.full_like(leaf, leaf.ndim - 1), arrays)
    return eqx.combine(fixed, rest)


def test_max_cut_scores_by_hand():
    # P is -1/2 on the diagonal and 3/2 of what the roots of the degrees 1, 3, 2 and 3, 3 leave.
    edges = jnp.array([[0, 1, 1, 2, 3, 4, 2], [1, 0, 2, 1, 4, 3, 2]], jnp.int32)
    weights = jnp.array([1.0, 1, 2, 2, 3, 3, 9])
    pool = maxcut(mp_units=(1,), delta=1.5)
    score = eqx.filter_jit(pool.score)(PADDED, edges, BATCH, edge_attr=weights[:, None])
    near = np.array([2 / 3**0.5, 1 / 3**0.5 + 2 * 4 / 6**0.5, 2 * 2 / 6**0.5, 7, 5])
    np.testing.assert_allclose(score[:5], -0.5 * X[:, 0] + 1.5 * near, rtol=1e-6)
    assert score[5] == 0


def test_max_cut_by_hand():
    # A path of five nodes, of which each second is kept, one apart; and one in a graph of its own.
    x = jnp.array([[5.0], [1.0], [4.0], [-3.0], [6.0], [2.0], [7.0], [jnp.nan]])
    ends = [0, 1, 2, 3], [1, 2, 3, 4]
    edges = jnp.array([[*ends[0], *ends[1], 8], [*ends[1], *ends[0], 8]], jnp.int32)
    weights = jnp.array([1, 2, 4, 8, 1, 2, 4, 8, jnp.nan])
    batch = BatchVector(jnp.array([0, 0, 0, 0, 0, 0, 1, 2], jnp.int32), 2)

    @eqx.filter_jit
    def program(pool, x, weights, lifted):
        def loss(given):
            out = given[0](given[1], edges, given[2], batch)
            return jnp.sum(out.x**2) + sum(out.loss.values()) + jnp.sum(out.edge_attr), out

        found = eqx.filter_grad(loss, has_aux=True)((pool, x, weights))
        return *found, pool.lift(lifted, found[1].select)

    pool = maxcut(ratio=3, assign_all_nodes=False)
    gradients, out, lifted = program(pool, x, weights, jnp.arange(1.0, 7)[:, None])
    # Ties go to the first cluster; who is apart joins the best.
    np.testing.assert_array_equal(out.select.labels, [0, 0, 1, 1, 2, 2, 3, 6])
    np.testing.assert_array_equal(out.x[:, 0], [25, 16, 36, 49, 0, 0])
    np.testing.assert_array_equal(out.batch.index, [0, 0, 0, 1, 2, 2])
    np.testing.assert_array_equal(out.edge_index[:, :5], [[0, 1, 1, 2, 6], [1, 0, 2, 1, 6]])
    np.testing.assert_array_equal(out.edge_attr[:5], [0.25, 0.25, 1, 1, 0])
    cut = (1 * 5 * 1 + 2 * 1 * 4 - 4 * 4 * 3 - 8 * 3 * 6) / 15
    np.testing.assert_allclose(out.loss["maxcut_loss"], (cut + 0) / 2, rtol=1e-6)
    np.testing.assert_array_equal(lifted[:, 0], [5, 0, 2 * 4, 0, 3 * 6, 0, 4 * 7, 0])
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradients))
    assert not np.any(gradients[1][7]) and gradients[2][8] == 0
    # With all nodes:
    every = out.select.own.reduce(x)
    np.testing.assert_array_equal(every[:4, 0], [25 + 1, 16 + 9, 36 + 4, 49])


def test_no_pool_changes_nothing():
    out = NoPool()(PADDED, EDGES, WEIGHTS, BATCH)
    np.testing.assert_array_equal(out.x[:, 0], [1, 2, 4, 5, 7, 0])
    np.testing.assert_array_equal(out.edge_index, EDGES)
    np.testing.assert_array_equal(out.edge_attr, [1, 1, 2, 2, 3, 0])
    np.testing.assert_array_equal(out.batch.index, BATCH.index)
    np.testing.assert_array_equal(out.perm, [0, 1, 2, 3, 4, 6])
    np.testing.assert_array_equal(out.lift(out.x), out.x)
    np.testing.assert_array_equal(out.trim().x, X)


POOLINGS = {
    "hosc": lambda k: HOSCPooling([1, 4], k, "tanh", hosc_ortho=True, key=KEY),
    "acc": lambda k: AsymCheegerCutPooling(1, k, key=KEY),
    "bnpool": lambda k: BNPool(1, k, inference=True, key=KEY),
    "kmis": lambda k: KMISPooling(1, key=KEY),
}


@pytest.mark.parametrize("name, clusters", [("hosc", 1), ("acc", 2), ("bnpool", 2), ("kmis", 0)])
def test_padding_and_graphs_without_edges_or_nodes_change_nothing(name, clusters):
    # Two nodes with loops; two nodes without edges; no node; and padding.
    edges = jnp.array([[0, 1, 6], [0, 1, 6]], jnp.int32)
    batch = BatchVector(jnp.array([0, 0, 1, 1, 3, 3], jnp.int32), 3)
    x = jnp.concatenate([X[:4], jnp.full((2, 1), jnp.nan)])

    @eqx.filter_jit
    def program(pool, x, edges, weights, batch):
        def loss(given):
            pool, x, weights = given
            out = pool(x, edges, weights, batch)
            total = jnp.sum(jnp.tanh(out.x)) + jnp.sum(out.edge_attr) + sum(out.loss.values())
            return total + jnp.sum(pool.lift(out.x, out.select)), out

        return eqx.filter_value_and_grad(loss, has_aux=True)((pool, x, weights))

    pool = POOLINGS[name](clusters)
    (value, out), (gradient, *gradients) = program(
        pool, x, edges, jnp.array([1, 1, jnp.nan]), batch
    )
    finite = (value, out.x, out.loss, gradient, gradients)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(finite))
    assert not np.any(gradients[0][4:]) and gradients[1][2] == 0
    if name in ("acc", "kmis"):
        nothing = pool(x[:0], edges[:, :0], jnp.zeros(0), BatchVector(batch.index[:0], 1))
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((nothing.x, nothing.loss)))


TRACED = {
    "ec": lambda: EdgeContractionPooling(1, edge_norm="max", key=KEY),
    "graclus": lambda: GraclusPooling(edge_norm="degree"),
    "kmis": lambda: KMISPooling(1, sum_features=False, lift_by="inverse", key=KEY),
    "lap": lambda: LaPooling(shortest_path_reg=True),
    "maxcut": lambda: MaxCutPooling(1, mp_units=(2,), mlp_units=(), key=KEY),
    "maxcut kept": lambda: MaxCutPooling(1, 2, assign_all_nodes=False, mp_units=(2,), key=KEY),
}


@pytest.mark.full
@pytest.mark.parametrize("name", TRACED)
def test_poolings_are_traced_once_give_the_same_at_once_and_take_no_nodes(name):
    pool, traces = TRACED[name](), []

    @eqx.filter_jit
    def program(pool, *given):
        traces.append(name)
        out = pool(*given)
        return out, pool.lift(out.x, out.select)

    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        found, lifted = program(pool, PADDED, EDGES, WEIGHTS, BATCH)
        program(pool, -PADDED, EDGES, 2 * WEIGHTS, BATCH)
        plain = pool(PADDED, EDGES, WEIGHTS, BATCH)
        again = pool.lift(plain.x, plain.select)
        nothing = pool(X[:0], EDGES[:, :0], jnp.zeros(0), BatchVector(jnp.zeros(0, jnp.int32), 1))
    assert len(traces) == 1
    pairs = zip(jax.tree.leaves((found, lifted)), jax.tree.leaves((plain, again)), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one, other, rtol=1e-6)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((nothing.x, nothing.loss)))


def test_a_single_cluster_is_balanced():
    one = jnp.where(BATCH.node_mask, 1.0, 0.0)[:, None]
    loss = losses(AsymCheegerCutPooling(1, 1, key=KEY), one)
    assert loss["total_variation_loss"] == loss["balance_loss"] == 0
    np.testing.assert_allclose(losses(JustBalancePooling(1, 1, key=KEY), one)["balance_loss"], -1)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: JustBalancePooling(1, 0, key=KEY), "clusters must be at least 1, got 0"),
        (lambda: JustBalancePooling([], 2, key=KEY), "in_features must hold at least one number"),
        (lambda: HOSCPooling(1, 2, alpha=2, key=KEY), r"alpha must be in \[0, 1\], got 2"),
        (lambda: BNPool(1, 1, key=KEY), "clusters must be at least 2, got 1"),
        (lambda: BNPool(1, 2, eta=0, key=KEY), "eta must be positive, got 0"),
        (lambda: KMISPooling(scorer="first"), "scorer must be one of 'linear'"),
        (lambda: KMISPooling(), "in_features and key must be given for scorer='linear'"),
        (lambda: KMISPooling(1, 0, key=KEY), "order_k must be at least 1, got 0"),
        (lambda: KMISPooling(1, score_heuristic="best", key=KEY), "score_heuristic must be one of"),
        (
            lambda: KMISPooling(scorer=lambda x, *_: x)(X, EDGES[:, :5]),
            r"scorer must return a number of float32 for each of the 5 nodes",
        ),
        (
            lambda: KMISPooling(1, lift_by="sum", key=KEY),
            "lift_by must be 'transpose' or 'inverse'",
        ),
        (lambda: GraclusPooling(edge_aggr="mul"), "edge_aggr must be one of 'add', 'sum', 'mean'"),
        (lambda: GraclusPooling(edge_norm="sum"), "edge_norm must be one of None, 'degree', 'max'"),
        (lambda: LaPooling(clusters=0), "clusters must be at least 1, got 0"),
        (lambda: LaPooling()(X, EDGES[:, :5], max_nodes=4), "max_nodes must be at least 5, the cl"),
        (lambda: maxcut(max_iter=0), "max_iter must be at least 1, got 0"),
        (lambda: maxcut(ratio=1.5), "ratio from 1 on is the number of nodes"),
        (lambda: maxcut(mp_units=(4, 0)), "all of mp_units must be at least 1, got 0"),
        (lambda: maxcut(act="softmax"), "act 'softmax' mixes all nodes"),
        (lambda: NoPool()(X, EDGES, select=jnp.arange(2)), "NoPool keeps all nodes"),
        (lambda: NoPool()(X, EDGES, max_nodes=4), "max_nodes must be at least 5"),
        (lambda: get_pooler("kmis_u"), "name must be one of 'acc'"),
        (lambda: get_pooler("topk", k=2, key=KEY), "TopKPooling has no option 'k'; it has in_feat"),
        (lambda: get_pooler("mincut", clusters=2), "MinCutPooling needs in_features, key as well"),
    ],
)
def test_bad_options_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_poolings_by_their_short_names():
    pool = get_pooler("jb", in_features=3, clusters=2, normalize_loss=False, key=KEY)
    assert isinstance(pool, JustBalancePooling) and not pool.normalize_loss
    assert isinstance(get_pooler("lap_u", clusters=3), LaPooling)
    assert isinstance(get_pooler("edge", in_features=3, key=KEY), EdgePooling)
    assert isinstance(get_pooler("topk", in_features=3, ratio=2, key=KEY), TopKPooling)


UNITS = {"mp_units": (4,), "mlp_units": (4,), "key": KEY}
ACTS = {"mp_act": "relu", "mlp_act": "tanh", "act": "sigmoid"}
KEPT = {"sum_features": False, "lift_by": "inverse", "keep_loops": True, "key": KEY}
KEPT |= {"edge_aggr": "max", "edge_norm": "degree"}
THEIRS = dict(np.load(pathlib.Path(__file__).parent / "tgp.npz"))
OURS = {
    "jb": lambda: JustBalancePooling(3, 3, key=KEY),
    "jb plain": lambda: JustBalancePooling(3, 3, normalize_loss=False, key=KEY),
    "hosc": lambda: HOSCPooling(3, 3, mu=0.3, alpha=0.25, key=KEY),
    "hosc ortho": lambda: HOSCPooling(3, 3, hosc_ortho=True, alpha=1.0, key=KEY),
    "acc": lambda: AsymCheegerCutPooling(3, 3, key=KEY),
    "bnpool": lambda: BNPool(3, 3, alpha_dp=2.0, eta=0.5, k_mu=3.0, inference=True, key=KEY),
    "mincut": lambda: MinCutPooling(3, 3, "linear", key=KEY),
    "dmon": lambda: DMoNPooling(3, 3, key=KEY),
    "diff": lambda: DiffPooling(3, 3, "linear", normalize=False, key=KEY),
    "kmis": lambda: KMISPooling(3, key=KEY),
    "kmis w-greedy": lambda: KMISPooling(3, 2, score_heuristic="w-greedy", key=KEY),
    "kmis degree": lambda: KMISPooling(3, scorer="degree"),
    "kmis constant": lambda: KMISPooling(3, scorer="constant"),
    "kmis canonical": lambda: KMISPooling(3, scorer="canonical", score_heuristic=None),
    "kmis kept": lambda: KMISPooling(3, **KEPT),
    "ec": lambda: EdgeContractionPooling(3, key=KEY),
    "graclus": lambda: GraclusPooling("inverse", edge_aggr="mean", edge_norm="max"),
    "lap": lambda: LaPooling(),
    "lap paths": lambda: LaPooling(shortest_path_reg=True, clusters=2),
    "maxcut": lambda: MaxCutPooling(3, 2, max_iter=1, delta=1.5, **ACTS, **UNITS),
    "maxcut kept": lambda: MaxCutPooling(3, assign_all_nodes=False, **UNITS),
}


def theirs(name, kind):
    """What was recorded of that kind, by name."""
    start = f"{name}/{kind}/"
    return {key.removeprefix(start): THEIRS[key] for key in THEIRS if key.startswith(start)}


LINEAR = ("weight", "bias")


def parameters(pool):
    """By torch-geometric-pool's names."""
    if isinstance(pool, LaPooling | GraclusPooling):
        return {}
    if isinstance(pool, MaxCutPooling):
        *lins, last = pool.mlp.lins
        parts = {"initial_layer": pool.lin, "final_layer": last}
        parts |= {f"mlp.{i}": lin for i, lin in enumerate(lins)}
        found = {f"mp_convs.{i}.bias": conv.bias for i, conv in enumerate(pool.convs)}
        found |= {f"mp_convs.{i}.lin.weight": conv.lin.weight for i, conv in enumerate(pool.convs)}
        found |= {f"{at}.{name}": getattr(parts[at], name) for at in parts for name in LINEAR}
        return {f"selector.score_net.{name}": value for name, value in found.items()}
    if isinstance(pool, KMISPooling):
        at, lin = "lin", pool.lin
    elif isinstance(pool, EdgeContractionPooling):
        at, lin = "lin", pool.edges.lin
    else:
        of_pyg = isinstance(pool, MinCutPooling | DiffPooling)
        at, lin = "mlp.lins.0", pool.gnn if of_pyg else pool.mlp.lins[0]
    found = {} if lin is None else {f"selector.{at}.{name}": getattr(lin, name) for name in LINEAR}
    return found | ({"K": pool.K} if isinstance(pool, BNPool) else {})


def loaded(name):
    """Ours, with the recorded parameters."""
    pool, state = OURS[name](), theirs(name, "state")
    assert parameters(pool).keys() == state.keys()
    values = [jnp.asarray(state[key]) for key in parameters(pool)]
    if not values:
        return pool
    return eqx.tree_at(lambda pool: list(parameters(pool).values()), pool, values)


# Each option once; all with `-m full`.
FULL = (
    "kmis kept",
    "graclus",
    "mincut",
    "dmon",
    "diff",
    "jb plain",
    "hosc ortho",
    "kmis constant",
    "kmis canonical",
    "lap",
    "maxcut kept",
)
NAMES = [pytest.param(name, marks=pytest.mark.full) if name in FULL else name for name in OURS]


@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients_are_those_of_torch_geometric_pool(name):
    with jax.enable_x64(True):
        pool = loaded(name)
        x, edges, weight, index = (
            jnp.asarray(THEIRS[f"input/{key}"]) for key in ("x", "edge_index", "weight", "batch")
        )
        if name == "bnpool":
            weight = jnp.ones_like(weight)

        @eqx.filter_jit
        def program(given):
            def loss(given):
                pool, x, weight = given
                out = pool(x, edges, weight, BatchVector(index, 3))
                if name == "dmon":  # There features are pooled without PyG's SELU.
                    out = eqx.tree_at(lambda out: out.x, out, out.select.reduce(x))
                total = jnp.sum(jnp.sin(out.x)) + sum(out.loss.values())
                if not name.startswith("hosc"):
                    total = total + jnp.sum(jnp.sin(out.edge_attr))
                lifted = pool.lift(out.x, out.select) if "lift" in expected else None
                return total, (out, lifted)

            return eqx.filter_grad(loss, has_aux=True)(given)

        expected = theirs(name, "out")
        (pool_gradient, *gradients), (out, lifted) = program((pool, x, weight))
        out = out.trim()
        if name.startswith(("kmis", "ec", "graclus")):
            np.testing.assert_array_equal(out.select.labels, expected["cluster"])
            np.testing.assert_array_equal(out.edge_index, expected["edge_index"])
            np.testing.assert_array_equal(out.batch.index, expected["batch"])
        elif name.startswith("maxcut"):
            whole = name == "maxcut"
            pairs = out.select if whole else out.select.own
            np.testing.assert_array_equal(out.edge_index, expected["edge_index"])
            if whole:
                np.testing.assert_array_equal(pairs.labels, expected["cluster"])
            else:  # There rows come by score, and edges are numbered by node.
                assert not np.all(np.diff(expected["cluster"]) > 0)
                expected["x"] = expected["x"][expected["cluster"]]
            np.testing.assert_allclose(pairs.weight, expected["score"], rtol=1e-6)
        elif name.startswith("lap"):
            used = expected["used"]
            both = used[:, :, None] & used[:, None] & ~np.eye(2, dtype=bool)
            expected |= {"x": expected["x"][used], "weight": expected["weight"][both]}
            matrix = np.zeros((11, out.select.matrix.shape[1]))
            matrix[:, :2] = expected["matrix"]
            np.testing.assert_allclose(out.select.matrix, matrix, rtol=1e-6)
            np.testing.assert_array_equal(out.batch.index, np.nonzero(used)[0])
        else:
            apart = ~np.eye(3, dtype=bool) | (name == "diff")
            expected["weight"] = expected["weight"][:, apart].ravel()
            expected["x"] = expected["x"].reshape(9, 3)
        # Below roots and quotients 1e-8 is added there, and degrees are float32.
        close = {"rtol": 1e-6, "atol": 1e-6 if name == "kmis degree" else 1e-7}
        np.testing.assert_allclose(out.x, expected["x"], **close)
        np.testing.assert_allclose(out.edge_attr, expected["weight"], **close)
        if lifted is not None:
            np.testing.assert_allclose(lifted, expected["lift"], **close)
        for key, value in theirs(name, "loss").items():
            key = "mincut_loss" if key == "cut_loss" else key
            np.testing.assert_allclose(out.loss[key], value, **close, err_msg=key)
        found = {"x": gradients[0], "weight": gradients[1], **parameters(pool_gradient)}
        if name.startswith("hosc"):  # There rows are targets. The edges back are the second half.
            found["weight"] = jnp.roll(found["weight"], len(weight) // 2)
        wanted = theirs(name, "grad")
        # There one of several largest weights has their gradient, and rows may be targets.
        if name.startswith(("maxcut", "graclus", "mincut", "dmon")):
            for one in (found, wanted):
                one["weight"] = one["weight"] + jnp.roll(one["weight"], len(weight) // 2)
        for key, value in wanted.items():
            np.testing.assert_allclose(found[key], value, **close, err_msg=key)


ON_THE_HOST = ("eigen", "ndp", "nmf", "sep")  # compared in `test_host_poolings.py`


KEEPS = {
    "topk": lambda: TopKPooling(3, key=KEY),
    "sag": lambda: SAGPooling(3, gnn="graph", key=KEY),
    "asap": lambda: ASAPooling(3, key=KEY),
}
PLACES = {"selector": "select", "select_scorer": "gnn_score"}


@pytest.mark.full
@pytest.mark.parametrize("name", KEEPS)
def test_kept_features_are_those_of_torch_geometric_pool_and_its_edges_join_others(name):
    state, expected = theirs(f"keep {name}", "state"), theirs(f"keep {name}", "out")
    places = {key: key.split(".") for key in state}

    def of_theirs(pool):
        for first, *rest in places.values():
            yield functools.reduce(getattr, rest, getattr(pool, PLACES.get(first, first)))

    with jax.enable_x64(True):
        x, edges, index = (THEIRS[f"input/{key}"] for key in ("x", "edge_index", "batch"))
        x, edges, index = map(jnp.asarray, (x, edges, index))
        values = [jnp.asarray(value) for value in state.values()]
        pool = eqx.tree_at(lambda pool: list(of_theirs(pool)), KEEPS[name](), values)

        @eqx.filter_jit
        def program(given):
            def loss(given):
                out = given[0](given[1], edges, batch=BatchVector(index, 3))
                return jnp.sum(jnp.sin(out.x)), out

            return eqx.filter_grad(loss, has_aux=True)(given)

        gradients, out = program((pool, x))
        found = dict(zip(places, of_theirs(gradients[0]), strict=True)) | {"x": gradients[1]}
        out = out.trim()
    np.testing.assert_array_equal(out.perm, expected["perm"])
    close = {"rtol": 1e-6, "atol": 1e-9}
    np.testing.assert_allclose(out.x, expected["x"], **close)
    for key, value in theirs(f"keep {name}", "grad").items():
        np.testing.assert_allclose(found[key], value, **close, err_msg=key)
    if name != "asap":  # There edges are numbered by node.
        ours = {tuple(pair) for pair in np.asarray(out.perm)[out.edge_index].T}
        by_node, by_row = np.sort(expected["perm"]), expected["perm"]
        assert ours == {tuple(pair) for pair in by_node[expected["edge_index"]].T}
        assert ours != {tuple(pair) for pair in by_row[expected["edge_index"]].T}


def test_the_page_has_all_aliases_of_torch_geometric_pool():
    page = pathlib.Path(__file__).parents[3] / "docs/from-pyg.md"
    table = page.read_text().partition("### By alias")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", table, re.MULTILINE)
    assert [alias for alias, *_ in rows] == THEIRS["aliases"].tolist()
    for alias, here, how in rows:
        refused, made = how.startswith("refused: "), re.match(r"\[`(\w+)`\]", here)
        assert refused == (made is None)
        message = "name must be one of" if made is None else f"{made[1]} has no option 'nothing'"
        with pytest.raises(ValueError, match=message):
            get_pooler(alias, nothing=True)
        compared = alias in (*OURS, *ON_THE_HOST) and f"{alias}/out/x" in THEIRS
        assert how.startswith("as recorded") == compared
        assert how.startswith("features as recorded") == (alias in KEEPS)


def test_hosc_counts_edges_where_torch_geometric_pool_does_not():
    """With its defaults the share of the edges is 0 there: its loss is that of the motifs."""
    loss, default = THEIRS["hosc/loss/hosc_loss"], THEIRS["hosc/default/loss"]
    assert loss < default - 0.01


def test_torch_geometric_pool_forgets_the_last_nodes_without_edges():
    with jax.enable_x64(True):
        pool = loaded("maxcut")
        x, weight = (jnp.asarray(THEIRS[f"input/{name}"]) for name in ("x", "weight"))
        edges = jnp.asarray(THEIRS["input/edge_index"])
        near = np.asarray(edges[0]) < 9
        score = eqx.filter_jit(pool.score)(x[:9], edges[:, near], edge_attr=weight[near])
        apart = np.abs(np.asarray(score) - THEIRS["maxcut/apart/score"])
    assert np.all(apart[:8] < 1e-9) and apart[8] > 1e-4


def test_edges_join_the_rows_of_their_nodes_unlike_in_torch_geometric_pool():
    x, edges = jnp.arange(4.0)[:, None] + 0.1, jnp.array([[3, 3], [1, 2]], jnp.int32)
    out = TopKPooling(1, 3, key=KEY)
    out = eqx.tree_at(lambda pool: pool.select.weight, out, jnp.ones((1, 1)))(x, edges)
    assert out.perm[out.edge_index].tolist() == edges.tolist()
    rows, theirs_edges = THEIRS["topk/rows"], THEIRS["topk/edges"]
    np.testing.assert_array_equal(rows, out.perm)
    np.testing.assert_allclose(THEIRS["topk/x"], out.x, rtol=1e-6)
    assert rows[theirs_edges].tolist() == [[1, 1], [3, 2]]


@pytest.mark.parametrize("name", ["act", "mp_act", "mlp_act"])
def test_an_unknown_activation_is_named_by_its_argument(name):
    with pytest.raises(ValueError, match=f"^{name} must be a callable or one of .* got 'sing'"):
        MaxCutPooling(3, **{name: "sing"}, key=KEY)
