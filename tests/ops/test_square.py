"""Edges that are made one, and the paths of two edges that Graph U-Nets join nodes by."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jraphx_eqx.data import BatchVector
from jraphx_eqx.ops import (
    augment_edges,
    augment_edges_by_graph,
    coalesce,
    edge_order,
    path_capacity,
)

pytestmark = pytest.mark.usefixtures("quick_compile")


def edges(*pairs):
    return jnp.array(pairs, jnp.int32).reshape(-1, 2).T


def listed(edge_index, num_nodes):
    """The edges that are no padding, which must all come first."""
    real = (np.asarray(edge_index) < num_nodes).all(axis=0)
    assert np.all(np.asarray(edge_index)[:, ~real] == num_nodes)
    assert np.all(np.diff(real.astype(int)) <= 0)
    return list(map(tuple, np.asarray(edge_index)[:, real].T.tolist()))


def test_edges_are_ordered_by_source_then_target_with_padding_last():
    order = edge_order(edges((2, 0), (0, 3), (9, 0), (0, 1), (2, 0), (1, 4)), 4)
    np.testing.assert_array_equal(order, [3, 1, 0, 4, 2, 5])


def test_equal_edges_become_one_with_the_sum_of_their_weights():
    index = edges((2, 0), (0, 3), (5, 0), (0, 1), (2, 0))
    merged, weight = coalesce(index, jnp.array([1.0, 2.0, jnp.nan, 3.0, 10.0]), 4)
    assert listed(merged, 4) == [(0, 1), (0, 3), (2, 0)]
    np.testing.assert_array_equal(weight, [3, 2, 11, 0, 0])


def test_an_edge_that_only_one_end_makes_padding_is_left_out():
    index = edges((2, 0), (1, 4), (9, 0), (0, 7), (2, 0))
    merged, weight = coalesce(index, jnp.array([1.0, 2.0, 4.0, 8.0, 16.0]), 4)
    assert listed(merged, 4) == [(2, 0)]
    np.testing.assert_array_equal(weight, [17, 0, 0, 0, 0])
    joined, total = square([(0, 1), (1, 6), (7, 1), (1, 2)], [3, np.nan, np.nan, 5])
    assert joined == {(0, 1): 6, (0, 2): 15, (1, 2): 10} and total == 1


@pytest.mark.parametrize(("aggr", "expected"), [("mean", 5.5), ("max", 10), ("min", 1)])
def test_equal_edges_become_one_by_other_reductions(aggr, expected):
    _, weight = coalesce(edges((2, 0), (2, 0)), jnp.array([1.0, 10.0]), 4, aggr)
    np.testing.assert_array_equal(weight, [expected, 0])


def test_edges_without_attributes_and_no_edges_at_all_coalesce():
    merged, nothing = coalesce(edges((1, 1), (1, 1)), None, 2)
    assert listed(merged, 2) == [(1, 1)] and nothing is None
    assert coalesce(edges(), jnp.zeros((0, 3)), 2)[1].shape == (0, 3)


def test_the_gradient_of_a_sum_reaches_every_equal_edge_and_no_padding():
    index = edges((2, 0), (0, 3), (5, 0), (2, 0))
    along = jnp.array([3.0, 7.0, 0.0, 0.0])
    slope = jax.grad(lambda weight: coalesce(index, weight, 4)[1] @ along)(jnp.ones(4))
    np.testing.assert_array_equal(slope, [7, 3, 0, 7])


def square(pairs, weights, kept=None):
    """The edges and weights of an augmented graph of six nodes, and the number of paths.

    All tests share one program for each number of nodes that are kept.
    """
    padded = [*pairs, *[(9, 9)] * (12 - len(pairs))]
    weight = np.zeros(12, np.float32)
    weight[: len(weights)] = weights
    kept = np.arange(6, dtype=np.int32) if kept is None else np.array(kept, np.int32)
    index, weight, total = augmented(edges(*padded), weight, kept)
    places = listed(index, len(kept))
    assert not np.any(weight[len(places) :])
    return dict(zip(places, weight[: len(places)].tolist(), strict=True)), int(total)


@jax.jit
def augmented(index, weight, kept):
    return augment_edges(index, weight, 6, node_index=kept)


compiled = jax.jit(augment_edges, static_argnums=(2, 3))


def test_a_path_joins_its_ends_by_two_steps_and_by_twice_the_one():
    # 0 -> 1 -> 2, of weights 3 and 5: (A + I)² off the diagonal.
    joined, total = square([(0, 1), (1, 2)], [3, 5])
    assert joined == {(0, 1): 6, (0, 2): 15, (1, 2): 10}
    assert total == 1


def test_an_undirected_path_loses_the_way_back_to_the_start():
    joined, total = square([(0, 1), (1, 0), (1, 2), (2, 1)], [1, 1, 1, 1])
    assert joined == {(0, 1): 2, (0, 2): 1, (1, 0): 2, (1, 2): 2, (2, 0): 1, (2, 1): 2}
    assert total == 6  # edges in and out: 1 and 1, 2 and 2, 1 and 1


def test_edges_come_by_source_then_by_target():
    joined, _ = square([(4, 3), (3, 1), (1, 0), (0, 4)], [1, 1, 1, 1])
    assert list(joined) == sorted(joined) and len(joined) == 8


def test_loops_are_left_out_and_double_edges_add_up_first():
    joined, total = square([(0, 1), (1, 1), (0, 1), (1, 2)], [1, 100, 2, 5])
    assert joined == {(0, 1): 6, (0, 2): 15, (1, 2): 10}
    assert total == 1


def test_weights_that_cancel_leave_an_edge_of_weight_0():
    # Over 1 and over 2, with opposite signs.
    joined, _ = square([(0, 1), (0, 2), (1, 3), (2, 3)], [1, -1, 1, 1])
    assert joined[0, 3] == 0


def test_only_some_nodes_are_joined_over_all_of_them():
    # 2 is now 0 and 0 is now 1: 2 -> 3 -> 0 and 0 -> 1 -> 2.
    joined, total = square([(0, 1), (1, 2), (2, 3), (3, 0)], [2, 3, 5, 7], kept=[2, 0, 9])
    assert joined == {(0, 1): 35, (1, 0): 6}
    assert total == 2


def test_padding_edges_may_hold_anything():
    index = edges((0, 1), (7, 1), (1, 2), (1, 3))
    weight = jnp.array([3.0, jnp.nan, 5.0, jnp.inf])

    def total(weight):
        return jnp.sum(augment_edges(index, weight, 3)[1])

    value, slope = jax.jit(jax.value_and_grad(total))(weight)
    assert value == 6 + 15 + 10
    np.testing.assert_array_equal(slope, [2 + 5, 0, 2 + 3, 0])


def test_too_many_paths_for_the_room_are_counted():
    star, weight = edges((1, 0), (2, 0), (0, 3), (0, 4), (0, 5)), jnp.arange(1.0, 6.0)
    assert int(compiled(star, weight, 6, 4)[2]) == 6
    index, found, _ = compiled(star, weight, 6, 6)
    expected, _ = square(np.asarray(star).T.tolist(), weight)
    places = listed(index, 6)
    assert dict(zip(places, found[: len(places)].tolist(), strict=True)) == expected


def test_without_room_for_paths_there_are_the_edges_alone():
    index, weight, total = compiled(edges((0, 1), (1, 2)), jnp.array([3.0, 5.0]), 3, 0)
    assert listed(index, 3) == [(0, 1), (1, 2)] and int(total) == 1
    np.testing.assert_array_equal(weight, [6, 10])


CYCLE = {(0, 1): 2, (0, 2): 1, (1, 2): 2, (1, 3): 1, (2, 0): 1, (2, 3): 2, (3, 0): 2, (3, 1): 1}
LINE = {(0, 1): 2, (0, 2): 1, (1, 2): 2, (1, 3): 1, (2, 3): 2}


@pytest.mark.parametrize("expected", [CYCLE, LINE], ids=["cycle", "line"])
def test_nothing_follows_the_last_path_where_no_edge_is_padding(expected):
    single = [place for place, weight in expected.items() if weight == 2]
    index, weight, total = compiled(edges(*single), jnp.ones(len(single)), 4)
    assert path_capacity(len(single), 4) > int(total) == len(expected) - len(single)
    places = listed(index, 4)
    assert dict(zip(places, weight[: len(places)].tolist(), strict=True)) == expected
    assert not np.any(weight[len(places) :])


def test_a_weight_that_is_not_finite_stays_with_its_edge_and_paths():
    joined, _ = square([(0, 1), (1, 2), (3, 4), (4, 5)], [1, 2, 4, np.inf])
    assert joined.pop((4, 5)) == joined.pop((3, 5)) == np.inf
    assert joined == {(0, 1): 2, (0, 2): 2, (1, 2): 4, (3, 4): 8}


def test_there_is_room_for_as_many_paths_as_there_can_be_and_no_more():
    # Three edges and five ends: three paths over each edge at most, and the edges themselves.
    index, _, _ = compiled(edges((0, 1), (1, 2), (2, 3)), jnp.ones(3), 10, None, jnp.arange(5))
    assert index.shape == (2, 3 * 3 + 3)


def test_the_number_of_paths_is_limited_by_edges_ends_and_nodes():
    assert path_capacity(3, 8) == 3 * 3
    assert path_capacity(10, 8, 2) == 10 * 2
    assert path_capacity(10, 3) == path_capacity(10, 3, 3) == 10 * 2
    assert path_capacity(10, 1) == path_capacity(10, 0) == path_capacity(0, 8) == 0


def test_the_number_of_paths_may_exceed_32_bits():
    """A hub of 50,000 edges in and as many out."""
    leaf = jnp.arange(1, 50_001, dtype=jnp.int32)
    hub = jnp.zeros_like(leaf)
    index = jnp.stack([jnp.concatenate([leaf, hub]), jnp.concatenate([hub, leaf])])
    # An argument, because XLA would take its time to sort a constant.
    call = jax.jit(lambda index, weight: augment_edges(index, weight, 50_001, max_paths=8)[2])
    assert np.iinfo(np.int32).max < 50_000 * 50_000
    assert int(call(index, jnp.ones(100_000))) == np.iinfo(np.int32).max


def test_paths_under_jit_and_vmap_are_those_in_eager():
    weight = jnp.arange(8.0).reshape(2, 4)
    index = edges((0, 1), (1, 2), (2, 0), (0, 2))
    together = jax.jit(jax.vmap(lambda weight: augment_edges(index, weight, 3)))(weight)
    for position in range(2):
        alone = augment_edges(index, weight[position], 3)
        for ours, expected in zip(together, alone, strict=True):
            np.testing.assert_array_equal(ours[position], expected)


@st.composite
def graphs(draw):
    node = st.integers(0, 7)
    pairs = draw(st.lists(st.tuples(node, node), min_size=12, max_size=12))
    kept = draw(st.permutations(range(6)))[: draw(st.sampled_from([1, 3, 6]))]
    return pairs, kept


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_the_result_is_that_of_dense_matrices_and_fits_the_default(graph):
    pairs, kept = graph
    weight = np.random.default_rng(0).integers(-2, 3, len(pairs)).astype(np.float32)
    dense, count = np.zeros((6, 6)), np.zeros((6, 6))
    for (source, target), entry in zip(pairs, weight, strict=True):
        if source < 6 and target < 6 and source != target:
            dense[source, target] += entry
            count[source, target] = 1
    eye, between = np.eye(6), np.ix_(kept, kept)
    expected = ((dense + eye) @ (dense + eye))[between]
    joined = ((count + eye) @ (count + eye) > 0)[between] & ~np.eye(len(kept), dtype=bool)
    found, total = square(pairs, weight, kept)
    assert found == {place: expected[place] for place in zip(*np.nonzero(joined), strict=True)}
    assert total == (count @ count)[between].sum()
    assert total <= path_capacity(len(pairs), 6, len(kept))


def test_the_default_room_is_reached_by_a_complete_graph():
    """Between all of n nodes there are n (n - 1)² paths."""
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    _, total = square(pairs, [1] * 12)
    assert total == path_capacity(12, 4) == 4 * 3 * 3


@pytest.mark.parametrize("num_nodes", [1, 3])
def test_there_is_room_for_an_edge_from_each_node_to_every_other_and_no_more(num_nodes):
    edge_index = np.indices((num_nodes, num_nodes)).reshape(2, -1)
    weight = jnp.ones(edge_index.shape[1])
    found, weight, _ = compiled(jnp.asarray(edge_index, jnp.int32), weight, num_nodes)
    np.testing.assert_array_equal(found, edge_index[:, edge_index[0] != edge_index[1]])
    np.testing.assert_array_equal(weight, np.full(num_nodes * (num_nodes - 1), num_nodes))


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_no_dtype_is_promoted_in_silence(dtype, x64):
    edge_index = jnp.array([[0, 1], [1, 2]], dtype)
    with jax.numpy_dtype_promotion("strict"):
        found, weight, _ = compiled(edge_index, jnp.ones(2, jnp.float32), 3)
    assert found.dtype == dtype and weight.dtype == jnp.float32


# Graphs of four nodes and of three, in turns, and a row of padding.
TURNS = BatchVector(jnp.array([0, 1, 0, 1, 0, 1, 0, 2], jnp.int32), 2, 4)


@jax.jit
def by_graph(index, weight, kept):
    graph = TURNS.index.at[kept].get(mode="fill", fill_value=2)
    return augment_edges_by_graph(index, weight, kept, TURNS, BatchVector(graph, 2))


def test_a_table_for_each_graph_joins_by_one_step_twice_and_by_two_steps():
    # 4 is now 0, 1 is 1, 0 is 2 and 5 is 3: 0 -> 2 -> 4 -> 0, twice 1 -> 5, and 5 -> 3.
    pairs = [(0, 2), (2, 4), (4, 0), (1, 5), (1, 5), (5, 3), (4, 4), (9, 9)]
    weight = jnp.array([2, 3, 5, 7, 1, 11, 100, jnp.nan])
    index, found, total = by_graph(edges(*pairs), weight, jnp.array([4, 1, 0, 5, 8]))
    assert dict(zip(listed(index, 5), found.tolist(), strict=False)) == {
        (0, 2): 2 * 5,
        (1, 3): 2 * (7 + 1),
        (2, 0): 2 * 3,
    }
    assert int(total) == 1 and index.shape == (2, 5 * 4)
    assert not np.any(found[3:])


@st.composite
def graphs_in_turns(draw):
    even, odd = st.sampled_from([0, 2, 4, 6]), st.sampled_from([1, 3, 5])
    pair = st.one_of(st.tuples(even, even), st.tuples(odd, odd), st.just((8, 8)))
    pairs = draw(st.lists(pair, min_size=12, max_size=12))
    return pairs, draw(st.permutations(range(7)))[: draw(st.sampled_from([1, 4, 7]))]


@settings(max_examples=40, deadline=None)
@given(graphs_in_turns())
def test_tables_and_paths_give_the_same_edges_weights_gradients_and_number(graph):
    pairs, kept = graph
    kept = jnp.array([*kept, 8], jnp.int32)
    rng = np.random.default_rng(0)
    weight = jnp.asarray(rng.integers(-2, 3, len(pairs)), jnp.float32)
    found = pulled_back(by_graph, edges(*pairs), weight, kept)
    expected = pulled_back(by_paths, edges(*pairs), weight, kept)
    real = len(listed(found[0], len(kept)))
    assert real == len(listed(expected[0], len(kept)))
    np.testing.assert_array_equal(found[0][:, :real], expected[0][:, :real])
    np.testing.assert_array_equal(found[1][:real], expected[1][:real])
    assert found[2] == expected[2]
    np.testing.assert_array_equal(found[3], expected[3])


@jax.jit
def by_paths(index, weight, kept):
    return augment_edges(index, weight, 8, node_index=kept)


@functools.partial(jax.jit, static_argnums=0)
def pulled_back(augment, index, weight, kept):
    """What `augment` returns, and the gradient of its weights, of which the first counts once."""

    def objective(weight):
        edge_index, found, total = augment(index, weight, kept)
        return jnp.arange(1.0, 1.0 + found.shape[0]) @ found, (edge_index, found, total)

    slope, out = jax.grad(objective, has_aux=True)(weight)
    return *out, slope


def test_graphs_without_nodes_have_no_tables():
    batch = BatchVector(jnp.full(3, 2, jnp.int32), 2, 0)
    none = jnp.full(3, 3, jnp.int32)
    call = jax.jit(augment_edges_by_graph)
    index, weight, total = call(edges((3, 3)), jnp.ones(1), none, batch, batch)
    assert index.shape == (2, 0) and weight.shape == (0,) and int(total) == 0
