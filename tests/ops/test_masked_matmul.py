import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.ops import masked_matmul
from jraphx_eqx.ops._masked_matmul import _BLOCK

pytestmark = pytest.mark.usefixtures("quick_compile")

# One row; rows that do not fill two blocks; whole blocks; blocks and a rest.
ROWS = [1, _BLOCK + 1, 2 * _BLOCK, 3 * _BLOCK + 5]
FEATURES = 3


def example(rows, columns=()):
    rng = np.random.default_rng(rows)
    x = rng.integers(-8, 8, (rows, FEATURES)).astype(np.float32)
    weight = rng.integers(-8, 8, (FEATURES, *columns)).astype(np.float32)
    mask = rng.random(rows) < 0.8
    x[~mask] = np.nan
    return jnp.asarray(x), jnp.asarray(weight), jnp.asarray(mask)


def test_by_hand():
    x = jnp.array([[1.0, 2.0], [jnp.nan, jnp.inf], [3.0, 4.0]])
    out = masked_matmul(x, jnp.array([10.0, 1.0]), jnp.array([True, False, True]))
    np.testing.assert_array_equal(out, [12, 0, 34])


@pytest.mark.parametrize("columns", [(), (2,)])
@pytest.mark.parametrize("rows", ROWS)
def test_values_and_gradients_are_those_of_the_rows_inside_the_mask(rows, columns):
    x, weight, mask = example(rows, columns)
    cotangent = jnp.ones((rows, *columns)).at[::2].set(-3)
    out, pullback = jax.vjp(jax.jit(lambda x, w: masked_matmul(x, w, mask)), x, weight)
    x_gradient, weight_gradient = pullback(cotangent)
    inside = np.asarray(mask)
    np.testing.assert_array_equal(out[inside], x[inside] @ weight)
    np.testing.assert_array_equal(out[~inside], 0)
    np.testing.assert_array_equal(weight_gradient, x[inside].T @ cotangent[inside])
    expected = cotangent.reshape(rows, -1) @ weight.reshape(FEATURES, -1).T
    np.testing.assert_array_equal(x_gradient, jnp.where(mask[:, None], expected, 0))


@pytest.mark.parametrize("rows", ROWS)
def test_forward_mode_agrees_with_reverse_mode(rows):
    x, weight, mask = example(rows)
    step = jnp.arange(1.0, FEATURES + 1)
    _, tangent = jax.jvp(lambda w: masked_matmul(x, w, mask), (weight,), (step,))
    np.testing.assert_array_equal(
        tangent, jnp.where(mask, jnp.where(mask[:, None], x, 0) @ step, 0)
    )


def test_under_vmap_each_batch_has_its_own_mask():
    x, weight, mask = example(ROWS[-1])
    masks = jnp.stack([mask, mask & (jnp.arange(mask.size) % 2 == 0)])

    def gradient(mask):
        return jax.grad(lambda w: jnp.sum(masked_matmul(x, w, mask)))(weight)

    expected = jnp.stack([jnp.where(m[:, None], x, 0).sum(0) for m in masks])
    np.testing.assert_array_equal(jax.vmap(gradient)(masks), expected)


def test_the_gradient_copies_no_masked_x():
    rows, features = 4 * _BLOCK, 64
    x, weight, mask = jnp.ones((rows, features)), jnp.ones(features), jnp.ones(rows, bool)

    def loss(weight, x, mask):
        return jnp.sum(jnp.sin(masked_matmul(x, weight, mask)))

    program = jax.jit(jax.grad(loss)).lower(weight, x, mask).compile()
    memory = program.memory_analysis()
    assert memory is not None
    assert memory.temp_size_in_bytes < x.nbytes / 2
