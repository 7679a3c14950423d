import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.ops import segment_mean, segment_sum
from jraphx_eqx.ops._vectors import in_vectors

ROWS, SEGMENTS = 9, 3
INDEX = jnp.asarray([2, 0, 3, 0, 2, 7, 2, 0, 2], jnp.int32)
REAL = INDEX < SEGMENTS

on_a_cpu = pytest.mark.skipif(jax.default_backend() != "cpu", reason="vectors are for a CPU")


def rows(width, dtype=np.float32):
    """Of all magnitudes. Padding is NaN and infinite, and so are some real numbers."""
    rng = np.random.default_rng(0)
    data = rng.normal(size=(ROWS, width)) * 10.0 ** rng.integers(-30, 30, (ROWS, width))
    data[2], data[5] = np.nan, np.inf
    data[1, 0], data[4, 0] = np.nan, -np.inf
    return jnp.asarray(data.astype(dtype))


@pytest.mark.parametrize("compiled", [False, True])
def test_real_rows_keep_every_bit(compiled):
    data = rows(64)
    found = (jax.jit(in_vectors) if compiled else in_vectors)(data, REAL)
    np.testing.assert_array_equal(np.asarray(found)[REAL], np.asarray(data)[REAL])


def operations(*arguments):
    return [eqn.primitive.name for eqn in jax.make_jaxpr(in_vectors)(*arguments).eqns]


@on_a_cpu
@pytest.mark.parametrize("shape", [(ROWS, 63), (ROWS, 128), (ROWS,), (ROWS, 64, 1), (ROWS, 1, 64)])
def test_rows_of_other_shapes_are_left_alone(shape):
    assert "mul" in operations(jnp.ones((ROWS, 64)), REAL)
    assert not operations(jnp.ones(shape), REAL)


def test_other_dtypes_and_backends_are_left_alone(x64, monkeypatch):
    for dtype in (np.float64, np.float16, np.int32):
        assert not operations(jnp.ones((ROWS, 64), dtype), REAL)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert not operations(jnp.ones((ROWS, 64), np.float32), REAL)


def test_no_dtype_is_promoted_in_silence():
    with jax.numpy_dtype_promotion("strict"):
        assert in_vectors(rows(64), REAL).dtype == jnp.float32


@on_a_cpu
@pytest.mark.parametrize("reduction", [segment_sum, segment_mean])
def test_the_gradient_of_a_sum_is_that_of_narrower_rows(reduction):
    def both(width):
        cotangent = jnp.asarray(rows(64)[:SEGMENTS, :width])
        out, vjp = jax.vjp(lambda x: reduction(x, INDEX, SEGMENTS), rows(64)[:, :width])
        tangent = jax.jvp(lambda x: reduction(x, INDEX, SEGMENTS), *[(rows(64)[:, :width],)] * 2)
        return out, vjp(cotangent)[0], tangent[1]

    for wide, narrow in zip(both(64), both(63), strict=True):
        np.testing.assert_array_equal(np.asarray(wide)[:, :63], narrow)


def test_padding_gets_no_gradient_even_where_the_cotangent_is_infinite():
    _, vjp = jax.vjp(lambda x: segment_sum(x, INDEX, SEGMENTS), rows(64))
    (gradient,) = vjp(jnp.full((SEGMENTS, 64), jnp.inf, jnp.float32))
    expected = np.where(np.asarray(REAL)[:, None], np.inf, 0)
    np.testing.assert_array_equal(gradient, np.broadcast_to(expected, (ROWS, 64)))
