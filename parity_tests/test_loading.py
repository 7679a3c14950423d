"""TU folders, read by PyG and by ours."""

import numpy as np
import pytest
from torch_geometric.datasets import TUDataset

from jraphx_eqx.interop import from_pyg
from jraphx_eqx.loading import read_tu

# A path of three nodes, with a loop and one edge twice; and two nodes with an edge.
TEXTS = {
    "A": "2, 1\n1, 2\n2, 3\n3, 2\n1, 2\n3, 3\n4, 5\n5, 4\n",
    "graph_indicator": "1\n1\n1\n2\n2\n",
    "graph_labels": "1\n-1\n",
    "node_labels": "5\n7\n5\n6\n7\n",
    "node_attributes": "0.5, 1\n1.5, 2\n2.5, 3\n3.5, 4\n4.5, 5\n",
    "edge_labels": "0\n1\n1\n0\n1\n0\n1\n0\n",
    "edge_attributes": "0.1\n0.2\n0.3\n0.4\n0.5\n0.6\n0.7\n0.8\n",
}


def written(folder, texts):
    raw = folder / "TINY" / "raw"
    raw.mkdir(parents=True)
    for name, text in texts.items():
        (raw / f"TINY_{name}.txt").write_text(text)
    return raw


@pytest.mark.parametrize("attributes", [False, True])
def test_a_tu_folder_is_read_as_by_pyg(tmp_path, attributes, capfd):
    raw = written(tmp_path, TEXTS)
    options = {"use_node_attr": attributes, "use_edge_attr": attributes}
    theirs = from_pyg(TUDataset(str(tmp_path), "TINY", **options))
    ours = read_tu(raw, **options)
    assert len(theirs) == len(ours) == 2
    for one, other in zip(theirs, ours, strict=True):
        for field in ("x", "edge_index", "edge_attr", "y"):
            np.testing.assert_allclose(getattr(one, field), getattr(other, field), rtol=1e-6)


def test_pyg_loses_a_last_graph_without_edges(tmp_path, capfd):
    texts = TEXTS | {"graph_indicator": "1\n" * 5 + "2\n", "node_labels": "5\n" * 6}
    del texts["node_attributes"]
    assert len(read_tu(written(tmp_path, texts))) == 2
    assert len(from_pyg(TUDataset(str(tmp_path), "TINY"))) == 1
