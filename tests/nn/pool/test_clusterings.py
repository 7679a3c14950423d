"""Clusterings that can be checked by hand, or by brute force where PyG needs pyg-lib."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import BatchVector, Data
from jraphx_eqx.nn.pool import (
    avg_pool_neighbor_x,
    avg_pool_x,
    decimation_indices,
    graclus,
    max_pool_neighbor_x,
    max_pool_x,
    normalized_cut,
    pool_edge,
    voxel_grid,
)

pytestmark = pytest.mark.usefixtures("quick_compile")

KEY = jax.random.key(0)
# A path of four nodes, a loop, padding, and a node alone.
EDGES = jnp.array([[0, 1, 2, 3, 9], [1, 2, 3, 3, 9]], jnp.int32)


def test_graclus_joins_along_the_heaviest_edge_first():
    weight = jnp.array([1.0, 3.0, 2.0, 9.0, jnp.nan])
    np.testing.assert_array_equal(graclus(EDGES, weight, num_nodes=5), [0, 1, 1, 3, 4])
    np.testing.assert_array_equal(graclus(EDGES, num_nodes=5), [0, 0, 2, 2, 4])
    np.testing.assert_array_equal(graclus(EDGES, -weight, num_nodes=5), np.arange(5))


def test_graclus_by_a_key_breaks_ties_and_leaves_no_edge_between_single_nodes():
    found = {tuple(graclus(EDGES, num_nodes=5, key=jax.random.key(i)).tolist()) for i in range(8)}
    assert found == {(0, 0, 2, 2, 4), (0, 1, 1, 3, 4)}
    weight = jnp.array([1.0, 3.0, 2.0, 9.0, jnp.nan])
    np.testing.assert_array_equal(graclus(EDGES, weight, num_nodes=5, key=KEY), [0, 1, 1, 3, 4])


def test_voxels_are_numbered_along_the_first_dimension_first():
    # The example of PyG's own test.
    pos = jnp.array([[0.0, 0], [11, 9], [2, 8], [2, 2], [8, 3], [jnp.nan, 0]])
    batch = BatchVector(jnp.array([0, 0, 0, 0, 0, 2], jnp.int32), 2)
    np.testing.assert_array_equal(voxel_grid(pos, 5, batch), [0, 5, 3, 0, 1, -1])
    np.testing.assert_array_equal(voxel_grid(pos[:5], 5), [0, 5, 3, 0, 1])
    np.testing.assert_array_equal(
        voxel_grid(pos[:5], 5, None, -1, jnp.array([18.0, 14.0])), [0, 10, 4, 0, 1]
    )
    second = BatchVector(jnp.array([0, 0, 1, 1, 1, 2], jnp.int32), 2)
    np.testing.assert_array_equal(voxel_grid(pos, 5, second), [0, 5, 6 + 3, 6, 7, -1])


def test_normalized_cut_by_hand():
    # The example of PyG's docs.
    edges = jnp.array([[1, 1, 2, 3, 4], [3, 3, 1, 2, 4]], jnp.int32)
    attr = jnp.array([1.0, 1, 1, 1, jnp.nan])
    np.testing.assert_array_equal(normalized_cut(edges, attr, num_nodes=4), [1.5, 1.5, 2, 1.5, 0])


def test_decimation_keeps_a_part_of_each_graph_and_one_at_least():
    batch = BatchVector(jnp.array([1] * 7 + [0] * 2 + [2] * 5 + [4] * 3, jnp.int32), 4)
    index, graphs = decimation_indices(batch, 2.5, key=KEY)
    np.testing.assert_array_equal(np.bincount(graphs.index, minlength=5)[:4], [1, 2, 2, 0])
    real = graphs.node_mask
    np.testing.assert_array_equal(batch.index[index[real]], graphs.index[real])
    assert len(set(index[real].tolist())) == 5 and np.all(index[~real] == 17)
    other, _ = decimation_indices(batch, 2.5, key=jax.random.key(1))
    assert index.tolist() != other.tolist()
    whole, _ = decimation_indices(batch, 1, key=KEY)
    assert sorted(whole[:14].tolist()) == list(range(14))
    with pytest.raises(ValueError, match=r"factor must be at least 1, got 0\.5"):
        decimation_indices(batch, 0.5, key=KEY)


def test_edges_of_clusters_by_any_reduction():
    cluster = jnp.array([0, 0, 1, 1, 5], jnp.int32)
    edges = jnp.array([[0, 1, 0, 2], [2, 3, 1, 0]], jnp.int32)
    attr = jnp.array([1.0, 3, 5, 7])
    found, values = pool_edge(cluster, edges, attr, "mean", num_clusters=2)
    np.testing.assert_array_equal(found, [[0, 1, 2, 2], [1, 0, 2, 2]])
    np.testing.assert_array_equal(values, [2, 7, 0, 0])


def test_features_of_clusters_by_hand():
    x = jnp.array([[1.0], [5.0], [3.0], [jnp.nan]])
    batch = BatchVector(jnp.array([0, 0, 1, 2], jnp.int32), 2)
    for pool, first in ((max_pool_x, 5), (avg_pool_x, 3)):
        rows, graphs = pool(jnp.array([7, 7, 9, 8]), x, batch)
        np.testing.assert_array_equal(rows[:, 0], [first, 3, 0, 0])
        np.testing.assert_array_equal(graphs.index, [0, 1, 2, 2])
        rows, graphs = pool(jnp.array([1, 1, 2, 0]), x, batch, 2)
        np.testing.assert_array_equal(rows[:, 0], [0, first, 3, 0])
        assert graphs is None


def test_features_of_neighbours_count_a_loop_twice():
    data = Data(np.array([[0.0], [6.0]]), np.array([[0, 0], [0, 1]]))
    np.testing.assert_array_equal(avg_pool_neighbor_x(data).x, [[0], [3]])
    np.testing.assert_array_equal(max_pool_neighbor_x(data, "target_to_source").x, [[6], [6]])
    with pytest.raises(ValueError, match="flow must be 'source_to_target'"):
        max_pool_neighbor_x(data, "up")
    with pytest.raises(ValueError, match="data must have x, got None"):
        max_pool_neighbor_x(Data(edge_index=data.edge_index, num_nodes=2))
