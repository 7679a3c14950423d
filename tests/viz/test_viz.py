"""What is drawn where: places, colours and faint things of small graphs."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import Batch, BatchVector, Data, EdgeIndex
from jraphx_eqx.loading import Budget, Loader
from jraphx_eqx.nn.pool import DenseSelectOutput, PoolOutput, SelectOutput

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from jraphx_eqx.viz import draw_budget, draw_levels, draw_scores  # noqa: E402

POS = np.array([[0.0, 0], [1, 0], [2, 0], [3, 1]], np.float32)
PATH = Data(np.ones((4, 1), np.float32), np.array([[0, 1, 2], [1, 2, 3]], np.int32), pos=POS)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def pooled(select, edge_index, rows, real):
    index = jnp.where(jnp.arange(rows) < real, 0, 1)
    edges = jnp.array(edge_index, jnp.int32)
    return PoolOutput(jnp.ones((rows, 1)), edges, None, BatchVector(index, 1), select)


def keep(nodes, num_nodes, edge_index):
    """Of `num_nodes` rows these are kept, and there is one row of padding."""
    rows = len(nodes) + 1
    select = SelectOutput(
        jnp.array([*nodes, num_nodes]),
        jnp.array([*range(len(nodes)), rows]),
        num_nodes=num_nodes,
        num_clusters=rows,
        keeps_nodes=True,
    )
    return pooled(select, edge_index, rows, len(nodes))


def drawn(axes):
    """Places of hollow and of filled nodes, and the numbers of faint and of other edges."""
    hollow, filled = (c.get_offsets() for c in axes.collections[2:])
    faint, other = (len(c.get_segments()) for c in axes.collections[:2])
    return np.asarray(hollow).tolist(), np.asarray(filled).tolist(), faint, other


@pytest.mark.parametrize("with_lists", [False, True])
def test_kept_nodes_are_filled_and_stay_where_they_are(with_lists):
    first = keep([3, 2], 4, [[1, 3], [0, 3]])
    if with_lists:
        first = eqx.tree_at(lambda out: out.edge_index, first, EdgeIndex.of(first.edge_index, 3))
    second = keep([0], 3, [[2, 2], [2, 2]])
    axes = draw_levels(PATH, [first, second])
    assert drawn(axes[0]) == ([[0, 0], [1, 0]], [[2, 0], [3, 1]], 2, 1)
    assert drawn(axes[1]) == ([[2, 0]], [[3, 1]], 1, 0)
    assert drawn(axes[2]) == ([], [[3, 1]], 0, 0)
    assert [one.get_title() for one in axes] == [
        "4 nodes, 3 edges",
        "2 nodes, 1 edges",
        "1 nodes, 0 edges",
    ]
    assert len({(one.get_xlim(), one.get_ylim()) for one in axes}) == 1


def test_clusters_have_a_colour_and_stand_in_the_middle_of_their_nodes():
    select = SelectOutput(jnp.arange(4), jnp.array([0, 0, 1, 1]), num_nodes=4, num_clusters=2)
    axes = draw_levels(PATH, pooled(select, [[0], [1]], 2, 2))
    assert drawn(axes[0]) == ([], POS.tolist(), 2, 1)
    assert drawn(axes[1]) == ([], [[0.5, 0], [2.5, 0.5]], 0, 1)
    before, after = (one.collections[3].get_facecolors() for one in axes)
    assert np.array_equal(before, after[[0, 0, 1, 1]]) and not np.array_equal(*after)


def test_memberships_draw_a_cluster_near_those_that_it_has_most_of():
    matrix = jnp.array([[1.0, 0], [1, 0], [0.5, 0.5], [0.25, 0.75]])
    select = DenseSelectOutput(matrix, BatchVector(jnp.zeros(4, jnp.int32), 1))
    axes = draw_levels(PATH, pooled(select, [[0], [1]], 2, 2))
    _, (first, second), *_ = drawn(axes[1])
    np.testing.assert_allclose(first, matrix[:, 0] @ POS / 2.75)
    np.testing.assert_allclose(second, matrix[:, 1] @ POS / 1.25)


def test_one_graph_of_a_batch_is_laid_out_and_drawn():
    graphs = [PATH, Data(PATH.x[:2], np.array([[0], [1]], np.int32), pos=POS[:2])]
    batch = Batch.from_data_list(graphs).pad(num_nodes=8, num_edges=9, num_graphs=3)
    _, own = plt.subplots(1, 1)
    axes = draw_levels(batch, [], number=1, axes=[own])
    assert axes == [own] and drawn(own) == ([], [[0, 0], [1, 0]], 0, 1)
    without = Batch(batch.x, batch.edge_index, batch=batch.batch, graph_mask=batch.graph_mask)
    pytest.importorskip("networkx")
    first, second = (drawn(draw_levels(without, [])[0])[1] for _ in range(2))
    assert first == second and len(first) == 4
    elsewhere = np.arange(16).reshape(8, 2)
    assert drawn(draw_levels(without, [], number=1, pos=elsewhere)[0])[1] == [[8, 9], [10, 11]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"number": 1}, "number must name one of the 1 graphs, got 1"),
        ({"axes": []}, "axes must be 2, one more than poolings, got 0"),
        ({"outputs": keep([0], 5, [[0], [0]])}, "output 0 must be of a graph of 4 rows, got one"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw_levels(**{"graph": PATH, "outputs": keep([0], 4, [[0], [0]])} | arguments)


def test_a_budget_is_drawn_batch_by_batch():
    loader = Loader([PATH] * 5, Budget(10, 8, 3, 4), shuffle=False)
    axes = draw_budget(loader)
    nodes, edges, graphs = (patch.get_data().values.tolist() for patch in axes.patches)
    assert nodes == [80, 80, 40] and edges == [75, 75, 37.5]
    np.testing.assert_allclose(graphs, [200 / 3, 200 / 3, 100 / 3])
    assert axes.get_legend().get_texts()[0].get_text() == "nodes: 66.7 %"
    assert loader.state() == (0, 0)


def test_scores_of_kept_nodes_are_counted_without_padding():
    def scored(scores):
        output = keep(range(len(scores)), 4, [[0], [1]])
        weight = jnp.array([*scores, 0.0])
        select = eqx.tree_at(
            lambda s: s.weight, output.select, weight, is_leaf=lambda leaf: leaf is None
        )
        return eqx.tree_at(lambda o: o.select, output, select)

    axes = draw_scores([scored([-1.0, 1.0, 0.9]), scored([0.0])], bins=4)
    counts = [patch.get_data().values.tolist() for patch in axes.patches]
    assert counts == [[1, 0, 0, 2], [0, 0, 1, 0]]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["pooling 1: 3 nodes", "pooling 2: 1 nodes"]


def test_clusters_have_no_scores_to_draw():
    select = SelectOutput(jnp.arange(4), jnp.array([0, 0, 1, 1]), num_nodes=4, num_clusters=2)
    with pytest.raises(ValueError, match="output 0 must be of a pooling that keeps nodes"):
        draw_scores(pooled(select, [[0], [1]], 2, 2))
