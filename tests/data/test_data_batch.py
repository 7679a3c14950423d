import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import Batch, BatchVector, Data


def path_and_loop():
    """A path of three nodes, then one node with an edge to itself."""
    path = Data(
        np.array([[1.0], [2.0], [3.0]], np.float32),
        np.array([[0, 1], [1, 2]], np.int32),
        edge_attr=np.array([10.0, 20.0], np.float32),
        y=np.array([7, 8], np.int32),
        extras={"node": {"seen": np.array([True, False, True])}, "graph": {"weight": 0.5}},
    )
    loop = Data(
        np.array([[4.0]], np.float32),
        np.array([[0], [0]], np.int32),
        edge_attr=np.array([30.0], np.float32),
        y=np.array([9, 9], np.int32),
        extras={"node": {"seen": np.array([True])}, "graph": {"weight": 2.0}},
    )
    return path, loop


def assert_same(batch, other):
    ours, theirs = jax.tree.flatten(batch), jax.tree.flatten(other)
    assert ours[1] == theirs[1]
    for left, right in zip(ours[0], theirs[0], strict=True):
        assert (left.shape, left.dtype) == (right.shape, right.dtype)
        np.testing.assert_array_equal(left, right)


def test_from_data_list_shifts_indices_and_stacks_what_belongs_to_graphs():
    batch = Batch.from_data_list(path_and_loop())
    np.testing.assert_array_equal(batch.x, [[1], [2], [3], [4]])
    np.testing.assert_array_equal(batch.edge_index, [[0, 1, 3], [1, 2, 3]])
    np.testing.assert_array_equal(batch.edge_attr, [10, 20, 30])
    np.testing.assert_array_equal(batch.y, [[7, 8], [9, 9]])
    np.testing.assert_array_equal(batch.extras["node"]["seen"], [True, False, True, True])
    np.testing.assert_array_equal(batch.extras["graph"]["weight"], [0.5, 2.0])
    np.testing.assert_array_equal(batch.batch.index, [0, 0, 0, 1])
    np.testing.assert_array_equal(batch.graph_mask, [True, True])
    assert (batch.num_nodes, batch.num_edges, batch.num_graphs) == (4, 3, 2)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(batch))


def test_pad_writes_indices_past_the_end_and_zeros():
    batch = Batch.from_data_list(path_and_loop()).pad(num_nodes=6, num_edges=5, num_graphs=3)
    np.testing.assert_array_equal(batch.x[:, 0], [1, 2, 3, 4, 0, 0])
    np.testing.assert_array_equal(batch.edge_index, [[0, 1, 3, 6, 6], [1, 2, 3, 6, 6]])
    np.testing.assert_array_equal(batch.edge_attr, [10, 20, 30, 0, 0])
    np.testing.assert_array_equal(batch.y, [[7, 8], [9, 9], [0, 0]])
    np.testing.assert_array_equal(batch.extras["graph"]["weight"], [0.5, 2, 0])
    np.testing.assert_array_equal(
        batch.extras["node"]["seen"], [True, False, True, True, False, False]
    )
    np.testing.assert_array_equal(batch.batch.index, [0, 0, 0, 1, 3, 3])
    np.testing.assert_array_equal(batch.graph_mask, [True, True, False])
    np.testing.assert_array_equal(batch.node_mask, [True] * 4 + [False] * 2)
    np.testing.assert_array_equal(batch.edge_mask, [True] * 3 + [False] * 2)


def test_padding_twice_is_padding_once():
    batch = Batch.from_data_list(path_and_loop())
    twice = batch.pad(num_nodes=5, num_graphs=4).pad(num_nodes=8, num_edges=9, num_graphs=5)
    assert_same(twice, batch.pad(num_nodes=8, num_edges=9, num_graphs=5))


def test_pad_without_sizes_changes_nothing():
    batch = Batch.from_data_list(path_and_loop()).pad(num_nodes=5, num_edges=4, num_graphs=3)
    assert_same(batch.pad(), batch)


