"""The benchmark times the same computation in both frameworks."""

import pathlib
import sys

import equinox as eqx
import jax
import numpy as np
import pytest

sys.path.append(str(pathlib.Path(__file__).parents[1]))

from benchmarks import _inputs, _measure, _ours, _pyg
from benchmarks._ours_classifier import Classifier as OurClassifier
from benchmarks._pyg_classifier import CONVS
from benchmarks._pyg_classifier import Classifier as TheirClassifier
from benchmarks._workloads import BOTH, FORWARD, GLOBAL_POOLS, OURS, POOLS, PYG, STEP, Workload


@pytest.mark.parametrize("name", GLOBAL_POOLS)
def test_global_pools_give_equal_outputs_and_gradients(name):
    inputs = _inputs.make(Workload("pools", 3, 20, (), features=4), None)
    out, (gradient,) = _ours.operations(inputs)[name, BOTH]()()
    (other,), (other_gradient,) = _pyg.operations(inputs)[name, BOTH]()()
    np.testing.assert_allclose(out, other.detach(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient, other_gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", POOLS)
def test_layers_keep_as_many_nodes_and_give_gradients_of_as_many_parameters(name):
    inputs = _inputs.make(Workload("layers", 2, 6, (), features=4), None)
    ours, theirs = _ours.operations(inputs), _pyg.operations(inputs)
    out, (gradients,) = ours[name, BOTH]()()
    other, other_gradients = theirs[name, BOTH]()()
    assert int(out.num_kept) == len(other[0]) == len(theirs[name, FORWARD]()()[0])
    shapes = sorted(leaf.size for leaf in jax.tree.leaves(gradients))
    assert shapes == sorted(gradient.numel() for gradient in other_gradients)


@pytest.mark.parametrize("scorer", ["gcn", "graph"])
def test_the_classifiers_have_the_same_parameters_and_learn(scorer):
    ours = OurClassifier(3, 10, scorer, "float32", key=jax.random.key(0))
    theirs = TheirClassifier(3, 10, CONVS[scorer])
    sizes = sorted(leaf.size for leaf in jax.tree.leaves(eqx.filter(ours, eqx.is_array)))
    assert sizes == sorted(parameter.numel() for parameter in theirs.parameters())
    inputs = _inputs.make(Workload("classifier", 4, 6, (), features=3), None)
    step = _pyg.operations(inputs)[f"classifier ({scorer})", STEP]()
    losses = [float(step()) for _ in range(10)]
    assert losses[-1] < losses[0]


def test_both_take_turns(monkeypatch):
    monkeypatch.setattr(_measure, "QUICK", 0.0)
    team = _measure.Team(scatter=None, folder=None)
    workload = Workload("pools", 2, 10, ("global_add_pool",), "float64", frameworks=(OURS, PYG))
    try:
        records = list(_measure.interleaved(team, workload, _measure.Pace(2, 2, 0.5)))
    finally:
        team.stop()
    assert {(r["framework"], r["pass"]) for r in records} == {
        (framework, way) for framework in (OURS, PYG) for way in (FORWARD, BOTH)
    }
    assert all("error" not in record and len(record["seconds"]) == 2 for record in records)
