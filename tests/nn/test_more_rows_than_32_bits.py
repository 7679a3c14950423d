"""Positions are counted in 32 bits, so longer arrays are refused, by name."""

import jax
import jax.numpy as jnp
import pytest

from jraphx_eqx.nn.conv import GATConv, GCNConv, GINConv, GraphConv, SAGEConv
from jraphx_eqx.nn.models import GraphUNet
from jraphx_eqx.nn.norm import GraphNorm
from jraphx_eqx.nn.pool import (
    EdgePooling,
    SAGPooling,
    TopKPooling,
    global_add_pool,
    global_max_pool,
)

KEY = jax.random.key(0)
LAYERS = {
    "TopKPooling": TopKPooling(4, key=KEY),
    "SAGPooling": SAGPooling(4, key=KEY),
    "EdgePooling": EdgePooling(4, key=KEY),
    "GCNConv": GCNConv(4, 2, key=KEY),
    "GATConv": GATConv(4, 2, key=KEY),
    "SAGEConv": SAGEConv(4, 2, key=KEY),
    "GraphConv": GraphConv(4, 2, key=KEY),
    "GINConv": GINConv(4, 4, jnp.sin),
    "GraphUNet": GraphUNet(4, 4, 2, 1, key=KEY),
}


def traced(call, *shapes):
    dtypes = (jnp.float32, jnp.int32)
    return jax.eval_shape(call, *map(jax.ShapeDtypeStruct, shapes, dtypes[: len(shapes)]))


@pytest.mark.parametrize("name", LAYERS)
def test_too_many_nodes_or_edges_are_refused_by_name(name):
    layer = LAYERS[name]
    with pytest.raises(ValueError, match=r"x must have fewer than 2\*\*31 - 1 nodes, got 21474836"):
        traced(lambda x, edges: layer(x, edges), (2**31, 4), (2, 8))
    with pytest.raises(ValueError, match=r"edge_index must have fewer than 2\*\*31 - 1 edges"):
        traced(lambda x, edges: layer(x, edges), (8, 4), (2, 2**31))


@pytest.mark.parametrize("reduce", [global_add_pool, global_max_pool, GraphNorm(4)])
def test_too_many_rows_of_features_are_refused_by_name(reduce):
    with pytest.raises(ValueError, match=r"x must have fewer than 2\*\*31 - 1 nodes"):
        traced(reduce, (2**31, 4))


def test_one_row_less_than_32_bits_count_is_taken():
    assert traced(global_add_pool, (2**31 - 2, 4)).shape == (1, 4)
