"""Layers that are given an `EdgeIndex` compute what they compute from its list of edges."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import BatchVector, EdgeIndex
from jraphx_eqx.nn.conv import GATConv, GCNConv, GINConv, GraphConv, SAGEConv
from jraphx_eqx.nn.models import GIN, MLP
from jraphx_eqx.nn.pool import EdgePooling, PANPooling, SAGPooling, TopKPooling

pytestmark = pytest.mark.usefixtures("quick_compile")

NUM_NODES, WIDTH = 14, 5
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def edges():
    rng = np.random.default_rng(1)
    index = rng.integers(0, 6, (2, 50)).astype(np.int32)
    index[:, 25:] += 6
    index[:, [4, 40]] = NUM_NODES
    return EdgeIndex.of(index, NUM_NODES, columns=3)


@pytest.fixture(scope="module")
def x():
    return jax.random.normal(KEY, (NUM_NODES, WIDTH))


BATCH = BatchVector(jnp.array([0] * 6 + [1] * 6 + [2] * 2), 2)


def compare(layer, x, edges):
    """Values and all gradients, by the lists and by the edges."""

    def loss(layer_and_x, edge_index):
        layer, x = layer_and_x
        return jnp.sum(jnp.sin(layer(x, edge_index)))

    got, want = (eqx.filter_value_and_grad(loss)((layer, x), e) for e in (edges, edges.index))
    for a, b in zip(*map(jax.tree.leaves, (got, want)), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: GraphConv(WIDTH, 4, key=KEY),
        lambda: GraphConv(WIDTH, 7, "mean", key=KEY),
        lambda: GraphConv(WIDTH, 4, "max", key=KEY),
        lambda: SAGEConv(WIDTH, 4, key=KEY),
        lambda: GINConv(WIDTH, 4, MLP([WIDTH, 4], key=KEY)),
        lambda: GCNConv(WIDTH, 4, key=KEY),
        lambda: GCNConv(WIDTH, 4, normalize=False, key=KEY),
        lambda: GATConv(WIDTH, 4, key=KEY),
        lambda: GIN(WIDTH, 4, 2, key=KEY),
    ],
)
def test_convolutions(make, x, edges):
    compare(make(), x, edges)


@pytest.mark.parametrize("layer", [GraphConv, GCNConv])
def test_edge_weights_are_not_lost(layer, x, edges):
    conv, weight = layer(WIDTH, 4, key=KEY), jnp.linspace(0.1, 1, edges.shape[1])
    np.testing.assert_array_equal(conv(x, edges, weight), conv(x, edges.index, weight))


@pytest.mark.parametrize("pooling", [TopKPooling, SAGPooling, PANPooling])
def test_poolings_that_keep_nodes_hand_on_the_lists(pooling, x, edges):
    pool, conv = pooling(WIDTH, 0.5, key=KEY), SAGEConv(WIDTH, 3, key=KEY)

    @eqx.filter_jit
    def run(edge_index):
        more = {"edge_attr": jnp.ones(edges.shape[1])} if pooling is PANPooling else {}
        x1, edges1, _, batch, _ = pool(x, edge_index, batch=BATCH, **more)
        out = pool(jnp.sin(3 * x1), edges1, batch=batch, **more)
        return edges1, conv(x1, edges1), out, conv(out.x, out.edge_index)

    (edges1, got, out, got2), (plain1, want, plain, want2) = run(edges), run(edges.index)
    assert isinstance(edges1, EdgeIndex) and isinstance(out.edge_index, EdgeIndex)
    np.testing.assert_array_equal(edges1.index, plain1)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(got2, want2, rtol=1e-5, atol=1e-6)
    assert eqx.tree_equal(out.trim(), plain.trim())


def test_less_room_for_nodes_and_edges(x, edges):
    pool, conv = TopKPooling(WIDTH, 0.5, key=KEY), GraphConv(WIDTH, 3, key=KEY)
    got, want = (pool(x, e, batch=BATCH, max_nodes=6, max_edges=20) for e in (edges, edges.index))
    assert got.edge_index.shape == (2, 20) and got.edge_index.neighbours.sources.shape == (6, 3)
    np.testing.assert_allclose(
        conv(got.x, got.edge_index), conv(want.x, want.edge_index), rtol=1e-5, atol=1e-6
    )


def test_other_layers_use_the_list_alone(x, edges):
    pool = EdgePooling(WIDTH, key=KEY)
    assert eqx.tree_equal(pool(x, edges, batch=BATCH), pool(x, edges.index, batch=BATCH))


def test_lists_of_other_nodes_are_refused(x, edges):
    message = "x must have one row for each of the 14 lists of neighbours"
    for layer in (SAGEConv(WIDTH, 3, key=KEY), TopKPooling(WIDTH, key=KEY)):
        for rows in (x[:-1], jnp.concatenate([x, x])):
            with pytest.raises(ValueError, match=message):
                layer(rows, edges)


def test_numpy_arrays_are_taken(x, edges):
    conv, pool = SAGEConv(WIDTH, 3, key=KEY), EdgePooling(WIDTH, key=KEY)
    host = jax.device_get(edges)
    np.testing.assert_array_equal(conv(np.asarray(x), host), conv(x, edges))
    assert eqx.tree_equal(pool(x, host, batch=BATCH), pool(x, edges, batch=BATCH))
