import jax.numpy as jnp
import numpy as np
import pytest
from helpers import (
    KEEPING,
    OPERATORS,
    Variant,
    assert_close,
    describe,
    edge_mask,
    named,
    node_mask,
    random_inputs,
    run,
)

from jraphx_eqx.data import BatchVector

pytestmark = pytest.mark.usefixtures("quick_compile")


def with_nodes_permuted(inputs, order):
    """Row i becomes what row `order[i]` was."""
    num_nodes = len(order)
    place = np.append(np.argsort(order), num_nodes).astype(np.int32)
    return inputs._replace(
        x=inputs.x[order],
        edge_index=jnp.asarray(place[np.asarray(inputs.edge_index)]),
        batch=BatchVector(inputs.batch.index[order], inputs.batch.num_graphs),
    )


def with_edges_permuted(inputs, order):
    return inputs._replace(
        edge_index=inputs.edge_index[:, order], edge_attr=inputs.edge_attr[order]
    )


def real_order(mask, order):
    """`order`, as an order of the rows that `mask` keeps."""
    return (np.cumsum(mask) - 1)[order[mask[order]]]


@pytest.mark.parametrize(**named(OPERATORS))
def test_permuting_nodes_permutes_results_and_gradients(operator: Variant):
    inputs = random_inputs()
    order = np.random.default_rng(1).permutation(len(inputs.x))
    permuted = with_nodes_permuted(inputs, order)
    before, after = run(operator, inputs), run(operator, permuted)
    expected = describe(operator, before, inputs)
    rows = real_order(node_mask(inputs), order)
    expected["node"] = {name: array[rows] for name, array in expected["node"].items()}
    found = describe(operator, after, permuted)
    if "min_score" in operator.name:  # whose kept nodes come in the order of the nodes
        del found["node"]["rank"], expected["node"]["rank"]
    assert_close(found, expected)
    assert_close(after.parameters, before.parameters)


@pytest.mark.parametrize(**named(OPERATORS))
def test_permuting_edges_permutes_edges_and_nothing_else(operator: Variant):
    inputs = random_inputs()
    order = np.random.default_rng(1).permutation(inputs.edge_index.shape[1])
    permuted = with_edges_permuted(inputs, order)
    before, after = run(operator, inputs), run(operator, permuted)
    expected = describe(operator, before, inputs)
    rows = real_order(edge_mask(inputs), order)
    expected["edge"] = {name: array[rows] for name, array in expected["edge"].items()}
    assert_close(describe(operator, after, permuted), expected)
    assert_close(after.parameters, before.parameters)


@pytest.mark.parametrize(**named(KEEPING))
def test_the_scores_above_are_too_far_apart_for_rounding_to_matter(operator: Variant):
    inputs = random_inputs()
    index, mask = np.asarray(inputs.batch.index), node_mask(inputs)
    x = inputs.x[:, ::-1] if operator.name == "topk_attn" else inputs.x
    score = np.asarray(operator.module().score(x, inputs.edge_index, inputs.batch))
    for graph in np.unique(index[mask]):
        of_graph = np.sort(score[index == graph])
        assert np.all(np.diff(of_graph) > 1e-4), graph
        min_score = operator.module().select.min_score
        assert min_score is None or np.all(np.abs(of_graph - min_score) > 1e-4)
