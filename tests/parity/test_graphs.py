"""The generators make what their names say."""

import numpy as np
import pytest

from jraphx_eqx.parity import graphs


@pytest.mark.parametrize("make", [graphs.random, *graphs.CORNERS], ids=lambda make: make.__name__)
def test_cases_are_reproducible_float32_and_stay_inside_their_graphs(make):
    case, again = make(3), make(3)
    for name, value in case.arrays.items():
        assert np.array_equal(value, again[name])
    assert case["x"].dtype == case["edge_attr"].dtype == np.float32
    source, target = case["edge_index"]
    assert np.array_equal(case["batch"][source], case["batch"][target])
    assert len(case["edge_attr"]) == len(case["edge_weight"]) == len(source)
    assert np.all((case["batch"] >= 0) & (case["batch"] < case["num_graphs"]))


def test_another_seed_is_another_case():
    assert not np.array_equal(graphs.random(0)["edge_index"], graphs.random(1)["edge_index"])


def counts(case):
    return np.bincount(case["batch"], minlength=case["num_graphs"]).tolist()


def test_corner_cases_have_their_corner():
    assert counts(graphs.empty_graphs(0)) == [0, 5, 0, 0, 7, 1, 0]
    assert counts(graphs.no_nodes(0)) == [0, 0]
    assert counts(graphs.single_nodes(0)) == [1] * 5
    assert graphs.no_edges(0)["edge_index"].shape == (2, 0)
    assert np.all(np.less(*graphs.asymmetric(0)["edge_index"]))
    assert np.sum(np.equal(*graphs.self_loops(0)["edge_index"])) > 10
    assert np.any(np.diff(graphs.unsorted(0)["batch"]) < 0)
    assert set(counts(graphs.unsorted(0))) == {0, 3, 5, 6, 9}
    other = dict(graphs.linked_pairs(0)["edge_index"].T.tolist())
    assert sorted(other) == list(range(len(graphs.linked_pairs(0)["x"])))
    assert all(other[node] != node and other[other[node]] == node for node in other)
    double = graphs.double_edges(0)["edge_index"].T
    assert len(np.unique(double, axis=0)) <= len(double) // 2
    assert np.all(graphs.onehot(0)["x"].sum(1) == 1)
    assert 0 not in graphs.ties(0)["x"] and len(np.unique(graphs.ties(0)["x"])) == 4
    assert np.array_equal(np.round(8 * graphs.dyadic(0)["x"]), 8 * graphs.dyadic(0)["x"])


def test_no_number_is_subnormal():
    for case in [graphs.random(0), graphs.scales(0)]:
        assert np.abs(case["x"][case["x"] != 0]).min() > 1e-7
