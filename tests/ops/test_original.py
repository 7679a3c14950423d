import jax
import jax.numpy as jnp
import pytest

from jraphx_eqx.ops import original_nodes


def test_nodes_are_followed_through_two_poolings():
    # Of five nodes 4, 0 and 2 are kept, and of these the last and the first; 5 and 4 are padding.
    perms = [jnp.array([4, 0, 2, 5]), jnp.array([2, 0, 4])]
    assert original_nodes(perms[:1], 5).tolist() == [4, 0, 2, 5]
    assert original_nodes(perms, 5).tolist() == [2, 4, 5]
    assert jax.jit(lambda perms: original_nodes(perms, 5))(perms).tolist() == [2, 4, 5]
    assert original_nodes([*perms, jnp.array([1, 2, 3])], 5).tolist() == [4, 5, 5]


def test_no_poolings_are_refused():
    with pytest.raises(ValueError, match="perms must hold the perm of at least one pooling"):
        original_nodes([], 5)
