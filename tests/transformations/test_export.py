import jax
import numpy as np
import pytest
from helpers import (
    DISTINCT,
    Inputs,
    Variant,
    assert_close,
    named,
    random_inputs,
    run,
)
from jax import export

pytestmark = pytest.mark.usefixtures("quick_compile")
pytest.importorskip("flatbuffers")
export.register_namedtuple_serialization(Inputs, serialized_name="tests.helpers.Inputs")


def exported(operator, inputs, vjp_order=0):
    program = jax.jit(lambda inputs: operator(operator.module(), inputs))
    written = export.export(program)(inputs).serialize(vjp_order=vjp_order)
    return export.deserialize(written)


@pytest.mark.parametrize(**named(DISTINCT))
def test_an_exported_operator_is_read_back_and_called(operator: Variant):
    reloaded = exported(operator, random_inputs(0))
    other = random_inputs(1)
    assert_close(reloaded.call(other), run(operator, other).out)


def test_an_exported_pooling_can_be_differentiated():
    inputs = random_inputs()
    [topk] = [operator for operator in DISTINCT if operator.name == "topk"]
    reloaded = exported(topk, inputs, vjp_order=1)

    def total(call, x):
        return call(inputs._replace(x=x)).x.sum()

    ours = jax.grad(lambda x: total(reloaded.call, x))(inputs.x)
    direct = jax.grad(lambda x: total(lambda inputs: topk(topk.module(), inputs), x))(inputs.x)
    assert np.any(direct != 0)
    assert_close(ours, direct)
