import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import DISTINCT, Operator, named, random_inputs

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize(**named(DISTINCT))
def test_half_precision_goes_in_and_comes_out(operator: Operator, dtype):
    inputs = random_inputs(dtype=dtype)
    module = operator.module(dtype)
    out = jax.jit(lambda inputs: operator(module, inputs))(inputs)
    floats = jax.tree.leaves(eqx.filter(out, eqx.is_inexact_array))
    assert floats and all(leaf.dtype == dtype for leaf in floats)
    assert all(np.isfinite(np.asarray(leaf, np.float32)).all() for leaf in floats)
