"""The page of PyG's pooling operators has a row for each, and says truly what is here."""

import pkgutil
import re
from pathlib import Path

import torch_geometric.nn as pyg

PAGE = Path(__file__).parents[1] / "docs/pyg-operators.md"
ROW = re.compile(r"^\| `(\w+)` \| (?:\[`\w+`\]\[([\w.]+)\])?(.*?) \| (.*) \|$", re.MULTILINE)
DENSE = {"dense_diff_pool", "dense_mincut_pool", "DMoNPooling"}


def test_every_operator_of_pyg_has_a_row_and_what_a_row_names_is_here():
    text = PAGE.read_text()
    rows = ROW.findall(text)
    names = [name for name, *_ in rows]
    theirs = {*pyg.pool.__all__, *DENSE, "knn_interpolate", *pyg.aggr.__all__} - {"Aggregation"}
    assert len(names) == len(set(names)) and set(names) == theirs
    for _, ours, reason, how in rows:
        assert (pkgutil.resolve_name(ours) and how != "-") if ours else (reason and how == "-")
    here = [name for name, ours, *_ in rows if ours]
    assert f"All {len(rows)} of PyG 2.8" in text and f"{len(here)} are here" in text
