import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jraphx_eqx.data import BatchVector
from jraphx_eqx.ops import _order, descending_order

pytestmark = pytest.mark.usefixtures("quick_compile")

DTYPES = ["float16", "bfloat16", "float32", "float64"]
NEGATIVE_NAN = -np.float64("nan")
SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, NEGATIVE_NAN, 1.5, -1.5, 2.0]
LENGTH = 24

compiled = jax.jit(descending_order)


def expected_order(score, batch):
    """By graph, then NaN, then descending, then position."""
    with np.errstate(invalid="ignore"):  # of signalling NaN
        score = np.asarray(score).astype(np.float64)
    nan = np.isnan(score)
    keys = (np.where(nan, 0, -score), ~nan, np.minimum(batch.index, batch.num_graphs))
    return np.lexsort(keys)


def assert_ordered(score, index, num_graphs, dtype):
    with jax.enable_x64(dtype == "float64"):
        score = jnp.asarray(np.asarray(score), dtype)
        batch = BatchVector(jnp.asarray(index, jnp.int32), num_graphs)
        expected = expected_order(score, batch)
        for order in (descending_order(score, batch), compiled(score, batch)):
            assert order.dtype == jnp.int32
            np.testing.assert_array_equal(order, expected)


# The second just does not fit in one pass beside float32 and 24 places, nor does the third.
@pytest.mark.parametrize("num_graphs", [3, 2**28 - 1, 2**30])
@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_order_is_that_of_a_stable_sort(dtype, num_graphs, data):
    finite = st.integers(-4, 4).map(lambda n: n / 4)
    finite |= st.integers(0, 4).map(lambda n: 1 + n * 2**-52)
    scores = st.lists(st.sampled_from(SPECIAL) | finite, min_size=LENGTH, max_size=LENGTH)
    half = num_graphs // 2
    graphs = st.sampled_from([0, 1, 2, half, half + 2, num_graphs, num_graphs + 1, num_graphs - 1])
    index = data.draw(st.lists(graphs, min_size=LENGTH, max_size=LENGTH))
    assert_ordered(data.draw(scores), index, num_graphs, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_of_both_signs_ranks_first_and_both_zeros_are_equal(dtype):
    score = [-0.0, 1.0, 0.0, NEGATIVE_NAN, -0.0, np.inf, np.nan, -np.inf]
    assert np.signbit(score[3]) and not np.signbit(score[6])
    assert_ordered(score, [0] * 8, 1, dtype)
    with jax.enable_x64(dtype == "float64"):
        order = compiled(jnp.asarray(np.asarray(score), dtype), BatchVector(jnp.zeros(8, int), 1))
    np.testing.assert_array_equal(order, [3, 6, 5, 1, 0, 2, 4, 7])


@pytest.mark.parametrize("dtype", DTYPES)
def test_scores_that_differ_in_the_last_bit_are_told_apart(dtype):
    step = float(jnp.finfo(dtype).eps)
    score = [1.0, 1 + step, -1.0, -1 - step, 1 + 2 * step]
    assert_ordered(score, [0, 0, 0, 0, 0], 1, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_scores_that_differ_in_one_bit_are_told_apart(dtype):
    step = float(jnp.finfo(dtype).eps)
    score = [1.0] + [1 + step * 2**bit for bit in range(jnp.finfo(dtype).nmant)]
    assert_ordered(score, [0] * len(score), 1, dtype)


@pytest.mark.parametrize("vmapped", [False, True])
def test_the_last_bits_of_float64_are_sorted_only_where_they_matter(vmapped, x64):
    rng = np.random.default_rng(0)
    apart = rng.normal(size=64)
    score = jnp.asarray(np.stack([apart, 1 + rng.integers(0, 9, 64) * 2.0**-52, np.sign(apart)]))
    batch = BatchVector(jnp.asarray(np.arange(64) // 16, jnp.int32), 4)
    if vmapped:
        orders = jax.vmap(lambda score: descending_order(score, batch))(score)
    else:
        orders = [compiled(row, batch) for row in score]
    for row, order in zip(score, orders, strict=True):
        np.testing.assert_array_equal(order, expected_order(row, batch))


@pytest.mark.parametrize("num_graphs", [1, 3, 2**30])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scores_that_are_apart_are_sorted_by_their_highest_bits_alone(
    dtype, num_graphs, monkeypatch
):
    def wrong(digits, position_bits):
        return jnp.zeros_like(digits[0])

    monkeypatch.setattr(_order, "_order_by_digits", wrong)
    rng = np.random.default_rng(0)
    index = rng.choice([0, num_graphs // 2, num_graphs - 1, num_graphs], LENGTH)
    with jax.enable_x64(dtype == "float64"):
        score = jnp.asarray(rng.integers(-4, 5, LENGTH), dtype)
        batch = BatchVector(jnp.asarray(index, jnp.int32), num_graphs)
        np.testing.assert_array_equal(descending_order(score, batch), expected_order(score, batch))


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_dtype_is_promoted_in_silence(dtype):
    with jax.enable_x64(dtype == "float64"), jax.numpy_dtype_promotion("strict"):
        order = descending_order(jnp.ones(3, dtype), BatchVector(jnp.zeros(3, jnp.int32), 1))
    np.testing.assert_array_equal(order, [0, 1, 2])


def test_a_graph_before_and_one_after_the_highest_bit_are_told_apart():
    index = [2**27 + 1, 2**27 - 5] * (LENGTH // 2)
    assert_ordered([0.0] * LENGTH, index, 2**28 - 1, "float32")


@pytest.mark.parametrize("num_nodes", [0, 1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_few_nodes(dtype, num_nodes):
    assert_ordered(np.arange(num_nodes), [0] * num_nodes, 1, dtype)


def test_padding_comes_last_in_its_own_order():
    batch = BatchVector(jnp.array([2, 0, 5, 1, 2, 0]), 2)
    order = descending_order(jnp.array([9.0, 1.0, 9.0, 3.0, 8.0, 2.0]), batch)
    np.testing.assert_array_equal(order[:3], [5, 1, 3])
    assert set(order[3:].tolist()) == {0, 2, 4}


def test_the_dtypes_of_the_caller_stay_as_they_are():
    order = jax.jit(lambda x: (descending_order(x, BatchVector(jnp.zeros(3, int), 1)), x + 1))
    assert [leaf.dtype for leaf in order(jnp.ones(3))] == [jnp.int32, jnp.float32]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_number_of_sixteen_bits_is_in_its_place(dtype):
    patterns = np.random.default_rng(0).permutation(2**16).astype(np.uint16)
    score = patterns.view(jnp.dtype(dtype))
    assert_ordered(score, np.zeros(2**16), 1, dtype)