def test_pad_clears_old_padding_rows():
    batch = Batch(
        np.array([1.0, np.nan], np.float32),
        np.array([[0, 2], [0, 2]], np.int32),
        edge_attr=np.array([1.0, np.inf], np.float32),
        y=np.array([5.0, np.nan], np.float32),
        batch=BatchVector(jnp.array([0, 2], jnp.int32), 2),
        graph_mask=np.array([True, False]),
    ).pad(num_nodes=3)
    np.testing.assert_array_equal(batch.x, [1, 0, 0])
    np.testing.assert_array_equal(batch.edge_index, [[0, 3], [0, 3]])
    np.testing.assert_array_equal(batch.edge_attr, [1, 0])
    np.testing.assert_array_equal(batch.y, [5, 0])


def test_trim_undoes_pad():
    batch = Batch.from_data_list(path_and_loop())
    assert_same(batch.pad(num_nodes=6, num_edges=5, num_graphs=4).trim(), batch)
    assert_same(batch.trim(), batch)


def test_trim_finds_padding_anywhere():
    # Nodes 0 and 3, edge 1 and graph 0 are padding; graph 2 is empty, but real.
    batch = Batch(
        np.array([0.0, 1.0, 2.0, 0.0], np.float32),
        np.array([[1, 4, 2], [2, 4, 2]], np.int32),
        y=np.array([0, 11, 12], np.int32),
        batch=BatchVector(jnp.array([3, 1, 1, 3], jnp.int32), 3),
        graph_mask=np.array([False, True, True]),
    ).trim()
    np.testing.assert_array_equal(batch.x, [1, 2])
    np.testing.assert_array_equal(batch.edge_index, [[0, 1], [1, 1]])
    np.testing.assert_array_equal(batch.batch.index, [0, 0])
    np.testing.assert_array_equal(batch.y, [11, 12])
    np.testing.assert_array_equal(batch.graph_mask, [True, True])


def test_an_edge_between_padding_nodes_is_padding():
    batch = Batch(
        np.ones(3, np.float32),
        np.array([[0, 1], [0, 2]], np.int32),
        batch=BatchVector(jnp.array([0, 1, 1], jnp.int32), 1),
    )
    np.testing.assert_array_equal(batch.edge_mask, [True, False])
    np.testing.assert_array_equal(batch.pad().edge_index, [[0, 3], [0, 3]])
    np.testing.assert_array_equal(batch.trim().edge_index, [[0], [0]])


def test_to_data_list_gives_the_graphs_back():
    padded = Batch.from_data_list(path_and_loop()).pad(num_nodes=9, num_edges=9, num_graphs=9)
    for ours, theirs in zip(padded.to_data_list(), path_and_loop(), strict=True):
        assert ours.num_nodes == theirs.num_nodes
        assert set(ours.extras["node"]) == set(theirs.extras["node"])
        np.testing.assert_array_equal(ours.x, theirs.x)
        np.testing.assert_array_equal(ours.edge_index, theirs.edge_index)
        np.testing.assert_array_equal(ours.edge_attr, theirs.edge_attr)
        np.testing.assert_array_equal(ours.y, theirs.y)


def test_to_data_list_collects_interleaved_graphs():
    batch = Batch(
        np.array([10.0, 20.0, 11.0, 21.0], np.float32),
        np.array([[3, 0, 1], [1, 2, 3]], np.int32),
        edge_attr=np.array([1.0, 2.0, 3.0], np.float32),
        batch=BatchVector(jnp.array([0, 1, 0, 1], jnp.int32), 2),
    )
    first, second = batch.to_data_list()
    np.testing.assert_array_equal(first.x, [10, 11])
    np.testing.assert_array_equal(first.edge_index, [[0], [1]])
    np.testing.assert_array_equal(first.edge_attr, [2])
    np.testing.assert_array_equal(second.x, [20, 21])
    np.testing.assert_array_equal(second.edge_index, [[1, 0], [0, 1]])
    np.testing.assert_array_equal(second.edge_attr, [1, 3])


def test_a_batch_of_no_graphs_can_be_padded_and_trimmed():
    empty = Batch.from_data_list([])
    assert (empty.num_nodes, empty.num_edges, empty.num_graphs) == (0, 0, 0)
    assert empty.to_data_list() == []
    padded = empty.pad(num_nodes=2, num_edges=1, num_graphs=1)
    np.testing.assert_array_equal(padded.batch.index, [1, 1])
    np.testing.assert_array_equal(padded.edge_index, [[2], [2]])
    assert padded.to_data_list() == []
    assert_same(padded.trim(), empty)


