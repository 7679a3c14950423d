import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.ops import wide_dtype


@pytest.mark.parametrize("form", [jnp.dtype, lambda name: name, lambda name: getattr(jnp, name)])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("float16", "float32"),
        ("bfloat16", "float32"),
        ("float32", "float32"),
        ("float64", "float64"),
        ("int32", "int32"),
    ],
)
def test_only_half_precision_is_widened_in_whatever_form_a_dtype_comes(form, name, expected):
    found = wide_dtype(form(name))
    assert isinstance(found, np.dtype) and found == jnp.dtype(expected)
