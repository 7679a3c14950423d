import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jraphx_eqx.data import BatchVector
from jraphx_eqx.ops import above_min_score, first_true, top_k, top_k_capacity, top_k_counts

pytestmark = pytest.mark.usefixtures("quick_compile")

ratios = st.floats(1e-3, 0.9999) | st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.28, 0.6, 1 / 3, 0.999])


def counts_of(counts, ratio, dtype):
    with jax.enable_x64(dtype == "float64"):
        counts = jnp.asarray(counts, jnp.int32)
        return np.asarray(top_k_counts(counts, ratio, jnp.dtype(dtype)))


@pytest.mark.parametrize(
    ("ratio", "num_nodes", "in_float32", "in_float64"),
    [(0.3, 50, 16, 15), (0.28, 25, 7, 8), (0.6, 25, 16, 15), (0.5, 5, 3, 3), (0.5, 0, 0, 0)],
)
def test_k_is_rounded_up_in_the_dtype_of_the_scores(ratio, num_nodes, in_float32, in_float64):
    assert counts_of([num_nodes], ratio, "float32") == in_float32
    assert counts_of([num_nodes], ratio, "float64") == in_float64
    assert counts_of([num_nodes], ratio, "float16") == in_float32
    assert counts_of([num_nodes], ratio, "bfloat16") == in_float32


@pytest.mark.parametrize("ratio", [0.3, np.float64(0.3)])
def test_k_goes_by_the_dtype_of_the_scores_where_64_bits_are_on(ratio, x64):
    assert top_k_counts(jnp.array([50], jnp.int32), ratio, jnp.float32) == 16


def test_a_ratio_from_1_on_is_a_number_of_nodes():
    np.testing.assert_array_equal(counts_of([0, 1, 2, 5], 1, "float32"), [0, 1, 1, 1])
    for two in (2, 2.0):
        np.testing.assert_array_equal(counts_of([0, 1, 2, 5], two, "float32"), [0, 1, 2, 2])
        assert counts_of([0, 1, 2, 5], two, "float32").dtype == np.int32
    np.testing.assert_array_equal(counts_of([0, 1, 2, 5], 10**12, "float32"), [0, 1, 2, 5])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@settings(max_examples=150, deadline=None)
@given(
    ratio=ratios | st.integers(1, 20),
    sizes=st.lists(st.integers(0, 300) | st.integers(10**5, 10**7), min_size=1, max_size=8),
)
def test_the_capacity_is_never_exceeded(dtype, ratio, sizes):
    sizes = (sizes * 8)[:8] if len(sizes) > 1 else sizes
    num_nodes = sum(sizes)
    capacity = top_k_capacity(num_nodes, len(sizes), ratio, jnp.dtype(dtype))
    kept = counts_of(sizes, ratio, dtype)
    assert kept.sum() <= capacity <= num_nodes
    if len(sizes) == 1:
        assert kept.sum() == capacity


@settings(max_examples=50, deadline=None)
@given(ratio=ratios, num_nodes=st.integers(0, 10**6), real=st.floats(0, 1))
def test_the_capacity_of_one_graph_covers_a_graph_with_padding(ratio, num_nodes, real):
    kept = counts_of([int(real * num_nodes)], ratio, "float32")
    assert kept[0] <= top_k_capacity(num_nodes, 1, ratio, jnp.dtype("float32"))


def test_the_capacity_covers_counts_that_float32_cannot_hold():
    # 2**26 + 5 is rounded up to 2**26 + 8, which keeps one and a half nodes more of each graph.
    kept = counts_of([2**26 + 5] * 2, 0.5, "float32")
    assert kept.tolist() == [2**25 + 4] * 2
    capacity = top_k_capacity(2 * (2**26 + 5), 2, 0.5, jnp.dtype("float32"))
    assert kept.sum() <= capacity <= kept.sum() + 16


def test_the_capacity_of_a_count_is_no_more_than_that_of_each_graph():
    capacities = [top_k_capacity(10, 2, ratio, jnp.dtype("float32")) for ratio in (1, 3, 3.0, 7)]
    assert capacities == [2, 6, 6, 10] and all(type(number) is int for number in capacities)


def test_the_capacity_of_a_fraction_is_a_whole_number():
    for num_graphs in (1, 2):
        assert type(top_k_capacity(10, num_graphs, 0.5, jnp.dtype("float32"))) is int


