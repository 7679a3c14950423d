import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.ops import _scale_rows, scale_rows

pytestmark = pytest.mark.usefixtures("quick_compile")


def example(rows=5, features=3, dtype=np.float32):
    rng = np.random.default_rng(rows)
    x = rng.integers(-8, 8, (rows, features)).astype(dtype)
    weight = rng.integers(-8, 8, rows).astype(dtype)
    cotangent = rng.integers(-8, 8, (rows, features)).astype(dtype)
    return jnp.asarray(x), jnp.asarray(weight), jnp.asarray(cotangent)


def test_by_hand():
    x, weight = jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([10.0, -1.0])
    out, pullback = jax.vjp(scale_rows, x, weight)
    x_gradient, weight_gradient = pullback(jnp.array([[1.0, 1.0], [5.0, 0.0]]))
    np.testing.assert_array_equal(out, [[10, 20], [-3, -4]])
    np.testing.assert_array_equal(x_gradient, [[10, 10], [-5, 0]])
    np.testing.assert_array_equal(weight_gradient, [3, 15])


@pytest.mark.parametrize("writes_products", [True, False])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (1, 1), (5, 3), (300, 64)])
def test_gradients_are_those_of_the_product(shape, dtype, writes_products, monkeypatch):
    if dtype == "bfloat16" and jax.default_backend() == "gpu":
        pytest.skip("a GPU rounds sums of bfloat16 on the way")
    monkeypatch.setattr(_scale_rows, "_WRITES_PRODUCTS", writes_products)
    x, weight, cotangent = example(*shape, jnp.dtype(dtype))
    out, pullback = jax.vjp(jax.jit(scale_rows), x, weight)
    x_gradient, weight_gradient = pullback(cotangent)
    assert out.dtype == x_gradient.dtype == weight_gradient.dtype == x.dtype
    wide = [np.asarray(array, np.float64) for array in (x, weight, cotangent)]
    np.testing.assert_array_equal(out, wide[0] * wide[1][:, None])
    np.testing.assert_array_equal(x_gradient, wide[2] * wide[1][:, None])
    expected = (wide[0] * wide[2]).sum(1)
    np.testing.assert_array_equal(weight_gradient, expected.astype(x.dtype))


def test_forward_mode_and_second_derivatives():
    x, weight, cotangent = example()
    step = (cotangent, weight[::-1])
    _, tangent = jax.jvp(scale_rows, (x, weight), step)
    np.testing.assert_array_equal(tangent, cotangent * weight[:, None] + x * step[1][:, None])

    def loss(weight):
        return jnp.sum(scale_rows(x, weight) ** 2)

    expected = np.diag(2 * np.sum(np.asarray(x) ** 2, axis=1))
    np.testing.assert_array_equal(jax.hessian(loss)(weight), expected)


def test_under_vmap():
    x, weight, cotangent = example()
    weights = jnp.stack([weight, 2 * weight])
    found = jax.vmap(lambda w: jax.vjp(scale_rows, x, w)[1](cotangent)[1])(weights)
    np.testing.assert_array_equal(found, jnp.stack([jnp.sum(x * cotangent, axis=1)] * 2))


def test_what_is_nan_stays_in_its_row():
    x, weight, cotangent = example()
    _, pullback = jax.vjp(scale_rows, x.at[1].set(jnp.nan), weight)
    assert np.isnan(pullback(cotangent)[1]).tolist() == [False, True, False, False, False]


def test_the_gradient_writes_no_product():
    x, weight, cotangent = example(4096, 64)
    program = jax.jit(lambda x, w, c: jax.vjp(scale_rows, x, w)[1](c)[1])
    memory = program.lower(x, weight, cotangent).compile().memory_analysis()
    assert memory is not None
    assert memory.temp_size_in_bytes < x.nbytes / 8
