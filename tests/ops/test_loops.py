import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.ops import add_self_loops, degree, remove_self_loops


def test_edges_with_one_end_past_the_last_node_become_padding():
    edge_index = jnp.array([[0, 1, 3, 2], [1, 1, 4, 9]])
    found, weight = remove_self_loops(edge_index, jnp.array([1.0, 2.0, 3.0, 4.0]), 4)
    np.testing.assert_array_equal(found, [[0, 4, 4, 4], [1, 4, 4, 4]])
    np.testing.assert_array_equal(weight, [1, 0, 0, 0])


def test_new_self_loops_have_weight_1_in_the_dtype_of_the_others():
    edge_index, weight = jnp.array([[0], [1]]), jnp.array([0.5], jnp.float16)
    found, weight = add_self_loops(edge_index, weight, 2)
    np.testing.assert_array_equal(found, [[0, 0, 1], [1, 0, 1]])
    assert weight is not None and weight.dtype == jnp.float16
    np.testing.assert_array_equal(weight, [0.5, 1, 1])


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_new_self_loops_have_the_dtype_of_the_edges(dtype, x64):
    found, _ = add_self_loops(jnp.array([[0], [1]], dtype), None, 2)
    assert found.dtype == dtype


@pytest.mark.parametrize("x64", [False, True])
def test_degrees_are_of_the_default_float_dtype_or_of_the_one_asked_for(x64):
    with jax.enable_x64(x64):
        index = jnp.array([0, 2, 2, 5])
        found = degree(index, 3)
        assert found.dtype == (jnp.float64 if x64 else jnp.float32)
        np.testing.assert_array_equal(found, [1, 0, 2])
        assert degree(index, 3, dtype=jnp.dtype("float16")).dtype == jnp.float16
