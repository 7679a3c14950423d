"""Positions beside brute force in NumPy: pyg-lib, which PyG needs for them, is not installed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.pool import (
    fps,
    knn,
    knn_graph,
    knn_interpolate,
    nearest,
    radius,
    radius_graph,
)

pytestmark = pytest.mark.usefixtures("quick_compile")

GRAPHS, POINTS, CENTRES = 3, 40, 24


def cloud(rng, number, room, bound):
    """Positions in any order, and padding at the end, which is NaN."""
    index = np.full(room, GRAPHS)
    index[:number] = rng.integers(0, GRAPHS, number)
    pos = rng.normal(size=(room, 2)).astype(np.float32)
    pos[number:] = np.nan
    return pos, BatchVector(jnp.asarray(index, jnp.int32), GRAPHS, bound)


def clouds(seed, bound):
    rng = np.random.default_rng([seed, 3])
    return *cloud(rng, 33, POINTS, bound), *cloud(rng, 21, CENTRES, bound)


def ranked(x, batch_x, y, graph):
    """The points of a graph, the nearest first, and their squared distances."""
    rows = np.flatnonzero(np.asarray(batch_x.index) == graph)
    distance = np.sum((x[rows] - y) ** 2, axis=1)
    order = np.argsort(distance, kind="stable")
    return rows[order], distance[order]


def pairs(found, centres):
    found = np.asarray(found)
    real = found[0] < centres
    assert np.all(found[1, ~real] >= found[1, real].max(initial=-1))
    return found[:, real].T.tolist()


@pytest.mark.parametrize("bound", [None, 33])
def test_knn_radius_and_nearest_by_brute_force(bound):
    x, batch_x, y, batch_y = clouds(0, bound)
    near, close, one = [], [], np.full(CENTRES, POINTS)
    for centre in range(21):
        rows, distance = ranked(x, batch_x, y[centre], int(batch_y.index[centre]))
        near += [[centre, row] for row in rows[:4]]
        close += [[centre, row] for row in rows[distance < 0.8**2][:5]]
        one[centre] = rows[0]
    assert pairs(knn(x, y, 4, batch_x, batch_y), CENTRES) == near
    assert pairs(radius(x, y, 0.8, batch_x, batch_y, 5), CENTRES) == close
    np.testing.assert_array_equal(nearest(y, x, batch_y, batch_x), one)


def test_graphs_join_nodes_to_others_in_both_flows():
    x, batch, *_ = clouds(1, 33)
    near, close = [], []
    for node in range(33):
        rows, distance = ranked(x, batch, x[node], int(batch.index[node]))
        near += [[row, node] for row in rows[1:4]]
        close += [[row, node] for row in rows[distance < 0.5**2][:4]]
    edges = knn_graph(x, 3, batch)
    assert edges.shape == (2, 3 * POINTS) and pairs(edges, POINTS) == near
    np.testing.assert_array_equal(knn_graph(x, 3, batch, flow="target_to_source"), edges[::-1])
    assert pairs(radius_graph(x, 0.5, batch, loop=True, max_num_neighbors=4), POINTS) == close


def test_cosine_compares_directions():
    x = jnp.array([[1.0, 0.0], [0.0, 5.0], [9.0, 9.0]])
    found = knn(x, jnp.array([[2.0, 1.9]]), 2, cosine=True)
    np.testing.assert_array_equal(found, [[0, 0], [2, 0]])


def test_fewer_points_than_neighbours_leave_padding():
    x, batch = jnp.array([[0.0], [1.0]]), jnp.array([0, 1])
    np.testing.assert_array_equal(
        knn(x, x, 3, batch, batch), [[0, 2, 2, 1, 2, 2], [0, 2, 2, 1, 2, 2]]
    )
    np.testing.assert_array_equal(knn(x[:0], x, 1), [[2, 2], [0, 0]])
    # Nodes at one place are neighbours, and a node is none of itself.
    np.testing.assert_array_equal(knn_graph(jnp.zeros((2, 1)), 1), [[1, 0], [0, 1]])


def farthest(pos, number, first=0):
    chosen = [first]
    for _ in range(number - 1):
        distance = np.min(np.sum((pos[:, None] - pos[chosen]) ** 2, axis=2), axis=1)
        chosen.append(int(np.argmax(distance)))
    return chosen


@pytest.mark.parametrize("bound", [None, 33])
def test_fps_by_brute_force(bound):
    x, batch, *_ = clouds(2, bound)
    expected = []
    for graph in range(GRAPHS):
        rows = np.flatnonzero(np.asarray(batch.index) == graph)
        expected += rows[farthest(x[rows], int(np.ceil(0.4 * len(rows))))].tolist()
    found = np.asarray(fps(x, batch, 0.4))
    assert found.tolist() == expected + [POINTS] * (len(found) - len(expected))
    whole = np.asarray(fps(x, batch, 1.0))
    assert sorted(whole[whole < POINTS]) == list(range(33))


def test_fps_by_hand_and_from_a_random_first_point():
    x = jnp.array([[0.0], [1.0], [2.0], [10.0]])
    np.testing.assert_array_equal(fps(x, ratio=0.75), [0, 3, 2])
    firsts = {int(fps(x, ratio=0.25, key=jax.random.key(seed))[0]) for seed in range(12)}
    assert len(firsts) > 1


def test_interpolation_by_hand():
    # The example of PyG's own test.
    x = jnp.array([[1.0], [10.0], [100.0], [-1.0], [-10.0], [-100.0]])
    at = jnp.array([[-1.0, 0], [0, 0], [1, 0], [-2, 0], [0, 0], [2, 0]])
    to = jnp.array([[-1.0, -1], [1, 1], [-2, -2], [2, 2]])
    batches = jnp.array([0, 0, 0, 1, 1, 1]), jnp.array([0, 0, 1, 1])
    found = knn_interpolate(x, at, to, *batches, k=2)
    np.testing.assert_allclose(found[:, 0], [4, 70, -4, -70], rtol=1e-5)


def test_interpolation_has_gradients_of_features_and_none_of_positions_or_padding():
    x, batch_x, y, batch_y = clouds(4, 33)
    features = jnp.where(batch_x.node_mask[:, None], jnp.ones((POINTS, 2)), jnp.nan)

    @jax.jit
    def gradients(features, x, y):
        def loss(*given):
            return jnp.sum(knn_interpolate(*given, batch_x, batch_y))

        return jax.grad(loss, argnums=(0, 1, 2))(features, x, y)

    found, *positions = gradients(features, x, y)
    np.testing.assert_allclose(jnp.sum(found), 2 * 21, rtol=1e-5)
    assert not np.any(found[33:]) and not any(map(np.any, positions))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x: knn(x, x[:, :1], 2), "positions must have shapes"),
        (lambda x: knn(x, x, 0), "k must be at least 1, got 0"),
        (lambda x: radius(x, x, 1.0, max_num_neighbors=0), "max_num_neighbors must be at least 1"),
        (lambda x: knn_graph(x, 1, flow="up"), "flow must be 'source_to_target'"),
        (lambda x: fps(x, ratio=1.5), r"ratio must be a fraction in \(0, 1\], got 1.5"),
        (lambda x: knn_interpolate(x[:1], x, x), "x must have one row for each of the 2 rows of"),
    ],
)
def test_bad_inputs_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.zeros((2, 2)))
