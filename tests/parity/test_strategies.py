"""Drawn graphs are valid, reach the corners, and shrink."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, find, given, settings

from jraphx_eqx.parity import strategies

pytestmark = pytest.mark.usefixtures("quick_compile")
QUICK = settings(
    max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
SEARCH = settings(QUICK, max_examples=3000, derandomize=True)


def counts(case):
    return np.bincount(case["batch"], minlength=case["num_graphs"])


def rows(array):
    return len(np.unique(array, axis=0))


CORNERS = {
    "no graph": lambda c: c["num_graphs"] == 0,
    "several graphs, no node": lambda c: c["num_graphs"] > 1 and len(c["x"]) == 0,
    "an empty graph in the middle": lambda c: (
        counts(c)[1:-1].min(initial=1) == 0 and min(counts(c)[[0, -1]]) > 0
    ),
    "a loop": lambda c: np.any(np.equal(*c["edge_index"])),
    "an edge twice": lambda c: rows(c["edge_index"].T) < c["edge_index"].shape[1],
    "equal nodes": lambda c: rows(c["x"]) < len(c["x"]) and np.all(c["x"] != 0),
    "nodes all different": lambda c: len(c["x"]) > 4 and rows(c["x"]) == len(c["x"]),
}


@pytest.mark.parametrize("corner", CORNERS.values(), ids=CORNERS)
def test_corners_are_reached_and_shrink_to_little(corner):
    case = find(strategies.batch(), corner, settings=SEARCH)
    assert len(case["x"]) <= 6 and case["edge_index"].shape[1] <= 2 and case["num_graphs"] <= 3


def test_numbers_are_of_any_size_and_sign():
    for wanted in (lambda v: v > 900, lambda v: v < -900, lambda v: 0 < v < 2e-3, lambda v: v == 0):
        assert wanted(find(strategies.floats(), wanted, settings=SEARCH))


@QUICK
@given(strategies.batch(3, 5, max_edges=7, features=2, unsorted=True))
def test_cases_are_valid_and_of_one_capacity(case):
    n, e = len(case["x"]), case["edge_index"].shape[1]
    assert case["x"].shape == case["attn"].shape == (n, 2)
    assert case["edge_attr"].shape == (e, 2) and case["edge_weight"].shape == (e,)
    assert case["batch"].shape == (n,) and case["num_graphs"] <= 3
    assert all(case[a].dtype == np.int64 for a in ("edge_index", "batch"))
    source, target = case["edge_index"]
    assert np.array_equal(case["batch"][source], case["batch"][target])
    assert case.capacity == {"num_nodes": 16, "num_edges": 22, "num_graphs": 4}
    assert n <= 15 and e <= 21 and counts(case).max(initial=0) <= 5
    for name in ("x", "attn", "edge_attr", "edge_weight"):
        sizes = np.abs(case[name][case[name] != 0])
        assert case[name].dtype == np.float32
        assert np.all((sizes >= 1e-3) & (sizes <= 1e3))
    assert np.all(case["edge_weight"] >= 0)


@QUICK
@given(strategies.graph(6, min_nodes=2))
def test_a_graph_is_a_batch_of_one(case):
    assert case["num_graphs"] == 1 and 2 <= len(case["x"]) <= 6 and not case["batch"].any()


def test_nodes_of_different_graphs_are_interleaved_on_demand():
    def interleaved(case):
        return np.any(np.diff(case["batch"]) < 0)

    assert find(strategies.batch(unsorted=True), interleaved, settings=SEARCH)


def test_hypothesis_is_imported_on_demand_and_missed_with_one_line():
    program = """
import sys
sys.modules["hypothesis"] = None
import jraphx_eqx.parity
assert "jraphx_eqx.parity.strategies" not in sys.modules
try:
    import jraphx_eqx.parity.strategies
except ImportError as error:
    assert str(error) == "jraphx_eqx.parity.strategies needs Hypothesis: pip install hypothesis"
else:
    raise AssertionError
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
