import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import Batch, BatchVector, Data

EDGES = jnp.array([[0, 1], [1, 0]], jnp.int32)


def pair(value, num_graphs=2):
    """Graphs of two joined nodes, whose features are `value`, in a batch of one padded shape."""
    graphs = [Data(jnp.full((2, 3), value), EDGES, y=float(value))] * num_graphs
    return Batch.from_data_list(graphs).pad(num_nodes=6, num_edges=6, num_graphs=3)


def sums(batch):
    """The sum of all features of each graph."""
    index, size = batch.batch.index, batch.num_graphs
    return jax.ops.segment_sum(batch.x.sum(axis=1), index, size + 1)[:-1]


def test_vmap_over_stacked_batches_is_a_loop_over_batches():
    batches = [pair(1.0), pair(2.0, num_graphs=1), pair(3.0)]
    stacked = jax.tree.map(lambda *arrays: jnp.stack(arrays), *batches)
    np.testing.assert_array_equal(jax.vmap(sums)(stacked), [[6, 6, 0], [12, 0, 0], [18, 18, 0]])


def test_batches_of_one_padded_shape_trace_once():
    traces = []

    @eqx.filter_jit
    def step(batch):
        traces.append(batch.num_nodes)
        return sums(batch)

    for value in range(5):
        np.testing.assert_array_equal(step(pair(float(value)))[:2], [6 * value] * 2)
    step(pair(1.0, num_graphs=1))
    assert traces == [6]


def test_data_goes_through_jit():
    data = Data(np.ones((2, 3), np.float32), np.asarray(EDGES), y=4)
    doubled = eqx.filter_jit(lambda data: eqx.tree_at(lambda d: d.x, data, data.x * 2))(data)
    np.testing.assert_array_equal(doubled.x, 2 * np.ones((2, 3)))
    assert doubled.num_nodes == 2


def test_collating_and_padding_inside_jit_equal_those_outside():
    graphs = [Data(jnp.ones((2, 3)), EDGES, y=1.0), Data(jnp.zeros((1, 3)), EDGES[:, :0], y=2.0)]

    def build(graphs):
        return Batch.from_data_list(graphs).pad(num_nodes=5, num_edges=3, num_graphs=4)

    inside, outside = eqx.filter_jit(build)(graphs), build(graphs)
    assert eqx.tree_equal(inside, outside, typematch=True)


def test_padding_rows_give_no_gradient():
    x = jnp.array([1.0, jnp.nan])
    vector = BatchVector(jnp.array([0, 1], jnp.int32), 1)
    no_edges = jnp.zeros((2, 0), jnp.int32)

    def total(x):
        return Batch(x, no_edges, batch=vector).pad(num_nodes=3).x.sum()

    np.testing.assert_array_equal(jax.jit(jax.grad(total))(x), [1, 0])


@pytest.mark.parametrize("method", [Batch.trim, Batch.to_data_list])
def test_what_depends_on_values_is_refused_under_tracing(method):
    with pytest.raises(ValueError, match="cannot run under tracing"):
        eqx.filter_jit(lambda batch: jax.tree.leaves(method(batch))[0])(pair(1.0))


@pytest.mark.parametrize("method", [Batch.trim, Batch.to_data_list, Batch.pad])
def test_stacked_batches_are_refused(method):
    stacked = jax.tree.map(lambda array: jnp.stack([array, array]), pair(1.0))
    with pytest.raises(ValueError, match="several batches were stacked"):
        method(stacked)


def test_constants_of_a_traced_function_are_checked():
    def build(x):
        bad = np.array([[0, 2], [1, 9]], np.int32)
        return Batch(x, bad, batch=BatchVector(jnp.zeros(2, jnp.int32), 1)).x

    with pytest.raises(ValueError, match=r"edge 1 has \(2, 9\)"):
        jax.jit(build)(jnp.ones(2))
