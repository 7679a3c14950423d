"""Graphs from files and from other libraries."""

import collections
import json
import os
import pathlib
import sys

import equinox as eqx
import numpy as np
import pytest

from jraphx_eqx.data import Batch, Data
from jraphx_eqx.loading import (
    Folder,
    Loader,
    budget,
    digits,
    from_jraph,
    from_networkx,
    read_graph,
    read_tu,
    to_jraph,
    to_networkx,
    write_graph,
)

# Two graphs: a path of three nodes, with a loop and one edge twice, and two nodes without edges.
TU = {
    "A": "2, 1\n1, 2\n2, 3\n3, 2\n1, 2\n3, 3\n",
    "graph_indicator": "1\n1\n1\n2\n2\n",
    "graph_labels": "1\n-1\n",
    "node_labels": "5\n7\n5\n6\n7\n",
    "node_attributes": "0.5, 1\n1.5, 2\n2.5, 3\n3.5, 4\n4.5, 5\n",
    "edge_labels": "0\n1\n1\n0\n1\n0\n",
}


@pytest.fixture
def tu(tmp_path):
    """Writes a TU data set, with changes, and gives its folder."""

    def write(**changes):
        for name, text in (TU | changes).items():
            if text is not None:
                (tmp_path / f"TINY_{name}.txt").write_text(text)
        return tmp_path

    return write


def test_a_tu_folder_is_read_as_pyg_reads_it(tu):
    first, second = read_tu(tu())
    assert first.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert first.edge_attr.tolist() == [[0, 2], [1, 0], [0, 1], [1, 0]]
    assert first.x.tolist() == [[1, 0, 0], [0, 0, 1], [1, 0, 0]]
    assert (int(first.y), int(second.y)) == (1, 0)
    assert second.edge_index.shape == (2, 0) and second.x.tolist() == [[0, 1, 0], [0, 0, 1]]
    assert first.x.dtype == first.edge_attr.dtype == np.float32
    with_attributes = read_tu(tu(), use_node_attr=True, use_edge_attr=True)
    assert with_attributes[1].x.tolist() == [[3.5, 4, 0, 1, 0], [4.5, 5, 0, 0, 1]]
    assert eqx.tree_equal(with_attributes[0].edge_attr, first.edge_attr)


def test_a_tu_folder_without_labels_has_graphs_without_features(tu):
    without = dict.fromkeys(("node_labels", "node_attributes", "edge_labels"))
    first, second = read_tu(tu(graph_attributes="0.5\n2.5\n", **without))
    assert first.x is None and first.edge_attr is None
    assert (first.num_nodes, second.num_nodes) == (3, 2)
    assert (float(first.y), float(second.y)) == (0.5, 2.5)
    (batch,) = Loader([first, second], budget([first, second], 2))
    assert batch.x is None and batch.num_nodes == 5


def test_a_tu_set_in_one_file_is_the_same(tu, tmp_path):
    arrays = {
        "edge_index": np.array([[1, 0, 1, 2, 0, 2], [0, 1, 2, 1, 1, 2]]),
        "ptr": np.array([0, 3, 5]),
        "y": np.array([1, 0], np.uint8),
        "node_label": np.array([5, 7, 5, 6, 7], np.uint8),
        "edge_label": np.array([0, 1, 1, 0, 1, 0], np.uint8),
    }
    np.savez(tmp_path / "TINY.npz", **arrays)
    assert eqx.tree_equal(read_tu(tmp_path / "TINY.npz"), read_tu(tu()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"node_labels": "5\n7\n"}, "there must be 5 lines for the nodes, got 2"),
        ({"edge_labels": "5\n7\n"}, "there must be 6 lines for the edges, got 2"),
        ({"graph_labels": "5\n"}, "y must have a row for each of the 2 graphs, got 1"),
        ({"graph_indicator": "2\n1\n1\n2\n2\n"}, "must name the graphs in order"),
        ({"node_labels": "5\nx\n"}, "TINY_node_labels.txt must hold numbers"),
        ({"A": "1, 9\n"}, "edge_index must hold nodes of one graph each, got 0 and 8"),
        ({"A": "1, 4\n"}, "edge_index must hold nodes of one graph each, got 0 and 3"),
    ],
)
def test_a_tu_folder_that_contradicts_itself_is_refused(tu, changes, message):
    with pytest.raises(ValueError, match=message):
        read_tu(tu(**changes))


