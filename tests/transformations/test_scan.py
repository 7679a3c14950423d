import jax
import jax.numpy as jnp
import pytest
from helpers import DISTINCT, Variant, assert_close, entry, named, random_inputs, run, stacked

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.mark.parametrize(**named(DISTINCT))
def test_scan_over_batches_equals_a_loop(operator: Variant):
    batches = [random_inputs(seed) for seed in range(3)]

    def step(count, inputs):
        return count + 1, operator(operator.module(), inputs)

    count, results = jax.jit(lambda xs: jax.lax.scan(step, jnp.int32(0), xs))(stacked(batches))
    assert count == 3
    for position, inputs in enumerate(batches):
        assert_close(entry(position, results), run(operator, inputs).out)