def test_narrow_indices_are_widened_before_padding_overflows_them():
    batch = Batch(
        edge_index=np.array([[0], [1]], np.int8),
        batch=BatchVector(jnp.array([0, 0], jnp.int8), 1),
    ).pad(num_nodes=300, num_edges=2, num_graphs=200)
    assert batch.edge_index.dtype == batch.batch.index.dtype == jnp.int32
    np.testing.assert_array_equal(batch.edge_index, [[0, 300], [1, 300]])
    assert batch.batch.index[-1] == 200


def test_64_bit_indices_and_features_stay_so_where_jax_has_them():
    data = Data(np.ones((2, 1)), np.array([[0], [1]], np.int64), y=1.5)
    with jax.enable_x64(True):
        batch = Batch.from_data_list([data, data]).pad(num_nodes=5, num_edges=3)
        assert batch.edge_index.dtype == jnp.int64
        assert batch.x.dtype == batch.y.dtype == jnp.float64
        assert batch.trim().edge_index.dtype == jnp.int64
    with jax.enable_x64(False):
        assert Batch.from_data_list([data, data]).edge_index.dtype == jnp.int32


def test_numpy_float64_and_jax_float32_graphs_agree_without_x64():
    edge_index = np.zeros((2, 0), np.int32)
    with jax.enable_x64(False):
        graphs = [Data(np.ones(1), edge_index), Data(jnp.ones(1), edge_index)]
        np.testing.assert_array_equal(Batch.from_data_list(graphs).x, [1, 1])


def test_a_batch_does_not_share_memory_with_numpy_arrays():
    x = np.ones((1000, 640), np.float32)
    batch = Batch(x, np.zeros((2, 0), np.int32), batch=BatchVector(jnp.zeros(1000, jnp.int32), 1))
    x[:] = 7
    np.testing.assert_array_equal(batch.x, np.ones((1000, 640)))


def test_new_shapes_compile_nothing(caplog):
    graph = Data(np.ones((17, 3), np.float32), np.array([[0, 16], [16, 0]], np.int32), y=1)
    with jax.log_compiles():
        batch = Batch.from_data_list([graph] * 3).pad(num_nodes=61, num_edges=19, num_graphs=5)
        batch.trim().to_data_list()
        mask = np.asarray(batch.edge_mask)
    compiled = [record for record in caplog.records if "Compiling" in record.getMessage()]
    assert compiled == []
    assert mask.sum() == 6
    with jax.log_compiles():
        jnp.ones((17, 23)) + 1
    assert any("Compiling" in record.getMessage() for record in caplog.records)


def test_a_batch_knows_the_nodes_of_its_largest_graph():
    batch = Batch.from_data_list(path_and_loop())
    assert batch.batch.max_count == 3
    assert Batch.from_data_list([]).batch.max_count == 0
    stacked = jax.tree.map(lambda *arrays: jnp.stack(arrays), batch, batch)
    assert stacked.batch.max_count == 3


def test_padding_rounds_the_largest_graph_up_so_that_batches_share_programs():
    batch = Batch.from_data_list(path_and_loop())
    assert batch.pad().batch.max_count == 3
    assert batch.pad(num_nodes=9).batch.max_count == 32
    assert batch.pad(num_nodes=9).trim().batch.max_count == 3
    larger = Batch.from_data_list([Data(num_nodes=33, edge_index=np.zeros((2, 0), np.int32))])
    assert larger.pad(num_graphs=2).batch.max_count == 64


def test_one_bound_for_a_data_set_is_kept():
    batch = Batch.from_data_list(path_and_loop()).pad(num_nodes=9, max_count=5)
    assert batch.batch.max_count == batch.pad().batch.max_count == 5
    assert batch.pad(num_nodes=10, max_count=7).batch.max_count == 7
    with pytest.raises(ValueError, match="max_count=4 is too small: the batch has room for 5"):
        batch.pad(max_count=4)


def test_a_bound_is_given_to_a_batch_that_has_none():
    found = Batch.from_data_list(path_and_loop())
    bare = Batch(found.x, found.edge_index, batch=BatchVector(found.batch.index, 2))
    assert bare.pad(num_nodes=9).batch.max_count is None
    assert bare.pad(num_nodes=9, max_count=3).batch.max_count == 3
    with pytest.raises(ValueError, match="a graph of 3 nodes, more than max_count=2"):
        bare.pad(num_nodes=9, max_count=2)
