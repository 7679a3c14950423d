import jax
import pytest
from helpers import (
    DISTINCT,
    Variant,
    assert_close,
    differentiate,
    entry,
    named,
    random_inputs,
    run,
    stacked,
)

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.mark.parametrize(**named(DISTINCT))
def test_vmap_over_stacked_batches_equals_a_loop(operator: Variant):
    batches = [random_inputs(seed) for seed in range(3)]
    over_batches = jax.vmap(lambda inputs: differentiate(operator, operator.module(), inputs))
    results = jax.jit(over_batches)(stacked(batches))
    for position, inputs in enumerate(batches):
        assert_close(entry(position, results), run(operator, inputs))
