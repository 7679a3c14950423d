"""Results that are equal by symmetry are equal to the last bit, as users compile them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.nn.conv import GCNConv

NUM_NODES = 4098


@pytest.mark.parametrize("out_features", [1, 5, 64])
def test_two_nodes_that_are_linked_and_to_no_other(out_features):
    rng = np.random.default_rng(0)
    nodes = rng.permutation(NUM_NODES)
    x, edge_index = rng.normal(size=(NUM_NODES, 7)), np.stack([nodes, nodes ^ 1])
    conv = GCNConv(7, out_features, key=jax.random.key(0))
    out = eqx.filter_jit(conv)(jnp.asarray(x, jnp.float32), jnp.asarray(edge_index, jnp.int32))
    np.testing.assert_array_equal(out[::2], out[1::2])
