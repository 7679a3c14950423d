import equinox as eqx
import jax
import pytest
from helpers import (
    DISTINCT,
    Variant,
    assert_close,
    differentiate,
    named,
    random_inputs,
    run,
)

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.mark.parametrize(**named(DISTINCT))
def test_checkpoint_changes_no_value_and_no_gradient(operator: Variant):
    inputs = random_inputs()
    rematerialised = eqx.filter_checkpoint(operator.call)

    @jax.jit
    def program(inputs):
        return differentiate(operator, operator.module(), inputs, rematerialised)

    assert "remat" in str(program.trace(inputs).jaxpr)
    assert_close(program(inputs), run(operator, inputs))
