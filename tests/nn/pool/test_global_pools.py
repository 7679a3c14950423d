import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.pool import global_add_pool, global_max_pool, global_mean_pool, global_min_pool

pytestmark = pytest.mark.usefixtures("quick_compile")

# Graph 1 has no nodes, and the last row is padding.
X = jnp.array([[1.0, -2.0], [5.0, -4.0], [3.0, 0.0], [jnp.nan, jnp.inf]])
BATCH = BatchVector(jnp.array([0, 2, 0, 3]), 3)
EXPECTED = {
    global_add_pool: [[4, -2], [0, 0], [5, -4]],
    global_mean_pool: [[2, -1], [0, 0], [5, -4]],
    global_max_pool: [[3, 0], [0, 0], [5, -4]],
    global_min_pool: [[1, -2], [0, 0], [5, -4]],
}
WHOLE = {
    global_add_pool: [9, -6],
    global_mean_pool: [3, -2],
    global_max_pool: [5, 0],
    global_min_pool: [1, -4],
}


@pytest.mark.parametrize("pool", EXPECTED)
def test_each_graph_is_reduced_on_its_own(pool):
    np.testing.assert_array_equal(pool(X, BATCH), EXPECTED[pool])


@pytest.mark.parametrize("pool", EXPECTED)
def test_one_feature_may_come_without_an_axis(pool):
    np.testing.assert_array_equal(pool(X[:, 0], BATCH), np.array(EXPECTED[pool])[:, 0])


@pytest.mark.parametrize("pool", EXPECTED)
def test_several_sets_of_features_keep_their_axis_in_front(pool):
    out = pool(jnp.stack([X, X + 1]), BATCH)
    assert out.shape == (2, 3, 2)
    np.testing.assert_array_equal(out[0], EXPECTED[pool])


@pytest.mark.parametrize("pool", WHOLE)
def test_without_batch_there_is_one_graph(pool):
    x = X[:3]
    np.testing.assert_array_equal(pool(x), [WHOLE[pool]])
    np.testing.assert_array_equal(pool(x[:, 0]), WHOLE[pool][:1])
    np.testing.assert_array_equal(pool(jnp.stack([x, x])), [WHOLE[pool], WHOLE[pool]])
    np.testing.assert_array_equal(pool(x, size=1), [WHOLE[pool]])
    assert pool(x[None]).shape == (1, 2) and pool(x[None, :, :1]).shape == (1, 1)


@pytest.mark.parametrize("pool", WHOLE)
def test_no_nodes_give_zeros(pool):
    empty = jnp.zeros((0, 2))
    np.testing.assert_array_equal(pool(empty), np.zeros((1, 2), np.float32), strict=True)
    np.testing.assert_array_equal(
        pool(jnp.zeros((3, 0, 2))), np.zeros((3, 2), np.float32), strict=True
    )
    np.testing.assert_array_equal(pool(empty, jnp.zeros(0, jnp.int32), 2), np.zeros((2, 2)))
    assert pool(empty, jnp.zeros(0, jnp.int32)).shape == (0, 2)


@pytest.mark.parametrize("pool", EXPECTED)
def test_bare_ids_may_be_unsorted_and_leave_gaps(pool):
    out = pool(X[:3], jnp.array([0, 2, 0]))
    np.testing.assert_array_equal(out, EXPECTED[pool])
    more = pool(X[:3], jnp.array([0, 2, 0]), 5)
    np.testing.assert_array_equal(more, EXPECTED[pool] + [[0, 0], [0, 0]])


@pytest.mark.parametrize("pool", EXPECTED)
def test_traced_ids_past_the_end_are_padding(pool):
    out = jax.jit(pool, static_argnums=2)(X, jnp.array([0, 2, 0, 7]), 3)
    np.testing.assert_array_equal(out, EXPECTED[pool])


@pytest.mark.parametrize("dtype", [jnp.int8, jnp.int32])
@pytest.mark.parametrize("pool", EXPECTED)
def test_integers_keep_their_dtype_but_for_the_mean(pool, dtype):
    x = X[:3].astype(dtype)
    for out in (pool(x, jnp.array([0, 2, 0])), pool(x), pool(x[:0])):
        assert out.dtype == (jnp.float32 if pool is global_mean_pool else dtype)
    np.testing.assert_array_equal(pool(x, jnp.array([0, 2, 0])), EXPECTED[pool])


def test_a_tied_maximum_shares_its_gradient_with_batch_and_gives_it_to_the_first_without():
    x = jnp.array([2.0, 1.0, 2.0])
    batch = BatchVector(jnp.zeros(3, jnp.int32), 1)
    shared = jax.grad(lambda x: global_max_pool(x, batch)[0])(x)
    first = jax.grad(lambda x: global_max_pool(x)[0])(x)
    np.testing.assert_array_equal(shared, [0.5, 0, 0.5])
    np.testing.assert_array_equal(first, [1, 0, 0])


def test_the_mean_shares_its_gradient_among_the_nodes_of_the_graph():
    gradient = jax.grad(lambda x: global_mean_pool(x, BATCH)[:, 0].sum())(X)
    np.testing.assert_array_equal(gradient, [[0.5, 0], [1, 0], [0.5, 0], [0, 0]])


def test_the_mean_of_no_integers_is_a_float():
    out = global_mean_pool(jnp.zeros((0, 2), jnp.int32))
    assert out.dtype == jnp.float32
    np.testing.assert_array_equal(out, np.zeros((1, 2)))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("batch", [None, BatchVector(jnp.zeros(3000, jnp.int32), 1)])
def test_half_precision_is_added_in_float32(dtype, batch):
    # One by one the sum would stop where a term is less than half a unit in its last place.
    x = jnp.full((3000, 1), 1.25, dtype)
    np.testing.assert_array_equal(global_add_pool(x, batch), jnp.full((1, 1), 3750, dtype))
    np.testing.assert_array_equal(global_mean_pool(x, batch), x[:1])
    numbers = jax.random.uniform(jax.random.key(0), (3000, 4)).astype(dtype)
    exact = np.asarray(numbers, np.float64).sum(axis=0)
    error = np.abs(np.asarray(global_add_pool(numbers, batch), np.float64)[0] - exact) / exact
    assert error.max() <= 0.51 * float(jnp.finfo(dtype).eps)


def test_integers_keep_their_dtype_without_batch():
    x = jnp.full((3, 1), 100, jnp.int8)
    assert global_add_pool(x).dtype == jnp.int8
    np.testing.assert_array_equal(global_add_pool(x.astype(jnp.int32)), [[300]])


@pytest.mark.parametrize("batch", [None, jnp.array([0, 0, 1])])
def test_a_maximum_and_a_minimum_may_be_of_booleans(batch):
    x = jnp.array([[True, False], [False, False], [True, True]])
    largest, least = global_max_pool(x, batch), global_min_pool(x, batch)
    assert largest.dtype == least.dtype == bool
    np.testing.assert_array_equal(
        largest, [[True, True]] if batch is None else [[True, False], [True, True]]
    )
    np.testing.assert_array_equal(
        least, [[False, False]] if batch is None else [[False, False], [True, True]]
    )
    np.testing.assert_array_equal(global_max_pool(x[:2], jnp.array([1, 1]), 3)[0], [False, False])
