import jax.numpy as jnp
import numpy as np

from jraphx_eqx.data import Batch, Data

EDGES = jnp.array([[0, 1, 2], [1, 2, 0]], jnp.int32)


def test_the_number_of_nodes_comes_from_x_then_pos_then_extras():
    assert Data(jnp.ones((4, 2)), EDGES).num_nodes == 4
    assert Data(edge_index=EDGES, pos=jnp.ones((5, 3))).num_nodes == 5
    assert Data(edge_index=EDGES, extras={"node": {"mass": np.ones(6)}}).num_nodes == 6


def test_the_number_of_nodes_can_be_given_where_nothing_tells_it():
    data = Data(edge_index=EDGES, num_nodes=7)
    assert (data.num_nodes, data.num_edges) == (7, 3)


def test_a_graph_may_have_no_nodes_and_no_edges():
    data = Data(jnp.zeros((0, 3)), jnp.zeros((2, 0), jnp.int32))
    assert (data.num_nodes, data.num_edges) == (0, 0)


def test_arrays_are_kept_as_they_are():
    x, edge_index = np.ones((3, 2)), np.array([[0], [2]])
    data = Data(x, edge_index)
    assert data.x is x
    assert data.edge_index is edge_index


def test_narrow_indices_are_widened_to_32_bits():
    assert Data(np.ones(3), np.array([[0], [2]], np.int8)).edge_index.dtype == np.int32
    assert Data(jnp.ones(3), jnp.array([[0], [2]], jnp.int16)).edge_index.dtype == np.int32
    assert Data(np.ones(3), np.array([[0], [2]], np.int64)).edge_index.dtype == np.int64


def test_a_label_may_be_a_python_number():
    data = Data(np.ones(3), EDGES, y=2, extras={"graph": {"weight": 0.5}})
    assert data.y.shape == ()
    assert data.y == 2
    assert data.extras["graph"]["weight"] == 0.5


def test_pad_gives_a_batch_of_one_graph():
    batch = Data(jnp.arange(3.0), EDGES, y=1).pad(num_nodes=5, num_edges=4)
    assert isinstance(batch, Batch)
    np.testing.assert_array_equal(batch.x, [0, 1, 2, 0, 0])
    np.testing.assert_array_equal(batch.edge_index, [[0, 1, 2, 5], [1, 2, 0, 5]])
    np.testing.assert_array_equal(batch.batch.index, [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(batch.y, [1])
    np.testing.assert_array_equal(batch.graph_mask, [True])
