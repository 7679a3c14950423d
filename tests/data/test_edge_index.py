import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import EdgeIndex

# 0 → 1, 2 → 1, 3 → 1, 1 → 0, 3 → 3, and padding.
EDGES = np.array([[0, 2, 3, 1, 3, 4], [1, 1, 1, 0, 3, 4]], np.int32)


def test_worked_by_hand():
    edges = EdgeIndex.of(EDGES, 4, columns=2)
    lists = edges.neighbours
    assert lists.sources.tolist() == [[1, 4], [0, 2], [4, 4], [3, 4]]
    assert lists.late_sources.tolist() == [[3], [1]]
    assert lists.targets.tolist() == [[1, 4], [0, 4], [1, 4], [1, 3]]
    assert lists.late_targets.tolist() == [[4], [4]]
    assert edges.index.tolist() == EDGES.tolist()
    assert edges.shape == (2, 6) and edges.dtype == jnp.int32


def test_room_for_late_edges_is_kept():
    late = EdgeIndex.of(EDGES, 4, columns=2, num_late=3).neighbours.late_sources
    assert late.tolist() == [[3, 4, 4], [1, 4, 4]]


def test_no_edges_and_no_nodes():
    edges = EdgeIndex.of(np.zeros((2, 0), np.int32), 0)
    assert edges.neighbours.sources.shape == (0, 8)
    assert edges.neighbours.late_targets.shape == (2, 0)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((EDGES, 4, 0), "columns must be at least 1, got 0"),
        ((EDGES, 4, 1, 1), "num_late must be at least 2, the number of edges that have no column"),
        ((EDGES, 3), "edge_index must hold node indices below 3"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        EdgeIndex.of(*arguments)


def test_tracing_is_refused():
    with pytest.raises(ValueError, match="edge_index must have values"):
        jax.jit(lambda edge_index: EdgeIndex.of(edge_index, 4))(EDGES)
