"""What a comparison compiles, and how: its own programs, quickly where none is run by users."""

import contextlib

import jax
import pytest

from jraphx_eqx.parity import Tensor, pairs, run, trusted
from jraphx_eqx.parity import _candidate as candidates
from jraphx_eqx.parity._trial import RunTally, Trial
from parity_tests.catalogue import DIVERGENCES, SPECS
from parity_tests.recorded import FOLDER

SPEC = SPECS["TopKPooling"]
REFERENCES = trusted(SPEC, FOLDER, DIVERGENCES)
CONFIG, CASE = pairs(SPEC, REFERENCES.cases, "rotate")[0]


def compared(*lanes, quick=False):
    at = {"lanes": lanes, "configs": [CONFIG], "source": REFERENCES, "quick": quick}
    return [record for record in run(SPEC, [CASE], **at).records if record.case]


@pytest.fixture(autouse=True)
def nothing_compiled_before():
    candidates.quick_options()
    candidates.clear_caches()
    yield
    candidates.clear_caches()


@pytest.fixture
def programs():
    """The names of the programs that are compiled."""
    names = []

    def listen(event, seconds, fun_name="", **more):
        if event.endswith("backend_compile_duration"):
            names.append(fun_name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield names
    jax.monitoring.unregister_event_duration_listener(listen)


def test_a_configuration_is_compiled_once_for_each_dtype_and_nothing_else_is(programs):
    found = compared("exact", "f64", "f32")
    assert len(found) > 20 and {record.verdict for record in found} == {"PASS"}
    both = ["jit(_select)", "jit(program)"]
    assert sorted(programs) == sorted([*2 * both, "jit(watched)"])


@pytest.mark.parametrize("lane", ["f64", "f32", "exact"])
@pytest.mark.parametrize("quick", [True, False])
def test_gradients_are_compiled_quickly_in_float64_or_if_asked_for(lane, quick, monkeypatch):
    monkeypatch.setattr(candidates, "quick_options", lambda: {"xla_no_such_option": True})
    told = " ".join(record.message for record in compared(lane, quick=quick))
    assert ("xla_no_such_option" in told) == (quick or lane == "f64")


@pytest.mark.parametrize("quick", [True, False])
def test_values_alone_are_compiled_quickly_if_asked_for(quick, monkeypatch):
    monkeypatch.setattr(candidates, "quick_options", lambda: {"xla_no_such_option": True})
    candidates.clear_caches()
    oracle = REFERENCES.oracle(CONFIG, CASE)
    trial = Trial(SPEC, CONFIG, CASE, "f32", RunTally(), quick=quick)
    module = SPEC.eqx(**CONFIG.options)
    candidate = candidates.Candidate(trial, module, oracle.inputs, oracle.weights)
    told = pytest.raises(jax.errors.JaxRuntimeError, match="xla_no_such_option")
    with told if quick else contextlib.nullcontext():
        assert Tensor("out", "x") in candidate.values(())


@pytest.mark.parametrize("known", [True, False])
def test_options_that_xla_does_not_know_are_not_used(known, monkeypatch):
    options = {"xla_backend_optimization_level" if known else "xla_no_such_option": 0}
    monkeypatch.setattr(candidates, "_QUICKLY", options)
    assert candidates.quick_options.__wrapped__() == (options if known else None)