def test_the_capacity_is_that_of_the_formula():
    # Half of 2**30, grown by (1 + 2**-24)², and of 2**55, grown by (1 + 2**-53)²; and 1 a graph.
    assert top_k_capacity(2**30, 2, 0.5, jnp.float32) == 2**29 + 2**6 + 2
    assert top_k_capacity(2**55, 3, 0.5, jnp.float64) == 2**54 + 2**2 + 3
    # What is left over of 2**55 + 2 would be lost in float64.
    assert top_k_capacity(2**55 + 2, 3, 0.5, jnp.float64) == 2**54 + 1 + 2**2 + 3
    # 0.3 is 10066330 / 2**25 in float32, which is more than 0.3.
    assert top_k_capacity(2**25, 2, 0.3, jnp.float32) == 10066330 + 1 + 2


def test_top_k_goes_by_graph_then_score_then_index():
    score = jnp.array([1.0, 3.0, 2.0, 3.0, 5.0, 9.0])
    batch = BatchVector(jnp.array([1, 1, 1, 1, 0, 3]), 3)
    perm, total = top_k(score, batch, 2, 5)
    np.testing.assert_array_equal(perm, [4, 1, 3, 6, 6])
    assert total == 3
    perm, total = top_k(score, batch, 2, 2)
    np.testing.assert_array_equal(perm, [4, 1])
    assert total == 3


def mask_of(score, index, num_graphs, min_score):
    batch = BatchVector(jnp.asarray(index, jnp.int32), num_graphs)
    return above_min_score(jnp.asarray(score), batch, min_score).tolist()


def test_min_score_keeps_what_is_above_it_and_not_what_is_equal():
    assert mask_of([0.25, 0.5, 0.125, 0.125], [0] * 4, 1, 0.125) == [True, True, False, False]


def test_min_score_keeps_the_maximum_of_a_graph_that_has_nothing_above_it():
    scores = [0.1, 0.9, 0.4, 0.6]
    assert mask_of(scores, [0, 0, 1, 1], 2, 0.8) == [False, True, False, True]


def test_min_score_keeps_several_nodes_at_the_maximum():
    assert mask_of([0.25] * 4, [0] * 4, 1, 0.5) == [True] * 4


def test_min_score_never_keeps_padding():
    assert mask_of([0.5, 0.5, 1.0], [0, 0, 1], 1, 0.1) == [True, True, False]


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_min_score_in_half_precision_keeps_a_node_of_every_graph(dtype):
    score = jnp.array([0.3, 0.7, 1.0], dtype)
    batch = BatchVector(jnp.array([0, 0, 1]), 2)
    assert above_min_score(score, batch, 2.0).tolist() == [False, True, True]


def test_min_score_is_rounded_to_the_dtype_of_the_scores_where_64_bits_are_on(x64):
    # 0.1 is a little more in float32 than in float64.
    assert mask_of(np.array([0.1, 1], np.float32), [0, 0], 1, 0.1) == [False, True]


def test_min_score_takes_what_is_nearer_to_the_maximum_than_the_tolerance():
    scores = [0.3, 0.3 - 0.5e-7, 0.3 - 1.5e-7, 0.0]
    assert mask_of(scores, [0] * 4, 1, 0.5) == [True, True, False, False]


def test_places_and_numbers_are_of_32_bits_where_64_are_on(x64):
    mask = jnp.array([False, True])
    assert [array.dtype for array in first_true(mask, 1)] == [jnp.int32] * 2
    batch = BatchVector(jnp.zeros(2, jnp.int32), 1)
    assert top_k(jnp.ones(2), batch, 1, 1)[0].dtype == jnp.int32


@pytest.mark.parametrize("x64", [False, True])
def test_no_dtype_is_promoted_in_silence(x64):
    with jax.enable_x64(x64), jax.numpy_dtype_promotion("strict"):
        score, batch = jnp.ones(2, jnp.float32), BatchVector(jnp.zeros(2, jnp.int32), 1)
        perm, total = top_k(score, batch, 0.5, 1)
        above = above_min_score(score, batch, 0.5)
    assert perm.tolist() == [0] and int(total) == 1 and above.tolist() == [True, True]


def test_first_true_counts_all_and_lists_as_many_as_fit():
    mask = jnp.array([False, True, True, False, True])
    for capacity, expected in [(3, [1, 2, 4]), (2, [1, 2]), (5, [1, 2, 4, 5, 5]), (0, [])]:
        index, total = first_true(mask, capacity)
        np.testing.assert_array_equal(index, expected)
        assert total == 3
