"""Graphs at the edge of what is allowed, in the padded shape that all tests share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import (
    DISTINCT,
    EDGE_FEATURES,
    FEATURES,
    KEEPING,
    NUM_EDGES,
    NUM_NODES,
    OPERATORS,
    Inputs,
    Variant,
    assert_close,
    differentiate,
    edge_mask,
    kept_ranks,
    named,
    node_mask,
    run,
)

from jraphx_eqx.data import BatchVector

pytestmark = pytest.mark.usefixtures("quick_compile")

NUM_GRAPHS = 6
# Nodes of each graph, and edges.
CORNERS = {
    "no nodes": ([], []),
    "one node": ([1], []),
    "one node with a loop": ([1], [(0, 0)]),
    "no edges": ([4, 3], []),
    "an isolated node": ([4], [(0, 1), (1, 2)]),
    "a double edge": ([3], [(0, 1), (0, 1), (1, 0)]),
    "a double loop": ([2], [(1, 1), (1, 1), (0, 1)]),
    "empty graph first": ([0, 3, 2], [(0, 1), (3, 4)]),
    "empty graph in the middle": ([3, 0, 0, 2], [(0, 1), (3, 4)]),
    "empty graph last": ([3, 2, 0], [(0, 1), (3, 4)]),
    "one of each size": ([1, 2, 3, 4], [(1, 2), (3, 5), (9, 6)]),
    "no padding": ([5, 5, 4, 3, 2, 1], [(node, node) for node in range(20)] * 2),
}


def corner(name, tied=False):
    sizes, edges = CORNERS[name]
    rng = np.random.default_rng(0)
    index = np.full(NUM_NODES, NUM_GRAPHS, np.int32)
    index[: sum(sizes)] = np.repeat(np.arange(len(sizes)), sizes)
    edge_index = np.full((2, NUM_EDGES), NUM_NODES, np.int32)
    edge_index[:, : len(edges)] = np.array(edges, np.int32).reshape(-1, 2).T
    x = np.ones((NUM_NODES, FEATURES)) if tied else rng.normal(size=(NUM_NODES, FEATURES))
    return Inputs(
        jnp.asarray(x, np.float32),
        jnp.asarray(edge_index),
        jnp.asarray(rng.uniform(0.5, 1.5, size=(NUM_EDGES, EDGE_FEATURES)), np.float32),
        BatchVector(jnp.asarray(index), NUM_GRAPHS),
    )


def assert_consistent(operator, inputs, out):
    """What holds for every pooling that keeps nodes, whatever their scores."""
    pool, kept = operator.module(), int(out.num_kept)
    perm, index = np.asarray(out.perm)[:kept], np.asarray(out.batch.index)[:kept]
    score, x = np.asarray(out.score)[:kept], np.asarray(inputs.x)
    assert len(set(perm.tolist())) == kept
    np.testing.assert_array_equal(index, np.asarray(inputs.batch.index)[perm])
    counts = np.asarray(inputs.batch.counts)
    if pool.select.min_score is None:
        ratio = pool.select.ratio
        expected = np.ceil(np.float32(ratio) * counts.astype(np.float32))
        expected = np.minimum(counts, ratio) if ratio >= 1 else expected
        np.testing.assert_array_equal(np.bincount(index, minlength=NUM_GRAPHS), expected)
        assert np.all(np.diff(index) >= 0)
        descending = (np.diff(index) > 0) | (np.diff(score) <= 0)
        assert np.all(descending)
    else:
        assert np.all(np.bincount(index, minlength=NUM_GRAPHS)[counts > 0] > 0)
        assert np.all(np.diff(perm) > 0)
    assert_close(np.asarray(out.x)[:kept], np.float32(pool.multiplier) * score[:, None] * x[perm])
    place = np.full(len(x) + 1, -1)
    place[perm] = np.arange(kept)
    expected = place[np.asarray(inputs.edge_index)]
    expected[:, (expected < 0).any(axis=0)] = len(out.perm)
    np.testing.assert_array_equal(out.edge_index, expected)
    attributes = np.where((expected < kept).all(axis=0)[:, None], inputs.edge_attr, 0)
    np.testing.assert_array_equal(out.edge_attr, attributes)


@pytest.mark.parametrize("name", CORNERS)
@pytest.mark.parametrize(**named(OPERATORS))
def test_corner_graphs_give_finite_results_and_gradients(operator: Variant, name):
    inputs = corner(name)
    result = run(operator, inputs)
    for leaf in (result.loss, result.x, result.edge_attr):
        assert np.all(np.isfinite(leaf))
    assert not np.any(np.asarray(result.x)[~node_mask(inputs)])
    assert not np.any(np.asarray(result.edge_attr)[~edge_mask(inputs)])
    if operator.kind == "keep":
        assert_consistent(operator, inputs, result.out)
    elif operator.kind == "pool":
        assert not np.any(np.asarray(result.out.x)[result.out.batch.index == NUM_GRAPHS])
    elif operator.kind == "node":
        assert np.all(np.asarray(result.out)[~node_mask(inputs)] == 0)
    elif operator.kind == "graph":
        empty = np.asarray(inputs.batch.counts) == 0
        assert np.all(np.asarray(result.out)[empty] == 0)


@pytest.mark.parametrize("name", ["one of each size", "no padding"])
@pytest.mark.parametrize(**named([pool for pool in KEEPING if pool.name.startswith("topk")]))
def test_tied_nodes_are_kept_from_the_lowest_index_on(operator: Variant, name):
    inputs = corner(name, tied=True)
    out = run(operator, inputs).out
    assert_consistent(operator, inputs, out)
    perm, index = np.asarray(out.perm), np.asarray(out.batch.index)
    perm, index = perm[perm < NUM_NODES], index[perm < NUM_NODES]
    first = np.searchsorted(np.asarray(inputs.batch.index), index)
    np.testing.assert_array_equal(perm, first + kept_ranks(index))


@pytest.mark.parametrize(("num_nodes", "num_graphs"), [(0, 0), (1, 1)])
@pytest.mark.parametrize(**named(DISTINCT))
def test_shapes_without_room_for_anything(operator: Variant, num_nodes, num_graphs):
    inputs = Inputs(
        jnp.ones((num_nodes, FEATURES)),
        jnp.zeros((2, 0), jnp.int32),
        jnp.zeros((0, EDGE_FEATURES)),
        BatchVector(jnp.zeros(num_nodes, jnp.int32), num_graphs),
    )
    result = jax.jit(lambda inputs: differentiate(operator, operator.module(), inputs))(inputs)
    assert np.isfinite(result.loss)
    assert result.x.shape == inputs.x.shape
    if operator.kind == "keep":
        assert int(result.out.num_kept) == num_nodes
        assert result.out.edge_index.shape == (2, 0)
    elif operator.kind == "graph":
        assert result.out.shape == (num_graphs, FEATURES)
