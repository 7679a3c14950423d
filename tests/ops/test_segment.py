import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.ops import (
    aggregation,
    segment_count,
    segment_max,
    segment_mean,
    segment_min,
    segment_softmax,
    segment_sum,
)

pytestmark = pytest.mark.usefixtures("quick_compile")

# Segment 1 is empty; the last two rows are padding.
DATA = jnp.array([1.0, 4.0, -2.0, -6.0, jnp.nan, jnp.inf])
INDEX = jnp.array([0, 0, 2, 2, 3, 7], jnp.int32)
EXPECTED = {
    segment_sum: [5.0, 0.0, -8.0],
    segment_mean: [2.5, 0.0, -4.0],
    segment_max: [4.0, 0.0, -2.0],
    segment_min: [1.0, 0.0, -6.0],
}


@pytest.mark.parametrize("reduction", EXPECTED)
def test_empty_segments_are_0_and_padding_is_left_out(reduction):
    np.testing.assert_array_equal(reduction(DATA, INDEX, 3), EXPECTED[reduction])


@pytest.mark.parametrize("reduction", EXPECTED)
def test_padding_gets_a_zero_gradient(reduction):
    gradient = jax.grad(lambda data: reduction(data, INDEX, 3).sum())(DATA)
    assert np.all(np.isfinite(gradient))
    assert not np.any(gradient[4:])


@pytest.mark.parametrize("reduction", EXPECTED)
def test_integers_stay_integers_but_for_their_mean(reduction):
    data = jnp.array([[1], [4], [-2], [-6], [9], [9]], jnp.int32)
    out = reduction(data, INDEX, 3)
    assert out.dtype == (jnp.float32 if reduction is segment_mean else jnp.int32)
    np.testing.assert_array_equal(out[:, 0], EXPECTED[reduction])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.int32])
@pytest.mark.parametrize("reduction", EXPECTED)
def test_no_dtype_is_promoted_in_silence(reduction, dtype):
    with jax.numpy_dtype_promotion("strict"):
        reduction(jnp.ones(6, dtype), INDEX, 3)


@pytest.mark.parametrize("reduction", EXPECTED)
def test_no_dtype_is_promoted_in_silence_on_the_way_back(reduction):
    with jax.numpy_dtype_promotion("strict"):
        gradient = jax.grad(lambda data: reduction(data, INDEX, 3).sum())(DATA)
    assert gradient.dtype == jnp.float32


@pytest.mark.parametrize("reduction", EXPECTED)
def test_no_rows_and_no_segments(reduction):
    rows, index = jnp.zeros((0, 2)), jnp.zeros(0, jnp.int32)
    np.testing.assert_array_equal(reduction(rows, index, 3), np.zeros((3, 2)))
    assert reduction(jnp.ones((6, 2)), INDEX, 0).shape == (0, 2)


@pytest.mark.parametrize("reduction", [segment_max, segment_min])
@pytest.mark.parametrize("tied", [2.0, 0.0, -3.0])
def test_ties_share_the_gradient_evenly(reduction, tied):
    away = -1.0 if reduction is segment_max else 1.0
    data = jnp.array([tied, tied + away, tied, tied])
    index = jnp.zeros(4, jnp.int32)
    gradient = jax.grad(lambda data: reduction(data, index, 1)[0])(data)
    np.testing.assert_allclose(gradient, [1 / 3, 0, 1 / 3, 1 / 3], rtol=1e-6)


@pytest.mark.parametrize("reduction", [segment_max, segment_min])
def test_forward_mode_follows_the_chosen_rows_alone(reduction):
    sign = 1 if reduction is segment_max else -1
    data = sign * jnp.array([1.0, 3.0, 3.0, 2.0, jnp.nan, 5.0])
    index = jnp.array([0, 0, 0, 0, 2, 9], jnp.int32)
    tangent = jnp.array([10.0, 20.0, 40.0, 80.0, 160.0, 320.0])
    out, found = jax.jvp(lambda data: reduction(data, index, 3), (data,), (tangent,))
    np.testing.assert_array_equal(out, [sign * 3, 0, jnp.nan])
    np.testing.assert_array_equal(found, [30, 0, 0])


