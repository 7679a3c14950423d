import jax
import jax.numpy as jnp
import numpy as np

from jraphx_eqx.ops._spread import spread_labels


def test_labels_go_along_the_edges_by_majority_and_then_by_the_smallest():
    # 3 gets two labels 1 and one 0; 4 two edges with 0; 5 one of each, and passes it on to 6 and 7.
    ends = [0, 1, 2, 0, 0, 1, 1, 0, 5, 6, 7, 9], [3, 3, 3, 4, 4, 4, 5, 5, 6, 7, 0, 9]
    label = jnp.array([0, 1, 1, 9, 9, 9, 9, 9, 9], jnp.int32)
    edges, spread = jnp.array(ends, jnp.int32), jax.jit(spread_labels, static_argnums=2)
    for rounds, far in ((1, [9, 9]), (2, [0, 9])):
        np.testing.assert_array_equal(spread(edges, label, rounds), [0, 1, 1, 1, 0, 0, *far, 9])
    # The other way round nothing reaches 3 and 4, and 7 and 6 come first.
    np.testing.assert_array_equal(spread(edges[::-1], label, 2), [0, 1, 1, 9, 9, 9, 0, 0, 9])
