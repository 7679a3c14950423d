import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import BatchVector, is_traced, resolve_batch

IDS = jnp.array([2, 0, 2], jnp.int32)


def test_counts_and_mask_leave_padding_out():
    vector = BatchVector(jnp.array([1, 3, 1, 0, 4], jnp.int32), 3)
    np.testing.assert_array_equal(vector.counts, [1, 2, 0])
    np.testing.assert_array_equal(vector.node_mask, [True, False, True, True, False])


def test_without_batch_there_is_one_graph():
    for size in (None, 1):
        vector = resolve_batch(None, 3, size)
        np.testing.assert_array_equal(vector.index, [0, 0, 0])
        assert vector.num_graphs == 1


def test_one_graph_is_counted_without_a_scatter():
    # As it compiles, XLA would add up a constant batch vector, node by node.
    alone = jax.make_jaxpr(lambda: resolve_batch(None, 3).counts)()
    several = jax.make_jaxpr(lambda: BatchVector(IDS, 3).counts)()
    assert "scatter" not in str(alone) and "scatter" in str(several)


def test_a_bare_array_is_looked_at():
    assert resolve_batch(IDS, 3).num_graphs == 3
    assert resolve_batch(IDS, 3, 5).num_graphs == 5
    assert resolve_batch(jnp.zeros(0, jnp.int32), 0).num_graphs == 0


def test_a_captured_array_is_looked_at_under_jit():
    assert jax.jit(lambda x: x + resolve_batch(IDS, 3).num_graphs)(0) == 3


def test_a_traced_array_needs_a_size():
    sized = eqx.filter_jit(lambda ids: resolve_batch(ids, 3, 4))(IDS)
    assert sized.num_graphs == 4
    with pytest.raises(ValueError, match="size must be given where batch is traced"):
        jax.jit(lambda ids: resolve_batch(ids, 3).index)(IDS)


def test_a_batch_vector_carries_its_size_through_jit():
    vector = BatchVector(IDS, 7)
    assert eqx.filter_jit(lambda v: resolve_batch(v, 3))(vector).num_graphs == 7


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: BatchVector(IDS, -1), "num_graphs must not be negative, got -1"),
        (lambda: BatchVector(IDS, 3, -1), "max_count must not be negative, got -1"),
        (lambda: BatchVector(IDS, 3, 1), "holds a graph of 2 nodes, more than max_count=1; raise"),
        (lambda: BatchVector(IDS - 1, 3), "batch must not hold negative ids, got -1"),
        (lambda: resolve_batch(IDS, 4), r"one entry for each of the 4 nodes, got shape \(3,\)"),
        (lambda: resolve_batch(BatchVector(IDS, 3), 2), "one entry for each of the 2 nodes"),
        (lambda: resolve_batch(BatchVector(IDS, 3), 3, 4), "size is 4, but batch holds 3 graphs"),
        (lambda: resolve_batch(IDS, 3, 2), "ids below size=2, got 2"),
        (lambda: resolve_batch(IDS - 1, 3), "batch must not hold negative ids, got -1"),
        (lambda: resolve_batch(None, 3, 2), "size must be None or 1 without a batch vector"),
        (lambda: resolve_batch(IDS, 3, -1), "size must not be negative, got -1"),
    ],
)
def test_wrong_values_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_is_traced_tells_tracers_from_values():
    seen = []
    jax.jit(lambda x: seen.append(is_traced(IDS, x)) or x)(1.0)
    assert seen == [True]
    assert not is_traced(IDS, np.ones(2), 3)


def test_a_bound_holds_for_the_nodes_of_a_graph_and_not_for_padding():
    assert BatchVector(IDS, 3, 2).max_count == 2
    assert BatchVector(jnp.array([0, 1, 1, 1], jnp.int32), 1, 1).max_count == 1


def test_a_bound_that_is_given_to_a_traced_vector_is_checked_at_run_time():
    call = jax.jit(lambda ids, most: BatchVector(ids, 3, most).counts, static_argnums=1)
    np.testing.assert_array_equal(call(IDS, 2), [1, 0, 2])
    with pytest.raises(Exception, match="more nodes than max_count=1; raise max_count"):
        jax.block_until_ready(call(IDS, 1))


def test_a_vector_from_outside_keeps_its_bound_and_needs_no_callback():
    made = jax.make_jaxpr(lambda vector: resolve_batch(vector, 3).counts)(BatchVector(IDS, 3, 2))
    assert "callback" not in str(made)
    kept = eqx.filter_jit(lambda vector: resolve_batch(vector, 3))(BatchVector(IDS, 3, 2))
    assert kept.max_count == 2
