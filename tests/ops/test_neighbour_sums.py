import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jraphx_eqx.data import EdgeIndex
from jraphx_eqx.ops import (
    edge_mask,
    filter_edges,
    filter_neighbours,
    gather,
    masked_edges,
    neighbour_mean,
    neighbour_sum,
    remove_self_loops,
    segment_mean,
    segment_sum,
    without_self_loops,
)

NUM_NODES = 12


@pytest.fixture
def edges():
    rng = np.random.default_rng(0)
    index = rng.integers(0, NUM_NODES - 2, (2, 40)).astype(np.int32)
    index[1, :9] = 3  # more than there are columns
    index[:, 30:33] = NUM_NODES
    return EdgeIndex.of(index, NUM_NODES, columns=4)


@pytest.fixture
def x():
    return jax.random.normal(jax.random.key(0), (NUM_NODES, 3))


def by_segment(x, edges, reduce=segment_sum):
    source, target = edges.index
    return reduce(gather(x, source), target, NUM_NODES)


def test_worked_by_hand():
    edges = EdgeIndex.of(np.array([[0, 2, 2], [1, 1, 0]]), 3, columns=1)
    x = jnp.array([1.0, 10.0, 100.0])
    assert neighbour_sum(x, edges.neighbours).tolist() == [100, 101, 0]
    assert neighbour_mean(x, edges.neighbours).tolist() == [100, 50.5, 0]


def test_sums_are_added_in_the_order_of_the_edges(x, edges, adds_in_order):
    assert edges.neighbours.late_sources.shape[1] > 4
    got = jax.jit(neighbour_sum)(x, edges.neighbours)
    np.testing.assert_array_equal(got, by_segment(x, edges))


def test_means(x, edges):
    got = neighbour_mean(x, edges.neighbours)
    np.testing.assert_allclose(got, by_segment(x, edges, segment_mean), rtol=1e-6)


def test_gradients_forwards_and_backwards(x, edges):
    def loss(x):
        return jnp.sum(neighbour_sum(x, edges.neighbours) ** 2)

    want = jax.grad(lambda x: jnp.sum(by_segment(x, edges) ** 2))(x)
    np.testing.assert_allclose(jax.grad(loss)(x), want, rtol=1e-5)
    np.testing.assert_allclose(jax.jacfwd(loss)(x), want, rtol=1e-5)
    check_grads(jax.jit(loss), (x,), 2, rtol=0.05)


def test_the_gradient_scatters_late_edges_alone(x, edges):
    """Which is the point."""
    neighbours = edges.neighbours
    gradient = jax.grad(lambda x: jnp.sum(neighbour_sum(x, neighbours) ** 2))
    text = jax.jit(gradient).lower(x).compile().as_text()
    late = neighbours.late_sources.shape[1], neighbours.late_targets.shape[1]
    assert text.count(" scatter(") + text.count(" while(") <= len(late)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_is_added_in_float32(dtype):
    edges = EdgeIndex.of(np.array([range(300), [0] * 300]), 300, columns=7)
    got = neighbour_sum(jnp.full((300, 1), 1.001, dtype), edges.neighbours)
    assert got.dtype == dtype
    assert got[0, 0] == jnp.asarray(300 * float(dtype(1.001)), dtype)


def test_vmap(x, edges):
    stacked = jnp.stack([x, 2 * x])
    got = jax.vmap(neighbour_sum, (0, None))(stacked, edges.neighbours)
    np.testing.assert_allclose(got[1], 2 * neighbour_sum(x, edges.neighbours), rtol=1e-6)


@pytest.mark.parametrize("kept", [[7, 3, 0, NUM_NODES, 5], [3], list(range(NUM_NODES))[::-1]])
def test_lists_of_kept_nodes(x, edges, kept):
    kept = jnp.array(kept)
    rows = gather(x, kept)

    @jax.jit
    def by_lists(rows):
        neighbours = filter_neighbours(edges.neighbours, kept, NUM_NODES)
        total, back = jax.vjp(lambda rows: neighbour_sum(rows, neighbours), rows)
        return total, back(rows)[0]

    @jax.jit
    def by_edges(rows):
        index, _ = filter_edges(edges.index, None, kept, NUM_NODES)

        def add(rows):
            return segment_sum(gather(rows, index[0]), index[1], len(kept))

        total, back = jax.vjp(add, rows)
        return total, back(rows)[0]

    for got, want in zip(by_lists(rows), by_edges(rows), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_self_loops(x, edges):
    mask = edge_mask(edges.index, NUM_NODES)
    index, _ = masked_edges(edges.index, None, mask, NUM_NODES)
    assert jnp.any((index[0] == index[1]) & mask)
    index, _ = remove_self_loops(index, None, NUM_NODES)
    got = neighbour_sum(x, without_self_loops(edges.neighbours))
    np.testing.assert_allclose(got, by_segment(x, EdgeIndex(index, edges.neighbours)), rtol=1e-6)
