"""The messages that do not depend on jaxtyping; where it is on, its own error comes first."""

import jax.numpy as jnp
import pytest

from jraphx_eqx.nn._check import check_edge_attr, check_edge_index, check_features

FLOAT32 = jnp.dtype(jnp.float32)


def test_features_of_the_right_kind_pass():
    check_features(jnp.ones((2, 3)), 3, FLOAT32)
    check_features(jnp.ones((0, 3)), None, FLOAT32)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            jnp.ones(4),
            r"x must have shape \(nodes, 3\), got \(4,\); add a feature axis, x\[:, None",
        ),
        (jnp.ones((1, 4, 3)), r"x must have shape \(nodes, 3\), got \(1, 4, 3\)$"),
        (jnp.ones((4, 2)), r"x must have 3 features, as given by in_features, got 2"),
        (jnp.ones((4, 3), jnp.int32), "dtype of the parameters, float32, got int32; cast"),
    ],
)
def test_wrong_features_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        check_features(x, 3, FLOAT32)


def test_the_argument_is_named():
    with pytest.raises(ValueError, match=r"attn must have shape .* attn\[:, None\]"):
        check_features(jnp.ones(4), 3, FLOAT32, name="attn")


@pytest.mark.parametrize(
    ("edge_index", "message"),
    [
        (jnp.zeros((5, 2), int), r"got \(5, 2\); it looks transposed: pass edge_index\.T"),
        (jnp.zeros((3, 5), int), r"edge_index must have shape \(2, edges\), got \(3, 5\)$"),
        (jnp.zeros(2, int), r"edge_index must have shape \(2, edges\), got \(2,\)$"),
        (jnp.zeros((2, 5)), "edge_index must have dtype int32 or int64, got float32"),
        (jnp.zeros((2, 5), bool), "edge_index must have dtype int32 or int64, got bool"),
        (jnp.zeros((2, 5), jnp.int16), "edge_index must have dtype int32 or int64, got int16"),
        (jnp.zeros((2, 5), jnp.uint32), "edge_index must have dtype int32 or int64, got uint32"),
    ],
)
def test_wrong_edges_are_refused(edge_index, message):
    with pytest.raises(ValueError, match=message):
        check_edge_index(edge_index)


def test_edges_of_the_right_kind_pass(x64):
    check_edge_index(jnp.zeros((2, 0), jnp.int32))
    check_edge_index(jnp.zeros((2, 2), jnp.int64))
    check_edge_attr(None, jnp.zeros((2, 3), int))
    check_edge_attr(jnp.ones((3, 2, 2)), jnp.zeros((2, 3), int))


@pytest.mark.parametrize("shape", [(), (2,), (4, 3)])
def test_attributes_need_one_row_for_each_edge(shape):
    with pytest.raises(ValueError, match="edge_attr must have one row for each of the 3 edges"):
        check_edge_attr(jnp.ones(shape), jnp.zeros((2, 3), int))
