import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.ops import (
    add_self_loops,
    coalesce,
    compact_edges,
    degree,
    edge_mask,
    filter_edges,
    masked_edges,
    remove_self_loops,
    self_loop_weights,
)

pytestmark = pytest.mark.usefixtures("quick_compile")

# A double edge, a self-loop, an edge back, padding, and an edge with one end past the end.
EDGES = jnp.array([[0, 0, 2, 2, 4, 3], [2, 2, 2, 0, 4, 9]], jnp.int32)
ATTRS = jnp.array([1.0, 2.0, 3.0, 4.0, jnp.nan, jnp.nan])


def test_an_edge_with_one_end_past_the_end_is_padding():
    np.testing.assert_array_equal(edge_mask(EDGES, 4), [1, 1, 1, 1, 0, 0])


def test_filtered_edges_keep_their_places_loops_and_doubles():
    edges, attrs = filter_edges(EDGES, ATTRS, jnp.array([2, 0, 4], jnp.int32), 4)
    np.testing.assert_array_equal(edges, [[1, 1, 0, 0, 3, 3], [0, 0, 0, 1, 3, 3]])
    np.testing.assert_array_equal(attrs, [1, 2, 3, 4, 0, 0])


def test_edges_of_dropped_nodes_become_padding():
    edges, attrs = filter_edges(EDGES, ATTRS, jnp.array([2, 3], jnp.int32), 4)
    np.testing.assert_array_equal(edges, [[2, 2, 0, 2, 2, 2], [2, 2, 0, 2, 2, 2]])
    np.testing.assert_array_equal(attrs, [0, 0, 3, 0, 0, 0])


@pytest.mark.parametrize("shape", [(6,), (6, 2), (6, 1, 3)])
def test_edge_attributes_may_have_any_rank_and_dtype(shape):
    for dtype in (jnp.float32, jnp.int32, bool):
        attrs = jnp.ones(shape, dtype)
        edges, kept = filter_edges(EDGES, attrs, jnp.array([2, 3], jnp.int32), 4)
        assert kept.shape == shape and kept.dtype == dtype
        _, kept, _ = compact_edges(edges, kept, 2, 3)
        assert kept.shape == (3, *shape[1:]) and kept.dtype == dtype
        np.testing.assert_array_equal(kept.sum(axis=tuple(range(1, len(shape)))) > 0, [1, 0, 0])


def test_compact_edges_move_to_the_front_in_their_order():
    shuffled, attrs = EDGES[:, ::-1], ATTRS[::-1]
    edges, kept, total = compact_edges(shuffled, attrs, 4, 5)
    np.testing.assert_array_equal(edges, [[2, 2, 0, 0, 4], [0, 2, 2, 2, 4]])
    np.testing.assert_array_equal(kept, [4, 3, 2, 1, 0])
    assert total == 4
    edges, kept, total = compact_edges(shuffled, attrs, 4, 2)
    np.testing.assert_array_equal(edges, [[2, 2], [0, 2]])
    assert total == 4


def test_removed_self_loops_become_padding():
    edges, attrs = remove_self_loops(EDGES, ATTRS, 4)
    np.testing.assert_array_equal(edges, [[0, 0, 4, 2, 4, 4], [2, 2, 4, 0, 4, 4]])
    np.testing.assert_array_equal(attrs, [1, 2, 0, 4, 0, 0])


def test_added_self_loops_come_last_one_for_each_node():
    edges, attrs = add_self_loops(EDGES[:, :2], ATTRS[:2], 3, 7)
    np.testing.assert_array_equal(edges, [[0, 0, 0, 1, 2], [2, 2, 0, 1, 2]])
    np.testing.assert_array_equal(attrs, [1, 2, 7, 7, 7])


def test_added_self_loops_may_reduce_what_points_at_the_node():
    for name, expected in [("mean", 2), ("add", 6), ("max", 3), ("min", 1)]:
        _, attrs = add_self_loops(EDGES, ATTRS, 4, name)
        np.testing.assert_array_equal(attrs[6:], [4, 0, expected, 0])


def test_padding_edges_do_not_reach_the_attributes_of_added_self_loops():
    edges = jnp.array([[0, 5], [1, 1]], jnp.int32)
    _, attrs = add_self_loops(edges, jnp.array([3.0, jnp.nan]), 2, "mean")
    np.testing.assert_array_equal(attrs[2:], [0, 3])


def test_the_last_of_several_self_loops_gives_the_weight():
    edges = jnp.array([[0, 1, 0, 1, 3], [0, 1, 0, 2, 3]], jnp.int32)
    weights = jnp.array([10.0, 5.0, 20.0, 7.0, jnp.nan])
    np.testing.assert_array_equal(self_loop_weights(edges, weights, 3, 1), [20, 5, 1])


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_edges_keep_their_dtype_whatever_that_of_the_nodes(dtype, x64):
    index = EDGES.astype(dtype)
    kept = jnp.array([2, 0, 4], "int32" if dtype == "int64" else "int64")

    def all_of_them():
        return (
            masked_edges(index, None, edge_mask(index, 4), 4)[0],
            filter_edges(index, ATTRS, kept, 4)[0],
            compact_edges(index, ATTRS, 4, 3)[0],
            remove_self_loops(index, ATTRS, 4)[0],
            add_self_loops(index, ATTRS, 4, 1)[0],
            coalesce(index, ATTRS, 4)[0],
        )

    assert all(edges.dtype == dtype for edges in jax.eval_shape(all_of_them))


def test_degree_counts_or_adds_weights():
    np.testing.assert_array_equal(degree(EDGES[1], 4), [1, 0, 3, 0])
    np.testing.assert_array_equal(degree(EDGES[1], 4, ATTRS), [4, 0, 6, 0])
