import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from jraphx_eqx.data import Batch, BatchVector, Data

X = np.ones((3, 2), np.float32)
EDGES = np.array([[0, 1], [1, 2]], np.int32)
ATTR = np.ones((2, 4), np.float32)
# Two nodes in graph 0, one in graph 1.
VECTOR = BatchVector(jnp.array([0, 0, 1], jnp.int32), 2)
INSIDE = np.array([[0], [1]], np.int32)


def data(**changes):
    return Data(**({"x": X, "edge_index": EDGES} | changes))


def batch(**changes):
    return Batch(**({"x": X, "edge_index": INSIDE, "batch": VECTOR} | changes))


def collate(**changes):
    """Graph 1 differs from graph 0."""
    full = {"edge_attr": ATTR, "y": 1.0, "extras": {"node": {"m": X[:, 0]}}}
    return Batch.from_data_list([data(**full), data(**full | changes)])


def edges(*pairs):
    return np.array(pairs, np.int32).T


VALUE_ERRORS = {
    # Data
    "no edge_index": (lambda: Data(X), r"edge_index must be given.*zeros\(\(2, 0\)"),
    "negative index": (
        lambda: data(edge_index=edges((0, 1), (1, -2))),
        r"edge_index must hold node indices in \[0, 3\).*edge 1 has \(1, -2\)",
    ),
    "index past the end": (
        lambda: data(edge_index=edges((0, 1), (3, 0))),
        r"edge_index must hold node indices in \[0, 3\).*edge 1 has \(3, 0\)",
    ),
    "padding in Data": (lambda: data(edge_index=edges((3, 3))), r"made by `pad`.*\(3, 3\)"),
    "number of nodes unknown": (lambda: Data(edge_index=EDGES), "num_nodes must be given"),
    "number of nodes contradicts x": (
        lambda: data(num_nodes=4),
        r"x must have one row for each of the 4 nodes, got shape \(3, 2\)",
    ),
    "negative number of nodes": (
        lambda: Data(edge_index=EDGES, num_nodes=-1),
        "num_nodes must not be negative, got -1",
    ),
    "pos contradicts x": (
        lambda: data(pos=np.ones((4, 2))),
        r"pos must have one row for each of the 3 nodes, got shape \(4, 2\)",
    ),
    "too few rows of edge_attr": (
        lambda: data(edge_attr=ATTR[:1]),
        r"edge_attr must have one row for each of the 2 edges, got shape \(1, 4\)",
    ),
    "rows of a node extra": (
        lambda: data(extras={"node": {"m": np.ones(2)}}),
        r"extras\['node'\]\['m'\] must have one row for each of the 3 nodes, got shape \(2,\)",
    ),
    "scalar node extra": (
        lambda: data(extras={"node": {"m": 1.0}}),
        r"extras\['node'\]\['m'\] must have one row for each of the 3 nodes, got shape \(\)",
    ),
    "rows of an edge extra": (
        lambda: data(extras={"edge": {"m": np.ones(3)}}),
        r"extras\['edge'\]\['m'\] must have one row for each of the 2 edges, got shape \(3,\)",
    ),
    "unknown level": (
        lambda: data(extras={"nodes": {"m": np.ones(3)}}),
        "extras must be grouped by level, 'node', 'edge' or 'graph', got 'nodes'",
    ),
    "extras without level": (
        lambda: data(extras={"node": np.ones(3)}),
        r"extras\['node'\] must map names to arrays, got ndarray",
    ),
    # Batch.from_data_list
    "one graph lacks edge_attr": (
        lambda: collate(edge_attr=None),
        "graph 0 has edge_attr, but graph 1 has none",
    ),
    "one graph has pos": (lambda: collate(pos=X), "graph 1 has pos, but graph 0 has none"),
    "one graph lacks an extra": (
        lambda: collate(extras={}),
        r"graph 0 has extras\['node'\]\['m'\], but graph 1 has none",
    ),
    "widths differ": (
        lambda: collate(x=X[:, :1]),
        r"x of graph 1 has rows of shape \(1,\), but that of graph 0 \(2,\)",
    ),
    "label shapes differ": (
        lambda: collate(y=np.ones(3)),
        r"y of graph 1 has shape \(3,\), but that of graph 0 \(\)",
    ),
    "dtypes differ": (
        lambda: collate(x=X.astype(np.int32)),
        "x of graph 1 has dtype int32, but that of graph 0 float32",
    ),
    # Batch
    "batch too long for x": (
        lambda: batch(x=X[:2]),
        r"x must have one row for each of the 3 nodes in batch, got shape \(2, 2\)",
    ),
    "rows of y": (
        lambda: batch(y=np.ones(3)),
        r"y must have one row for each of the 2 graphs, got shape \(3,\)",
    ),
    "rows of a graph extra": (
        lambda: batch(extras={"graph": {"m": np.ones((1, 2))}}),
        r"extras\['graph'\]\['m'\] must have one row for each of the 2 graphs",
    ),
    "rows of edge_attr": (
        lambda: batch(edge_attr=ATTR),
        r"edge_attr must have one row for each of the 1 edges, got shape \(2, 4\)",
    ),
    "length of graph_mask": (
        lambda: batch(graph_mask=np.ones(3, bool)),
        r"graph_mask must be a bool for each of the 2 graphs, got bool of shape \(3,\)",
    ),
    "negative index in a batch": (
        lambda: batch(edge_index=edges((0, 1), (-1, 0))),
        r"must not hold negative indices; edge 1 has \(-1, 0\)",
    ),
    "index past the padding value": (
        lambda: batch(edge_index=edges((3, 3), (4, 4))),
        r"must hold node indices below 3.*3 in both rows for a padding edge; edge 1 has \(4, 4\)",
    ),
    "half a padding edge": (
        lambda: batch(edge_index=edges((3, 3), (0, 3))),
        r"must mark a padding edge in both rows.*edge 1 has \(0, 3\)",
    ),
    "an edge between two graphs": (
        lambda: batch(edge_index=edges((0, 1), (2, 2), (1, 2))),
        r"must join nodes of one graph.*edge 2 has \(1, 2\)",
    ),
    "a real node joined to padding": (
        lambda: batch(batch=BatchVector(jnp.array([0, 2, 1], jnp.int32), 2)),
        r"no padding node to a real one; edge 0 has \(0, 1\)",
    ),
    "graph id too large": (
        lambda: batch(batch=BatchVector(jnp.array([0, 0, 3], jnp.int32), 2)),
        "must hold graph ids below 2.*2 for a padding node; node 2 has 3",
    ),
    "nodes in a padding graph": (
        lambda: batch(graph_mask=np.array([True, False])),
        "graph_mask must be True for every graph with nodes; graph 1 has nodes",
    ),
    "no edge_index in a batch": (lambda: batch(edge_index=None), "edge_index must be given"),
    # Batch.pad
    "too few nodes": (lambda: batch().pad(num_nodes=2), r"num_nodes=2 is too small.*room for 3"),
    "too few edges": (lambda: batch().pad(num_edges=0), r"num_edges=0 is too small.*room for 1"),
    "too few graphs": (
        lambda: batch().pad(num_graphs=1),
        r"num_graphs=1 is too small.*room for 2",
    ),
}

