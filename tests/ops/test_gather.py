import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.ops import gather, gather_once

pytestmark = pytest.mark.usefixtures("quick_compile")
X = jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
# The last two entries are padding: one place past the end, and far past it.
INDEX = jnp.array([2, 0, 3, 100])
COTANGENT = jnp.array([[10.0, 20.0], [30.0, 40.0], [np.nan, np.nan], [np.inf, np.inf]])


@pytest.mark.parametrize("function", [gather, gather_once])
def test_past_the_end_is_filled_even_from_nothing(function):
    np.testing.assert_array_equal(function(X, INDEX), [[5, 6], [1, 2], [0, 0], [0, 0]])
    assert function(jnp.zeros((0, 3)), jnp.array([0, 1])).shape == (2, 3)


@pytest.mark.parametrize("function", [gather, gather_once])
def test_a_gradient_goes_back_to_its_row(function):
    _, pullback = jax.vjp(lambda x: function(x, INDEX), X)
    np.testing.assert_array_equal(pullback(COTANGENT)[0], [[30, 40], [0, 0], [10, 20]])
    _, pullback = jax.vjp(lambda x: function(x, INDEX), jnp.zeros((0, 2)))
    assert pullback(COTANGENT)[0].shape == (0, 2)


@pytest.mark.parametrize("function", [gather, gather_once])
@pytest.mark.parametrize("rows", [0, 3])
def test_nothing_may_be_taken(function, rows):
    nothing = jnp.zeros(0, jnp.int32)
    out, pullback = jax.vjp(lambda x: function(x, nothing), X[:rows])
    np.testing.assert_array_equal(pullback(out)[0], jnp.zeros((rows, 2)))


def test_numbers_are_gathered_like_rows():
    _, pullback = jax.vjp(lambda x: gather_once(x, INDEX), X[:, 0])
    np.testing.assert_array_equal(pullback(COTANGENT[:, 0])[0], [30, 0, 10])


def test_forward_mode_gathers_the_tangents():
    _, tangent = jax.jvp(lambda x: gather_once(x, INDEX), (X,), (10 * X,))
    np.testing.assert_array_equal(tangent, 10 * gather(X, INDEX))


def test_second_derivatives_are_those_of_a_gather():
    def loss(function):
        return lambda x: jnp.sum(jnp.sin(function(x, INDEX)) ** 2)

    ours, theirs = jax.hessian(loss(gather_once))(X), jax.hessian(loss(gather))(X)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_under_vmap_each_batch_has_its_own_index():
    indices = jnp.stack([INDEX, jnp.array([1, 3, 0, 2])])

    def gradient(index):
        return jax.grad(lambda x: jnp.sum(gather_once(x, index) * COTANGENT[:2].sum()))(X)

    expected = [gradient(index) for index in indices]
    np.testing.assert_array_equal(jax.vmap(gradient)(indices), jnp.stack(expected))


@pytest.mark.parametrize("function", [gather, gather_once])
def test_only_the_gradient_of_any_rows_scatters_rows(function):
    program = jax.make_jaxpr(jax.grad(lambda x: jnp.sum(jnp.sin(function(x, INDEX)))))(X)
    assert ("scatter-add" in str(program)) == (function is gather)
