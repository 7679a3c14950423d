"""Options and sizes may be numbers of NumPy and JAX, which become Python's."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx import nn
from jraphx_eqx.data import BatchVector, Data, resolve_batch
from jraphx_eqx.nn.conv import GATConv, GCNConv, GINConv, GraphConv, SAGEConv
from jraphx_eqx.nn.models import GAT, GCN, MLP, GraphUNet, JumpingKnowledge
from jraphx_eqx.nn.norm import BatchNorm, BatchNorm1d, GraphNorm, LayerNorm
from jraphx_eqx.nn.pool import EdgePooling, SAGPooling, SelectTopK, TopKPooling, global_add_pool

pytestmark = pytest.mark.usefixtures("quick_compile")
KEY = jax.random.key(0)

# Each is made twice: i makes an integer, f a float.
LAYERS = {
    "TopKPooling": lambda i, f: TopKPooling(i(4), f(0.5), multiplier=f(2.0), key=KEY),
    "TopKPooling count": lambda i, f: TopKPooling(4, i(3), key=KEY),
    "SAGPooling": lambda i, f: SAGPooling(i(4), min_score=f(0.25), multiplier=i(2), key=KEY),
    "EdgePooling": lambda i, f: EdgePooling(
        i(4), dropout=f(0.25), add_to_edge_score=f(0.5), key=KEY
    ),
    "SelectTopK": lambda i, f: SelectTopK(i(4), f(0.5), key=KEY),
    "GCNConv": lambda i, f: GCNConv(i(4), i(3), key=KEY),
    "GATConv": lambda i, f: GATConv(
        i(4), 3, i(2), True, f(0.25), f(0.5), edge_dim=i(2), fill_value=f(0.5), key=KEY
    ),
    "SAGEConv": lambda i, f: SAGEConv(i(4), i(3), key=KEY),
    "GraphConv": lambda i, f: GraphConv(i(4), i(3), key=KEY),
    "GINConv": lambda i, f: GINConv(i(4), i(4), jnp.sin, f(0.5)),
    "BatchNorm": lambda i, f: BatchNorm(i(4), f(0.25), f(0.5)),
    "BatchNorm1d": lambda i, f: BatchNorm1d(i(4), f(0.25), f(0.5)),
    "GraphNorm": lambda i, f: GraphNorm(i(4), f(0.25)),
    "LayerNorm": lambda i, f: LayerNorm(i(4), f(0.25)),
    "nn.LayerNorm": lambda i, f: nn.LayerNorm(i(4), f(0.25)),
    "Linear": lambda i, f: nn.Linear(i(4), i(3), key=KEY),
    "Embedding": lambda i, f: nn.Embedding(i(4), i(3), i(1), key=KEY),
    "GRUCell": lambda i, f: nn.GRUCell(i(4), i(3), key=KEY),
    "LSTMCell": lambda i, f: nn.LSTMCell(i(4), i(3), key=KEY),
    "PReLU": lambda i, f: nn.PReLU(i(4), f(0.5)),
    "Activation": lambda i, f: nn.Activation("leaky_relu", negative_slope=f(0.5)),
    "MLP": lambda i, f: MLP([i(4), i(3), 2], [f(0.5), 0.0], key=KEY),
    "JumpingKnowledge": lambda i, f: JumpingKnowledge("lstm", i(4), i(2), key=KEY),
    "GCN": lambda i, f: GCN(i(4), i(3), i(2), i(2), f(0.5), key=KEY),
    "GAT": lambda i, f: GAT(i(4), i(4), i(2), heads=i(2), key=KEY),
    "GraphUNet": lambda i, f: GraphUNet(i(4), i(3), i(2), i(2), [f(0.5), i(2)], key=KEY),
}
KINDS = {"numpy": (np.int64, np.float32), "jax": (jnp.asarray, jnp.asarray)}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", LAYERS)
def test_options_are_taken_as_python_numbers(name, kind):
    made, expected = LAYERS[name](*KINDS[kind]), LAYERS[name](int, float)
    assert bool(eqx.tree_equal(made, expected))
    # What is static must be hashable, which arrays are not.
    assert hash(jax.tree.structure(made)) == hash(jax.tree.structure(expected))


@pytest.mark.parametrize("number", [np.int64, np.int32, jnp.asarray])
def test_sizes_are_taken_as_python_numbers(number):
    index = jnp.array([0, 0, 1])
    assert type(BatchVector(index, number(2)).num_graphs) is int
    assert type(resolve_batch(index, 3, number(2)).num_graphs) is int
    assert type(BatchVector(index, index.max() + 1).num_graphs) is int
    data = Data(edge_index=jnp.zeros((2, 0), jnp.int32), num_nodes=number(3))
    assert type(data.num_nodes) is int
    padded = data.pad(number(4), number(2)).pad(num_graphs=number(5))
    assert (padded.num_nodes, padded.num_edges, padded.num_graphs) == (4, 2, 5)


@pytest.mark.parametrize("number", [np.int64, np.int32, jnp.asarray])
def test_calls_take_sizes_of_numpy_and_jax(number):
    x, batch = jnp.array([[1.0], [2.0], [4.0], [3.0]]), jnp.array([0, 0, 1, 1])
    edges = jnp.array([[0, 2], [1, 3]])
    np.testing.assert_array_equal(global_add_pool(x, batch, number(3)), [[3], [7], [0]])
    pool = TopKPooling(1, 1, key=KEY)
    sizes = {"size": number(2), "max_nodes": number(2), "max_edges": number(1)}
    out = pool(x, edges, batch=batch, **sizes)
    assert out.batch.num_graphs == 2
    assert out.x.shape == (2, 1) and out.edge_index.shape == (2, 1)
    assert GraphNorm(1)(x, batch, size=number(2)).shape == (4, 1)
    assert GCN(1, 2, 2, key=KEY)(x, edges, batch=batch, size=number(2)).shape == (4, 2)
    unet = GraphUNet(1, 2, 1, 1, key=KEY)
    assert unet(x, edges, batch, size=number(2), max_paths=number(8)).shape == (4, 1)


def test_a_number_that_is_traced_is_refused_by_name():
    with pytest.raises(ValueError, match="ratio must be known before tracing"):
        jax.jit(lambda ratio: TopKPooling(4, ratio, key=KEY).select.weight)(0.5)
    with pytest.raises(ValueError, match="size must be known before tracing"):
        jax.jit(lambda size: resolve_batch(jnp.array([0, 1]), 2, size).index)(2)


def test_an_array_with_axes_is_no_number():
    with pytest.raises((TypeError, ValueError), match="ratio"):
        TopKPooling(4, jnp.array([0.5]), key=KEY)