# What the annotations say of which argument; without their checks our own sentence remains.
TYPE_ERRORS = {
    "transposed edge_index": (
        lambda: data(edge_index=np.zeros((3, 2), np.int32)),
        "edge_index",
        r"edge_index must have shape \(2, edges\).*got \(3, 2\)",
    ),
    "transposed edge_index in a batch": (
        lambda: batch(edge_index=np.zeros((3, 2), np.int32)),
        "edge_index",
        r"edge_index must have shape \(2, edges\).*got \(3, 2\)",
    ),
    "float edge_index": (
        lambda: data(edge_index=np.zeros((2, 3), np.float32)),
        "edge_index",
        "edge_index must hold signed integers, got float32",
    ),
    "unsigned edge_index": (
        lambda: data(edge_index=np.zeros((2, 3), np.uint32)),
        "edge_index",
        "edge_index must hold signed integers, got uint32",
    ),
    "scalar x": (
        lambda: data(x=np.ones(()), num_nodes=3),
        "x",
        r"x must have one row for each of the 3 nodes, got shape \(\)",
    ),
    "graph_mask of integers": (
        lambda: batch(graph_mask=np.array([1, 1])),
        "graph_mask",
        r"graph_mask must be a bool for each of the 2 graphs, got int",
    ),
    "a batch in a list of graphs": (
        lambda: Batch.from_data_list([batch()]),
        "graphs",
        "graph 0 must be a Data, got Batch",
    ),
}

CHECKS_OFF = jaxtyping.config.jaxtyping_disable


@pytest.mark.parametrize("make, message", VALUE_ERRORS.values(), ids=VALUE_ERRORS.keys())
def test_a_wrong_value_is_one_clear_sentence(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("make, argument, message", TYPE_ERRORS.values(), ids=TYPE_ERRORS.keys())
def test_a_wrong_type_is_refused_with_and_without_type_checks(make, argument, message):
    if CHECKS_OFF:
        with pytest.raises(ValueError, match=message):
            make()
    else:
        with pytest.raises(jaxtyping.TypeCheckError, match=f"parameter '{argument}'"):
            make()


def test_what_the_table_changes_is_right_before():
    assert data().num_nodes == batch().num_nodes == 3
    assert collate().num_graphs == 2


@pytest.mark.skipif(CHECKS_OFF, reason="this is the inner run")
def test_the_same_sentences_come_without_type_checks():
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__],
        env=os.environ | {"JAXTYPING_DISABLE": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3000:]


def test_an_integer_that_does_not_fit_is_not_cut_off():
    """Cut to 32 bits, this padding edge would be one between nodes 0 and 0."""
    edge_index = np.array([[0, 2**32], [1, 2**32]])
    with jax.enable_x64(False), pytest.raises(ValueError, match="fit into int32, got 4294967296"):
        Batch(np.zeros((2, 1), np.float32), edge_index, batch=BatchVector(np.zeros(2, int), 1))
