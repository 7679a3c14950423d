"""The comparison of poolings on data sets: its table, and a run that goes on."""

import json
import pathlib

import numpy as np
import pytest

pytest.importorskip("typer")
from benchmarks import evidence

ROOT = pathlib.Path(__file__).parents[2]


def run(fold, accuracy, framework="ours"):
    key = {"data_set": "A", "framework": framework, "pool": "topk", "fold": fold, "epochs": 3}
    return key | {"accuracy": accuracy, "parameters": 1234, "cpu": fold / 4}


def test_the_table_has_the_mean_and_the_spread_over_folds():
    *_, both = evidence.table([run(1, 0.5), run(3, 0.7), run(2, 0.25, "pyg")]).splitlines()
    assert both == "| A, 2 folds, 3 epochs | topk | 60.0 ± 14.1 | 25.0 | 1,234 | 0.50 | 0.50 |"
    *_, one = evidence.table([run(1, 0.5)]).splitlines()
    assert one == "| A, 1 fold, 3 epochs | topk | 50.0 |  | 1,234 | 0.25 |  |"


def test_the_table_of_the_page_is_that_of_the_results():
    results = (ROOT / "docs" / "assets" / "benchmarks" / "training.jsonl").read_text()
    runs = [json.loads(line) for line in results.splitlines()]
    assert evidence.table(runs) in (ROOT / "docs" / "benchmarks-training.md").read_text()


@pytest.mark.full
def test_runs_that_are_there_are_not_run_again(tmp_path, capsys, quick_compile):
    pytest.importorskip("torch_geometric")
    rng = np.random.default_rng(0)
    source = np.flatnonzero(np.arange(48) % 4 < 3)  # twelve paths of four nodes
    arrays = {
        "edge_index": np.stack([source, source + 1]),
        "ptr": 4 * np.arange(13),
        "y": np.arange(12) % 2,
        "node_label": rng.integers(0, 3, 48),
    }
    np.savez(tmp_path / "PATHS.npz", **arrays)
    np.savez(tmp_path / "splits_errica2020.npz", PATHS=np.tile(np.arange(12) // 4, (10, 1)))
    results = tmp_path / "results.jsonl"
    evidence.main(tmp_path, results, ["PATHS"], ["topk"], [0], epochs=1, pyg=False)
    evidence.main(tmp_path, results, ["PATHS"], ["topk", "flat"], [0], epochs=1)
    found = [json.loads(line) for line in results.read_text().splitlines()]
    kinds = [(run["framework"], run["pool"]) for run in found]
    assert kinds == [("ours", "topk"), ("ours", "flat"), ("pyg", "flat"), ("pyg", "topk")]
    counts = {run["pool"]: set() for run in found}
    for one in found:
        counts[one["pool"]].add(one["parameters"])
        assert 0 <= one["accuracy"] <= 1
    assert [len(numbers) for numbers in counts.values()] == [1, 1]  # those of PyG are as many
