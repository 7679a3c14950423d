"""Data sets of the TU collection, as PyG reads them from their text files.

The files are not part of the project. Those of real sets are made from `NAME.npz` in the folder
that the environment variable `TU_DATASETS` names.
"""

import os
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch_geometric.datasets import TUDataset
from torch_geometric.transforms import Constant

from jraphx_eqx.data import Batch
from jraphx_eqx.interop import from_pyg, to_pyg

FOLDER = os.environ.get("TU_DATASETS")
NAMES = ("MUTAG", "PTC_MR", "ENZYMES", "IMDB-BINARY")
SMALL = {
    "edge_index": np.array([[0, 1, 1, 2, 4, 5], [1, 0, 2, 1, 5, 4]]),
    "ptr": np.array([0, 3, 4, 6]),
    "y": np.array([1, 0, 1]),
    "node_label": np.array([0, 2, 1, 1, 0, 2]),
    "node_attr": np.array([[0.5], [1.5], [-2.0], [0.25], [3.0], [0.0]], np.float32),
    "edge_label": np.array([0, 0, 1, 1, 0, 0]),
}


def write_text(arrays, folder, name):
    """The files of the TU collection, which count from 1."""
    raw = folder / name / "raw"
    raw.mkdir(parents=True)

    def write(suffix, rows):
        rows = np.asarray(rows).reshape(len(rows), -1)
        lines = [", ".join(str(value) for value in row) for row in rows.tolist()]
        (raw / f"{name}_{suffix}.txt").write_text("\n".join(lines) + "\n")

    write("A", arrays["edge_index"].T + 1)
    write("graph_indicator", 1 + np.repeat(np.arange(len(arrays["y"])), np.diff(arrays["ptr"])))
    write("graph_labels", arrays["y"])
    for key, suffix in {
        "node_label": "node_labels",
        "node_attr": "node_attributes",
        "edge_label": "edge_labels",
        "edge_attr": "edge_attributes",
    }.items():
        if key in arrays:
            write(suffix, arrays[key])


@pytest.fixture(params=["small", *NAMES])
def collection(request, tmp_path, monkeypatch):
    """Arrays, and PyG's data set of them."""
    name = request.param
    if name == "small":
        arrays = SMALL
    else:
        path = pathlib.Path(FOLDER or "") / f"{name}.npz"
        if not path.is_file():
            pytest.skip(f"TU_DATASETS={FOLDER} has no {name}.npz")
        with np.load(path, allow_pickle=False) as found:
            arrays = {key: found[key] for key in found.files if key != "meta"}
    write_text(arrays, tmp_path, name)
    return arrays, TUDataset(str(tmp_path), name, use_node_attr=True, use_edge_attr=True)


def test_a_data_set_is_a_list_of_its_graphs_in_one_call(collection):
    arrays, dataset = collection
    graphs = from_pyg(dataset)
    assert len(graphs) == len(arrays["y"]) == len(dataset)
    starts = arrays["ptr"]
    ends = np.searchsorted(arrays["edge_index"][0], starts)
    for g, graph in enumerate(graphs):
        edges = arrays["edge_index"][:, ends[g] : ends[g + 1]] - starts[g]
        np.testing.assert_array_equal(graph.edge_index, edges)
        assert graph.num_nodes == starts[g + 1] - starts[g]
        assert graph.y == arrays["y"][g]
        if "node_label" in arrays:
            labels = arrays["node_label"].reshape(len(arrays["node_label"]), -1)
            width = int(labels[:, 0].max()) + 1
            one_hot = np.eye(width)[labels[starts[g] : starts[g + 1], 0]]
            first = arrays["node_attr"].shape[1] if "node_attr" in arrays else 0
            np.testing.assert_array_equal(graph.x[:, first : first + width], one_hot)
        if "node_attr" in arrays:
            attributes = arrays["node_attr"][starts[g] : starts[g + 1]]
            np.testing.assert_array_equal(graph.x[:, : attributes.shape[1]], attributes)


def test_its_graphs_batch_as_pygs_and_go_back(collection):
    _, dataset = collection
    graphs = from_pyg(dataset)[:20]
    batch = Batch.from_data_list(graphs)
    theirs = next(iter(_loader(dataset[: len(graphs)])))
    np.testing.assert_array_equal(batch.edge_index, theirs.edge_index)
    np.testing.assert_array_equal(batch.batch.index, theirs.batch)
    np.testing.assert_array_equal(jnp.ravel(batch.y), theirs.y)
    for mine, other in zip(to_pyg(graphs), dataset, strict=False):
        names = set(other.keys())
        assert set(mine.keys()) == names
        for name in names:
            assert torch.equal(torch.as_tensor(mine[name]), torch.as_tensor(other[name])), name


def _loader(graphs):
    from torch_geometric.loader import DataLoader

    return DataLoader(graphs, batch_size=len(graphs))


def test_the_transform_of_a_data_set_is_applied(tmp_path):
    arrays = {key: SMALL[key] for key in ("edge_index", "ptr", "y")}
    write_text(arrays, tmp_path, "plain")
    graphs = from_pyg(TUDataset(str(tmp_path), "plain", transform=Constant(2.0)))
    np.testing.assert_array_equal(graphs[0].x, np.full((3, 1), 2.0))
