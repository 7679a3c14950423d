import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import (
    DISTINCT,
    Variant,
    assert_close,
    loss_of,
    named,
    random_inputs,
    run,
)

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.mark.parametrize(**named(DISTINCT))
def test_gradients_equal_finite_differences_in_float64(operator: Variant, x64):
    inputs, step = random_inputs(dtype=np.float64), 1e-5
    module = operator.module(np.float64)
    point = (eqx.filter(module, eqx.is_inexact_array), inputs.x, inputs.edge_attr)
    result = run(operator, inputs, module)
    gradient = (result.parameters, result.x, result.edge_attr)
    direction = _random_like(point)

    def loss_at(distance):
        moved = jax.tree.map(lambda leaf, along: leaf + distance * along, point, direction)
        return run(operator, inputs._replace(x=moved[1], edge_attr=moved[2]), moved[0]).loss

    expected = (loss_at(step) - loss_at(-step)) / (2 * step)
    pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True)
    slope = sum(jnp.vdot(leaf, along) for leaf, along in pairs)
    assert abs(slope) > 1e-2
    # The truncation is of the order of step², the rounding of 1e-16 / step.
    np.testing.assert_allclose(slope, expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(**named(DISTINCT))
def test_jacrev_of_the_float_outputs_agrees_with_the_gradient(operator: Variant):
    inputs = random_inputs()

    def floats(x):
        given = inputs._replace(x=x)
        out = operator(operator.module(), given)
        return eqx.filter(out, eqx.is_inexact_array)

    @jax.jit
    def contracted(x):
        slopes = jax.grad(lambda out: loss_of(operator, out, inputs))(floats(x))
        jacobian = jax.jacrev(floats)(x)
        return sum(
            jnp.tensordot(slope, rows, slope.ndim)
            for slope, rows in zip(jax.tree.leaves(slopes), jax.tree.leaves(jacobian), strict=True)
        )

    assert_close(contracted(inputs.x), run(operator, inputs).x)


def _random_like(tree):
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), tree)
