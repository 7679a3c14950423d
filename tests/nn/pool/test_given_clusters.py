"""Poolings of clusters that are given, on graphs that can be checked by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import Batch, Data
from jraphx_eqx.nn.pool import avg_pool, max_pool

pytestmark = pytest.mark.usefixtures("quick_compile")

X = np.array([[1.0, 8.0], [2.0, 7.0], [3.0, 6.0], [4.0, 5.0]], np.float32)
EDGES = np.array([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]], np.int32)
ATTRS = np.array([1, 2, 4, 8, 16, 32], np.float32)
POS = np.array([[0.0], [2.0], [4.0], [6.0]], np.float32)
# Ids in any order: nodes 0 and 3 are cluster 1, nodes 1 and 2 cluster 0.
CLUSTER = jnp.array([9, -4, -4, 9], jnp.int32)


def graph(**more):
    return Data(X, EDGES, ATTRS, y=np.float32(5), pos=POS, **more)


def two_graphs():
    """The graph twice, with padding that is poison."""
    batch = Batch.from_data_list([graph(), graph()]).pad(num_nodes=10, num_edges=14, num_graphs=3)
    poison = batch.node_mask
    x, pos = (jnp.where(poison[:, None], array, jnp.nan) for array in (batch.x, batch.pos))
    attr = jnp.where(batch.edge_mask, batch.edge_attr, jnp.nan)
    return dataclasses.replace(batch, x=x, pos=pos, edge_attr=attr)


def test_the_largest_and_the_mean_of_each_feature():
    np.testing.assert_array_equal(max_pool(CLUSTER, graph()).x, [[3, 7], [4, 8], [0, 0], [0, 0]])
    np.testing.assert_array_equal(
        avg_pool(CLUSTER, graph()).x, [[2.5, 6.5], [2.5, 6.5], [0, 0], [0, 0]]
    )


def test_positions_are_averaged_and_edges_inside_of_clusters_go():
    out = max_pool(CLUSTER, graph()).trim()
    np.testing.assert_array_equal(out.pos, [[3], [3]])
    # 1 - 2 is inside; 0 - 1 and 2 - 3 become one in each direction.
    np.testing.assert_array_equal(out.edge_index, [[0, 1], [1, 0]])
    np.testing.assert_array_equal(out.edge_attr, [2 + 16, 1 + 32])
    np.testing.assert_array_equal(out.batch.index, [0, 0])
    np.testing.assert_array_equal(out.y, [5])


def test_batches_with_padding_keep_their_graphs():
    cluster = jnp.array([3, 3, 3, 3, 1, 8, 8, 1, 3, 5], jnp.int32)
    out = avg_pool(cluster, two_graphs())
    np.testing.assert_array_equal(out.batch.index, [1, 0, 1] + [3] * 7)
    np.testing.assert_array_equal(out.x[:3], [[2.5, 6.5]] * 3)
    np.testing.assert_array_equal(out.x[3:], np.zeros((7, 2)))
    np.testing.assert_array_equal(out.edge_index[:, :2], [[0, 2], [2, 0]])
    np.testing.assert_array_equal(out.edge_attr, [1 + 32, 2 + 16] + [0] * 12)
    np.testing.assert_array_equal(out.y, [5, 5, 0])
    np.testing.assert_array_equal(out.graph_mask, [True, True, False])
    assert out.trim().num_nodes == 3


def test_what_belongs_to_a_graph_is_kept_and_other_extras_are_not():
    extras = {"graph": {"size": np.array(4)}, "node": {"id": np.arange(4)}}
    out = max_pool(CLUSTER, graph(extras=extras))
    np.testing.assert_array_equal(out.extras["graph"]["size"], [4])
    assert not out.extras["node"] and not out.extras["edge"]


def test_fields_may_be_missing():
    bare = Data(edge_index=EDGES, num_nodes=4)
    out = max_pool(CLUSTER, bare)
    assert out.x is None and out.pos is None and out.edge_attr is None and out.y is None
    np.testing.assert_array_equal(out.trim().edge_index, [[0, 1], [1, 0]])


def test_the_result_goes_through_a_transform():
    assert avg_pool(CLUSTER, graph(), transform=lambda batch: batch.trim()).num_nodes == 2


def test_it_works_under_jit_and_grad_and_padding_gets_no_gradient():
    batch = two_graphs()
    cluster = jnp.array([3, 3, 3, 3, 1, 8, 8, 1, 3, 5], jnp.int32)

    @jax.jit
    def loss(x, cluster):
        out = avg_pool(cluster, dataclasses.replace(batch, x=x))
        return jnp.sum(out.x**2), out

    (_, out), gradient = jax.value_and_grad(loss, has_aux=True)(batch.x, cluster)
    jax.tree.map(np.testing.assert_array_equal, out, avg_pool(cluster, batch))
    expected = [[2 * 2.5 / 4, 2 * 6.5 / 4]] * 4 + [[2.5, 6.5]] * 4 + [[0, 0]] * 2
    np.testing.assert_array_equal(gradient, expected)


def test_ties_of_the_maximum_share_the_gradient():
    def loss(x):
        return jnp.sum(max_pool(CLUSTER, Batch.from_data_list([Data(x, EDGES)])).x)

    gradient = jax.grad(loss)(jnp.ones((4, 1)))
    np.testing.assert_array_equal(gradient[:, 0], [0.5] * 4)


def test_no_nodes():
    empty = Data(X[:0], EDGES[:, :0])
    assert max_pool(CLUSTER[:0], empty).num_nodes == 0


def test_a_cluster_for_each_node():
    with pytest.raises(ValueError, match="cluster must have one row for each of the 4 nodes"):
        max_pool(CLUSTER[:2], graph())