def test_a_folder_without_a_tu_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must hold one file NAME_A.txt .* got none"):
        read_tu(tmp_path)
    np.savez(tmp_path / "some.npz", x=np.zeros(3))
    with pytest.raises(ValueError, match="must hold the array 'edge_index', and has"):
        read_tu(tmp_path / "some.npz")


def published():
    """The folder of TU sets, as `.npz` files, that an environment variable names."""
    return pathlib.Path(os.environ.get("TU_DATASETS", "no folder"))


@pytest.mark.parametrize("name", ["MUTAG", "IMDB-BINARY", "ENZYMES"])
def test_a_published_set_has_its_published_numbers(name):
    if not (published() / f"{name}.npz").is_file():
        pytest.skip("the TU sets are not part of the project: TU_DATASETS names their folder")
    expected = json.loads((published() / "stats.json").read_text())[name]["stats"]
    graphs = read_tu(published() / f"{name}.npz")
    assert len(graphs) == expected["graphs"]
    assert sum(graph.num_nodes for graph in graphs) == expected["nodes"]
    assert len({int(graph.y) for graph in graphs}) == expected["classes"]
    seen = sum(int(b.graph_mask.sum()) for b in Loader(graphs, budget(graphs, 32)))
    assert seen == len(graphs)


FULL = Data(
    np.array([[1.0], [2], [3]], np.float32),
    np.array([[0, 2], [1, 0]], np.int32),
    np.array([0.5, 1.5], np.float32),
    y=np.int32(1),
    pos=np.ones((3, 2), np.float32),
    extras={
        "node": {"id": np.array([7, 8, 9], np.int32)},
        "edge": {"kind": np.array([3, 4], np.int32)},
        "graph": {"weight": np.float32(0.25)},
    },
)


def test_a_graph_is_written_and_read(tmp_path):
    write_graph(tmp_path / "0.npz", FULL)
    assert eqx.tree_equal(read_graph(tmp_path / "0.npz"), FULL)


def test_a_folder_is_read_one_file_at_a_time(tmp_path):
    for number in range(12):
        graph = Data(np.full((2, 1), number, np.float32), np.zeros((2, 1), np.int32))
        write_graph(tmp_path / f"{number:02}.npz", graph)
    folder = Folder(tmp_path)
    assert len(folder) == 12 and [int(g.x[0, 0]) for g in folder[3:5]] == [3, 4]
    batches = list(Loader(folder, budget(folder, 4), shuffle=False))
    assert [b.x[0, 0].tolist() for b in batches] == [0, 4, 8]
    read = []
    Folder(tmp_path, lambda path: read.append(path) or FULL, pattern="*1.npz")[1]
    assert [path.name for path in read] == ["11.npz"]


