"""Our side of the benchmark, at tiny sizes."""

import signal
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import __main__, _inputs, _measure, _ours, _workloads
from benchmarks._worker import Failed, Worker
from benchmarks._workloads import BOTH, FORWARD, OURS, STEP, Workload

TINY = Workload("layers", 2, 5, ("TopKPooling",), features=3, frameworks=(OURS,))
PACE = _measure.Pace(turns=2, calls=3, seconds=0.5)


@pytest.fixture(scope="module")
def team():
    team = _measure.Team(scatter=None, folder=None)
    yield team
    team.stop()


@pytest.mark.parametrize(("quick", "turns"), [(0.0, 2), (60.0, 6)])
def test_times_come_by_turns_for_each_pass_and_more_if_calls_are_quick(
    team, quick, turns, monkeypatch
):
    monkeypatch.setattr(_measure, "QUICK", quick)
    records = list(_measure.interleaved(team, TINY, PACE))
    assert [(r["operator"], r["pass"]) for r in records] == [
        ("TopKPooling", FORWARD),
        ("TopKPooling", BOTH),
    ]
    for record in records:
        assert [len(turn) for turn in record["seconds"]] == [3] * turns
        assert all(seconds > 0 for turn in record["seconds"] for seconds in turn)


def test_a_frameworks_failure_is_recorded_and_the_others_go_on(team):
    bad = Workload("real", 4, 0, ("TopKPooling",), dataset="none such", frameworks=(OURS,))
    (record,) = _measure.interleaved(team, bad, PACE)
    assert "FileNotFoundError" in record["error"] and "seconds" not in record
    assert len(list(_measure.interleaved(team, TINY, PACE))) == 2


def test_a_worker_that_dies_is_started_again():
    worker = Worker(OURS)
    try:
        worker.prepare(TINY)
        worker._process.kill()
        with pytest.raises(Failed, match="the process ended"):
            worker.time(("TopKPooling", FORWARD), 1, 1.0)
        assert worker.time(("TopKPooling", FORWARD), 1, 1.0)
    finally:
        worker.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's report on a process")
def test_the_peak_of_memory_holds_the_output(team):
    large = Workload("pools", 1, 400_000, ("global_add_pool",), frameworks=(OURS,))
    team[OURS].prepare(large)
    found = team[OURS].peak(("global_add_pool", BOTH))
    gradient = 400_000 * 64 * 4
    assert found["before"] > gradient
    assert gradient < found["peak"] - found["before"] < 10 * gradient


def test_a_series_ends_where_time_or_memory_would():
    small = Workload("scaling", 1, 1000, ())
    large = Workload("scaling", 1, 10_000, ())
    assert _measure._too_large(large, None) == ""
    assert _measure._too_large(large, (small, 1.0, 2**20)) == ""
    assert "more than 20 s" in _measure._too_large(large, (small, 3.0, 2**20))
    assert "of memory" in _measure._too_large(large, (small, 1.0, 2**50))


def test_forward_and_backward_gives_output_and_gradients_for_a_random_cotangent():
    inputs = _inputs.make(Workload("pools", 3, 12, (), features=2), None)
    out, (gradient,) = _ours.operations(inputs)["global_mean_pool", BOTH]()()
    sums = np.stack([inputs.x[inputs.batch == graph].mean(0) for graph in range(3)])
    np.testing.assert_allclose(out, sums, rtol=1e-5)
    expected = inputs.cotangent((3, 2))[inputs.batch] / 4
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)
    assert len(np.unique(inputs.cotangent((3, 2)))) == 6


@pytest.mark.full
def test_each_call_of_the_classifier_takes_a_step():
    inputs = _inputs.make(Workload("classifier", 4, 6, (), features=3), None)
    step = _ours.operations(inputs)["classifier (gcn)", STEP]()
    losses = [float(step()) for _ in range(10)]
    assert losses[-1] < losses[0]
    assert len(set(losses)) == 10


def test_real_batches_are_padded_to_the_size_that_holds_all_of_them():
    inputs = _inputs.make(Workload("real", 128, 0, (), dataset="digits"), None)
    nodes, edges = inputs.capacity
    assert len(inputs.x) <= nodes and inputs.edge_index.shape[1] <= edges
    assert inputs.edge_index.max() < len(inputs.x) and inputs.num_classes == 10
    out = _ours.operations(inputs)["TopKPooling", FORWARD]()()
    assert out.x.shape[0] <= nodes and bool(jnp.all(jnp.isfinite(out.x)))
    jax.config.update("jax_enable_x64", False)


def test_every_part_names_operators_that_we_have():
    inputs = _inputs.make(TINY, None)
    have = {name for name, _ in _ours.operations(inputs)}
    for quick in (False, True):
        parts = [_workloads.pools, _workloads.layers, _workloads.classifier, _workloads.compiling]
        workloads = [w for part in (*parts, _workloads.memory) for w in part(quick)]
        workloads += _workloads.real(quick, ["digits"])
        workloads += [w for series in _workloads.scaling(quick) for w in series]
        assert all(set(w.operators) <= have for w in workloads)


def test_a_device_that_is_not_there_is_said(team):
    if jax.default_backend() == "gpu":
        pytest.skip("there is a GPU")
    elsewhere = _measure.Team(scatter=None, folder=None, device="gpu", frameworks=(OURS,))
    try:
        with pytest.raises(Failed, match="JAX finds no gpu"):
            elsewhere.device()
        (record,) = _measure.interleaved(elsewhere, TINY, PACE)
        assert "JAX finds no gpu" in record["error"]
    finally:
        elsewhere.stop()


def test_who_does_not_take_part_is_not_measured():
    team = _measure.Team(scatter=None, folder=None, frameworks=(OURS,))
    assert team.has(OURS) and not any(map(team.has, _workloads.FRAMEWORKS[1:]))


@pytest.mark.full
def test_a_run_that_is_stopped_gives_what_was_measured(monkeypatch):
    def run(part, *_):
        yield _measure.record(TINY, ("TopKPooling", BOTH), OURS, seconds=[[1.0]])
        raise KeyboardInterrupt

    monkeypatch.setattr(__main__, "_run", run)
    names = ("passive", "huge_pages", "keep_memory")
    options = {"quick": True, "device": "cpu", **dict.fromkeys(names, False)}
    handler = signal.getsignal(signal.SIGTERM)
    try:
        results = __main__.measure(["layers", "real"], options | {"frameworks": [OURS]}, None, None)
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert [record["seconds"] for record in results["records"]] == [[[1.0]]]
    assert results["skipped"][-1] == "what comes after the last of layers here: the run was stopped"
    assert results["machine"]["device"] == "cpu"
