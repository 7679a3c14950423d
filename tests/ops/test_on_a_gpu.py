"""What is done otherwise on a GPU gives the same, whatever it runs on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import BatchVector
from jraphx_eqx.ops import (
    _segment,
    segment_count,
    segment_max,
    segment_mean,
    segment_min,
    segment_sum,
    top_k,
)

pytestmark = pytest.mark.usefixtures("quick_compile")
ROWS, SEGMENTS = 1000, 3
REDUCTIONS = [segment_sum, segment_mean, segment_max, segment_min]


def both_ways(monkeypatch, function):
    """What `function` returns with the program for a CPU, and with that for a GPU."""
    found = []
    for backend in ("cpu", "gpu"):
        monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
        jax.clear_caches()
        found.append(function())
    jax.clear_caches()  # No other test may get the programs for a GPU.
    return found


def rows(dtype, width=2):
    """Small whole numbers, so that sums are exact in any order; half of them is padding."""
    rng = np.random.default_rng(0)
    index = rng.choice([0, 1, SEGMENTS, SEGMENTS + 5], ROWS)  # There are segments without rows.
    data = jnp.asarray(rng.integers(-3, 4, (ROWS, width)), dtype)
    return data, jnp.asarray(index, jnp.int32)


def test_a_gpu_holds_few_segments_of_many_rows_several_times(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    expected = {
        (400_000, 2): 4096,
        (400_000, 1025): 7,
        (400_000, 4097): 1,
        (400_000, 10_000): 1,
        (40_000, 2): 2500,
        (1000, 4): 31,
        (63, 4): 1,
        (0, 1): 1,
    }
    assert {sizes: _segment._copies(*sizes) for sizes in expected} == expected
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert _segment._copies(400_000, 2) == 1


@pytest.mark.parametrize(
    ("backend", "num_rows", "copies"), [("cpu", ROWS, 1), ("gpu", ROWS, 41), ("gpu", 64, 2)]
)
def test_neighbouring_rows_go_into_different_copies(backend, num_rows, copies, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    places = []

    def by_index(data, index, number):
        places.append((index, number))
        return jax.ops.segment_sum(data, index, number)

    data, index = (array[:num_rows] for array in rows(jnp.float32))
    reduction = _segment._Reduction(by_index, jnp.sum)
    out = _segment._reduced(reduction, data, index, SEGMENTS)
    np.testing.assert_array_equal(out, segment_sum(data, index, SEGMENTS))
    ((place, number),) = places
    assert number == copies * SEGMENTS
    expected = np.where(index < SEGMENTS, np.arange(num_rows) % copies * SEGMENTS + index, number)
    np.testing.assert_array_equal(np.minimum(place, number), expected)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16, jnp.bfloat16, jnp.int32, jnp.int8])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_reductions_are_the_same(reduction, dtype, monkeypatch):
    data, index = rows(dtype)
    one, other = both_ways(monkeypatch, lambda: reduction(data, index, SEGMENTS))
    assert one.dtype == other.dtype
    np.testing.assert_array_equal(other, one)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradients_are_the_same(reduction, monkeypatch):
    data, index = rows(jnp.float32)
    cotangent = jnp.asarray([[1.0, -2.0], [3.0, 0.5], [7.0, 7.0]])

    def gradient():
        _, vjp = jax.vjp(lambda data: reduction(data, index, SEGMENTS), data)
        return jax.jit(vjp)(cotangent)[0]

    one, other = both_ways(monkeypatch, gradient)
    np.testing.assert_allclose(other, one, rtol=1e-6)
    assert not np.any(other[index >= SEGMENTS])


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_infinities_and_nan_stay_in_their_segment(reduction, monkeypatch):
    data, index = rows(jnp.float32)
    data = data.at[np.flatnonzero(index == 1)[5]].set(jnp.array([-jnp.inf, jnp.nan]))
    data = jnp.where((index >= SEGMENTS)[:, None], jnp.nan, data)
    one, other = both_ways(
        monkeypatch, lambda: jax.jit(reduction, static_argnums=2)(data, index, 3)
    )
    np.testing.assert_array_equal(other, one)
    assert np.isfinite(other[0]).all() and np.isnan(other[1, 1]) and not np.any(other[2])


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_minima_of_float32_are_maxima_of_the_negated(dtype, monkeypatch):
    at = rows(jnp.dtype(dtype))

    def scatters():
        program = str(jax.make_jaxpr(segment_min, static_argnums=2)(*at, SEGMENTS))
        return {name for name in ("scatter-max", "scatter-min") if name in program}

    one, other = both_ways(monkeypatch, scatters)
    assert one == {"scatter-min"}
    assert other == ({"scatter-max"} if dtype == "float32" else one)


def test_several_sets_at_once(monkeypatch):
    data, index = rows(jnp.float32)
    sets = jnp.stack([data, -data])
    one, other = both_ways(
        monkeypatch, lambda: jax.vmap(lambda data: segment_max(data, index, SEGMENTS))(sets)
    )
    np.testing.assert_array_equal(other, one)


def test_counts_are_the_same(monkeypatch):
    _, index = rows(jnp.float32)
    one, other = both_ways(monkeypatch, lambda: segment_count(index, SEGMENTS))
    assert other.dtype == jnp.int32 and other[SEGMENTS - 1] == 0
    np.testing.assert_array_equal(other, one)


def test_top_k_is_the_same_without_a_loop(monkeypatch):
    rng = np.random.default_rng(0)
    sizes = [0, 5, 1, 40, 0, 17]
    index = jnp.asarray(np.repeat(np.arange(len(sizes)), sizes), jnp.int32)
    batch, score = BatchVector(index, len(sizes)), jnp.asarray(rng.normal(size=sum(sizes)))

    def selected():
        function = jax.jit(lambda score: top_k(score, batch, 0.5, 40))
        return function(score), "while" in function.lower(score).as_text()

    (one, has_a_loop), (other, has_one_too) = both_ways(monkeypatch, selected)
    assert has_a_loop and not has_one_too
    for mine, its in zip(one, other, strict=True):
        np.testing.assert_array_equal(its, mine)
