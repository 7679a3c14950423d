"""One graph never changes another."""

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import (
    ISOLATED,
    SIZES,
    Variant,
    assert_close,
    assert_same,
    describe,
    named,
    node_mask,
    random_inputs,
    run,
)

from jraphx_eqx.data import BatchVector

pytestmark = pytest.mark.usefixtures("quick_compile")

LARGEST = SIZES.index(max(SIZES))


def edge_graphs(inputs):
    """The graph of each edge; of padding edges, the number of graphs."""
    graphs = np.append(np.asarray(inputs.batch.index), inputs.batch.num_graphs)
    return graphs[np.asarray(inputs.edge_index)[0]]


def without_graph(described, inputs, graph):
    masks = {
        "node": np.asarray(inputs.batch.index)[node_mask(inputs)],
        "edge": edge_graphs(inputs)[edge_graphs(inputs) < inputs.batch.num_graphs],
        "graph": np.arange(inputs.batch.num_graphs),
    }
    return {
        level: {name: array[masks[level] != graph] for name, array in arrays.items()}
        for level, arrays in described.items()
    }


def only_graph(inputs, graph):
    """The same arrays, in which all other graphs are padding, and `graph` is the first."""
    num_nodes, num_graphs = len(inputs.x), inputs.batch.num_graphs
    index = jnp.where(inputs.batch.index == graph, 0, num_graphs).astype(jnp.int32)
    edge_index = jnp.where(edge_graphs(inputs) == graph, inputs.edge_index, num_nodes)
    return inputs._replace(edge_index=edge_index, batch=BatchVector(index, num_graphs))


@pytest.mark.parametrize("change", ["other numbers", "nan", "inf", "huge"])
@pytest.mark.parametrize(**named(ISOLATED))
def test_changing_one_graph_leaves_the_others_bitwise_the_same(operator: Variant, change):
    inputs = random_inputs()
    other = {"nan": np.nan, "inf": np.inf, "huge": 1e30}.get(change)
    x, edge_attr = random_inputs(7).x, 1 + random_inputs(7).edge_attr
    if other is not None:
        x, edge_attr = jnp.full_like(x, other), jnp.full_like(edge_attr, other)
    in_graph = (np.asarray(inputs.batch.index) == LARGEST)[:, None]
    edge_in_graph = (edge_graphs(inputs) == LARGEST)[:, None]
    changed = inputs._replace(
        x=jnp.where(in_graph, x, inputs.x),
        edge_attr=jnp.where(edge_in_graph, edge_attr, inputs.edge_attr),
    )
    before = describe(operator, run(operator, inputs), inputs)
    after = describe(operator, run(operator, changed), changed)
    with pytest.raises(AssertionError):
        assert_same(after, before)
    assert_same(without_graph(after, inputs, LARGEST), without_graph(before, inputs, LARGEST))


@pytest.mark.parametrize(**named(ISOLATED))
def test_a_batch_is_its_graphs_one_by_one(operator: Variant):
    inputs = random_inputs()
    together = describe(operator, run(operator, inputs), inputs)
    nodes = np.asarray(inputs.batch.index)[node_mask(inputs)]
    edges = edge_graphs(inputs)[edge_graphs(inputs) < len(SIZES)]
    for graph in range(len(SIZES)):
        alone_inputs = only_graph(inputs, graph)
        alone = describe(operator, run(operator, alone_inputs), alone_inputs)
        expected = {
            "node": {name: array[nodes == graph] for name, array in together["node"].items()},
            "edge": {name: array[edges == graph] for name, array in together["edge"].items()},
            "graph": {name: array[graph] for name, array in together["graph"].items()},
        }
        if "graph" in alone["node"]:
            assert set(alone["node"]["graph"]) <= {0, -1}
            del alone["node"]["graph"], expected["node"]["graph"]
        alone["graph"] = {name: array[0] for name, array in alone["graph"].items()}
        assert_close(alone, expected)