def test_a_file_that_holds_no_graph_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"must hold files like \*.npz, and has none"):
        Folder(tmp_path)
    (tmp_path / "0.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"0.npz does not hold a graph: No data left"):
        Folder(tmp_path)[0]
    np.savez(tmp_path / "0.npz", z=np.zeros(3))
    with pytest.raises(ValueError, match=r"0.npz does not hold a graph: .*'z'"):
        Folder(tmp_path)[0]


def test_networkx_in_both_directions():
    networkx = pytest.importorskip("networkx")
    there = to_networkx(FULL)
    assert there.edges[2, 0]["kind"] == 4 and there.nodes[1]["id"] == 8
    assert eqx.tree_equal(from_networkx(there), FULL)
    with pytest.raises(ValueError, match="multi must be True for a graph with double edges"):
        to_networkx(Data(FULL.x, np.zeros((2, 2), np.int32)))
    twice = to_networkx(Data(FULL.x, np.zeros((2, 2), np.int32)), multi=True)
    assert twice.number_of_edges() == 2
    assert networkx.number_of_nodes(to_networkx(Data(None, FULL.edge_index, num_nodes=4))) == 4


def test_attributes_of_networkx_become_columns():
    networkx = pytest.importorskip("networkx")
    graph = networkx.Graph(y=3)
    graph.add_node("a", mass=1.0, charge=2, name=0)
    graph.add_node("b", mass=3.0, charge=4, name=1)
    graph.add_edge("b", "a", weight=0.5)
    data = from_networkx(graph, x=["mass", "charge"], edge_attr=["weight"])
    assert data.x.tolist() == [[1, 2], [3, 4]] and data.x.dtype == np.float32
    assert data.edge_index.tolist() == [[0, 1], [1, 0]]
    assert data.edge_attr.tolist() == [[0.5], [0.5]] and int(data.y) == 3
    assert set(data.extras["node"]) == {"name"}
    graph.remove_edge("a", "b")
    assert from_networkx(graph, edge_attr=["weight"]).edge_attr.shape == (0, 1)
    graph.add_node("c", mass=1.0, charge=2)
    with pytest.raises(ValueError, match="node 2 must have the attribute 'name', and has not"):
        from_networkx(graph)
    graph.nodes["c"]["name"] = "carbon"
    with pytest.raises(ValueError, match="the attribute 'name' must hold numbers of one shape"):
        from_networkx(graph)
    graph.nodes["c"].update(name=2, more=1)
    with pytest.raises(ValueError, match=r"node 2 has \['more'\], and node 0 has not"):
        from_networkx(graph)


def test_jraph_in_both_directions(monkeypatch):
    monkeypatch.setitem(sys.modules, "jraph", Jraph)
    other = Data(
        np.zeros((2, 1), np.float32),
        np.array([[1], [0]], np.int32),
        np.zeros(1, np.float32),
        y=np.int32(0),
    )
    plain = eqx.tree_at(
        lambda g: (g.pos, g.extras), FULL, (None, other.extras), is_leaf=lambda x: x is None
    )
    there = to_jraph(Batch.from_data_list([plain, other]).pad(num_nodes=9, num_graphs=3))
    assert there.nodes.shape == (5, 1) and there.globals.tolist() == [1, 0]
    assert there.n_node.tolist() == [3, 2] and there.n_edge.tolist() == [2, 1]
    assert there.senders.tolist() == [0, 2, 4] and there.receivers.tolist() == [1, 0, 3]
    assert eqx.tree_equal(from_jraph(there), [plain, other])
    there = to_jraph(Batch.from_data_list([FULL, FULL]))
    assert set(there.nodes) == {"x", "pos", "id"}
    assert eqx.tree_equal(from_jraph(there), [FULL, FULL])
    assert to_jraph(Batch.from_data_list([Data(None, FULL.edge_index, num_nodes=3)])).nodes is None
    with pytest.raises(ValueError, match="nodes must hold arrays with a row for each of the 6"):
        from_jraph(there._replace(nodes=there.nodes["x"][:2]))


class Jraph:
    """What we need of jraph, which is no longer maintained."""

    GraphsTuple = collections.namedtuple(
        "GraphsTuple", "nodes edges receivers senders globals n_node n_edge"
    )


def test_a_digit_becomes_its_pixels_and_their_neighbours():
    image = pytest.importorskip("sklearn.datasets").load_digits().images[5]
    graph = digits()[5]
    assert graph.num_nodes == np.count_nonzero(image) and int(graph.y) == 5
    ends = graph.x[:, 1:][graph.edge_index] * 8
    assert np.all(np.abs(ends[0] - ends[1]).max(1) == 1)
    row, column = (ends[0, 0] - 1).astype(int)
    assert graph.x[graph.edge_index[0, 0], 0] == image[row, column] / 16
