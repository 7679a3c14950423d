"""What a stacked batch says of itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import Batch, BatchVector, Data

GRAPH = Data(x=np.ones((3, 4), np.float32), edge_index=np.array([[0, 1], [1, 2]]))
ONE = Batch.from_data_list([GRAPH, GRAPH]).pad(num_nodes=10, num_edges=12, num_graphs=3)
STACKED = jax.tree.map(lambda *arrays: jnp.stack(arrays), *[ONE] * 8)


def test_sizes_are_those_of_one_batch():
    assert (STACKED.num_nodes, STACKED.num_edges, STACKED.num_graphs) == (10, 12, 3)
    graph = jax.tree.map(lambda array: jnp.stack([array] * 8), GRAPH)
    assert (graph.num_nodes, graph.num_edges) == (3, 2)


def test_the_node_mask_is_that_of_each_batch():
    assert STACKED.node_mask.shape == (8, 10)
    np.testing.assert_array_equal(STACKED.node_mask[3], ONE.node_mask)


@pytest.mark.parametrize(
    "ask",
    [
        lambda batch: batch.edge_mask,
        lambda batch: batch.batch.counts,
        lambda batch: batch.trim(),
        lambda batch: batch.pad(),
        lambda batch: batch.to_data_list(),
    ],
)
def test_what_cannot_be_said_of_several_is_an_error_that_says_so(ask):
    with pytest.raises(ValueError, match=r"several batches were stacked .* take one of them first"):
        ask(STACKED)
    ask(jax.tree.map(lambda array: array[0], STACKED))


def test_inside_of_vmap_it_is_one_batch():
    counts, sizes = jax.vmap(lambda b: (b.batch.counts, jnp.array(b.num_nodes)))(STACKED)
    np.testing.assert_array_equal(counts, [[3, 3, 0]] * 8)
    assert list(sizes) == [10] * 8


@pytest.mark.parametrize("ids", [[0, 0, 0, 1], [0, 1, 1, 1], [], [1, 1]])
def test_nodes_of_one_graph_are_counted_as_those_of_several(ids):
    ids = jnp.asarray(ids, jnp.int32)
    count = BatchVector(ids, 1).counts
    assert count.dtype == jnp.int32
    np.testing.assert_array_equal(count, BatchVector(ids, 2).counts[:1])
