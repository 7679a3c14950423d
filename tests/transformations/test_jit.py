import jax
import numpy as np
import pytest
from helpers import (
    OPERATORS,
    Variant,
    assert_close,
    assert_same,
    describe,
    named,
    num_traces,
    random_inputs,
    run,
    traced_program,
)

from jraphx_eqx.nn._entry import op_by_op

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.fixture(scope="module")
def hundred_batches():
    return [random_inputs(seed) for seed in range(100)]


@pytest.mark.parametrize(**named(OPERATORS))
def test_jit_equals_eager_in_shapes_dtypes_and_values(operator: Variant):
    inputs = random_inputs()
    with op_by_op():
        eager = operator(operator.module(), inputs)
    assert_close(run(operator, inputs).out, eager)


@pytest.mark.parametrize(**named(OPERATORS))
def test_a_hundred_batches_of_one_shape_take_one_trace(operator: Variant, hundred_batches):
    before = num_traces(operator)
    for inputs in hundred_batches:
        result = run(operator, inputs)
        assert np.isfinite(result.loss)
    assert num_traces(operator) <= before + 1


@pytest.mark.parametrize(**named(OPERATORS))
def test_a_program_gives_the_same_bits_twice(operator: Variant):
    inputs = random_inputs(1)
    first, second = run(operator, inputs), run(operator, inputs)
    assert_same(describe(operator, first, inputs), describe(operator, second, inputs))


@pytest.mark.parametrize(**named(OPERATORS))
def test_there_is_no_callback_in_a_program(operator: Variant):
    # Callbacks cannot be exported.
    assert "callback" not in str(traced_program(operator, random_inputs()).jaxpr)


@pytest.mark.parametrize(**named(OPERATORS))
def test_no_result_is_weakly_typed(operator: Variant):
    # It would promote differently, and not fit the carry of a scan.
    for result in traced_program(operator, random_inputs()).jaxpr.out_avals:
        assert not result.weak_type


def test_the_search_for_callbacks_finds_one():
    def checked(x):
        jax.debug.callback(lambda x: None, x)
        return x

    assert "callback" in str(jax.jit(checked).trace(1.0).jaxpr)