def test_infinities_and_nan_stay_in_their_segment():
    data = jnp.array([-jnp.inf, jnp.nan, 1.0, 2.0])
    index = jnp.array([0, 1, 1, 2], jnp.int32)
    np.testing.assert_array_equal(segment_max(data, index, 3), [-jnp.inf, jnp.nan, 2.0])
    np.testing.assert_array_equal(segment_sum(data, index, 3), [-jnp.inf, jnp.nan, 2.0])


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_is_accumulated_in_float32(dtype):
    # One by one, the sum would stop at 2048 in float16 and at 256 in bfloat16.
    ones, index = jnp.ones(4096, dtype), jnp.zeros(4096, jnp.int32)
    total, mean = segment_sum(ones, index, 1), segment_mean(ones, index, 1)
    assert total.dtype == mean.dtype == dtype
    assert total[0] == 4096 and mean[0] == 1


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("reduction", [segment_max, segment_min])
def test_tangents_at_ties_are_averaged_in_float32(reduction, dtype):
    # Their sum is more than float16 holds.
    tied, step, index = jnp.ones(4, dtype), jnp.full(4, 49152, dtype), jnp.zeros(4, jnp.int32)
    out, tangent = jax.jvp(lambda data: reduction(data, index, 1), (tied,), (step,))
    assert out.dtype == tangent.dtype == dtype
    np.testing.assert_array_equal(tangent, [49152])


@pytest.mark.parametrize("x64", [False, True])
def test_counts_are_of_real_rows(x64):
    with jax.enable_x64(x64):
        counts = segment_count(INDEX, 3)
    assert counts.dtype == jnp.int32
    np.testing.assert_array_equal(counts, [2, 0, 2])


def test_the_mean_of_integers_does_not_overflow():
    hundreds = jnp.full(4, 100, jnp.int8)
    np.testing.assert_array_equal(segment_mean(hundreds, jnp.zeros(4, jnp.int32), 1), [100])


def test_the_mean_of_integers_is_of_the_default_float_dtype(x64):
    assert segment_mean(jnp.array([1, 2]), jnp.array([0, 0]), 1).dtype == jnp.float64


def test_softmax_sums_to_1_in_each_segment_and_is_0_in_padding():
    data = jnp.log(jnp.array([1.0, 3.0, 5.0, 5.0, 1.0, 1.0]))
    out = segment_softmax(data, INDEX, 3)
    np.testing.assert_allclose(out, [0.25, 0.75, 0.5, 0.5, 0, 0], rtol=1e-6)


def test_softmax_of_large_numbers_does_not_overflow():
    out = segment_softmax(jnp.array([1e4, 1e4 - 1e9, -1e9]), jnp.array([0, 0, 1], jnp.int32), 2)
    np.testing.assert_array_equal(out, [1, 0, 1])


def test_softmax_gradient_is_that_of_the_formula():
    # d s_0 / d x = s_0 (1 - s_0), -s_0 s_1 with s = 1/4, 3/4.
    data = jnp.log(jnp.array([1.0, 3.0]))
    gradient = jax.grad(lambda x: segment_softmax(x, jnp.zeros(2, jnp.int32), 1)[0])(data)
    np.testing.assert_allclose(gradient, [3 / 16, -3 / 16], rtol=1e-6)


def test_softmax_padding_has_no_influence_on_the_gradient():
    gradient = jax.grad(lambda x: segment_softmax(x, INDEX, 3)[0])(DATA)
    assert np.all(np.isfinite(gradient)) and not np.any(gradient[2:])


def test_aggregations_go_by_pygs_names():
    assert aggregation("add") is aggregation("sum") is segment_sum
    with pytest.raises(ValueError, match=r"aggr must be one of 'add', .* got 'median'"):
        aggregation("median")


@pytest.mark.parametrize("reduction", [segment_sum, segment_mean])
def test_64_bit_mode_does_not_widen_float32(reduction, x64, adds_in_order):
    # Beside 1, 2^-25 is lost in float32; 127 of them are not in float64.
    data = jnp.asarray([1.0] + [2.0**-25] * 127, jnp.float32)
    out = reduction(data, jnp.zeros(128, jnp.int32), 1)
    assert out.dtype == jnp.float32
    assert float(out[0]) == (1 if reduction is segment_sum else 1 / 128)
