"""Whole networks: every right port reaches exit code 0, and every fault is refused."""

import functools

import equinox as eqx
import numpy as np
import pytest
from typer.testing import CliRunner

from jraphx_eqx.cli._app import app
from jraphx_eqx.fit import verify
from jraphx_eqx.parity import Case, Live, run
from jraphx_eqx.parity._oracle import Oracle
from jraphx_eqx.parity._tolerance import JITTERED_RUNS

from .networks.whole import FEATURES, PAIRS
from .networks.whole_faults import FAULTS

pytestmark = pytest.mark.usefixtures("quick_compile")

PLANTED = [
    pytest.param(fault, name, marks=pytest.mark.full if number else ())
    for fault, planted in FAULTS.items()
    for number, name in enumerate(planted.networks)
]


@functools.cache
def theirs(name):
    return PAIRS[name].their_network()


def ours(name, steps=None, options=None):
    return eqx.nn.inference_mode(PAIRS[name].our_network(steps or {}, options or {}))


class Cached(Oracle):
    """PyTorch's side, which is run once for all faults. A failure is judged by the noise of a dozen
    runs, of which the last four move far and round at random, as the last 56 of 64 usually do."""

    def __init__(self, *at):
        super().__init__(*at)
        self._moved = {}

    def measure_noise(self, reference, runs):
        super().measure_noise(reference, min(runs, JITTERED_RUNS + 4))

    def moved(self, weights, exact=False):
        key = tuple(array.tobytes() for array in weights.values())
        if key not in self._moved:
            at = (self.spec, self.config, self.case, self.seed, self.module, weights)
            self._moved[key] = Oracle(*at)
        return self._moved[key]


@functools.cache
def oracle(name, features):
    spec, case = PAIRS[name].network(features).pair(name, ours(name), theirs(name))
    weights = {n: tensor.numpy() for n, tensor in theirs(name).state_dict().items()}
    weights = {n: array for n, array in weights.items() if array.dtype.kind == "f"}
    return Cached(spec, spec.grid[0], case, 0, theirs(name), weights)


class Kept(Live):
    """PyTorch's side of a network, as it is cached."""

    def __init__(self, name, spec):
        super().__init__(spec)
        self.name = name

    def oracle(self, config, case):
        return oracle(self.name, case.name)


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("name", PAIRS)
def test_a_right_port_reaches_exit_code_0(name, features):
    network = PAIRS[name].network(features)
    layers = features == "one-hot" and name in ("isomorphism", "attention", "jumps")
    found = verify(ours(name), theirs(name), network, lanes=("f64",), layers=layers)
    assert found.result.exit_code == 0, [r for r in found.result.records if r.verdict != "PASS"]
    names = {record.tensor for record in found.result.records if record.verdict == "PASS"}
    assert {"out.0", "d.lin.weight", "d.arg0"} <= names
    if layers:
        assert {record.operator for record in found.result.records} > {"network", "lin"}


# With both lanes for the second: float32 alone says nothing of a maximum's gradient among ties.
@pytest.mark.parametrize(("name", "options"), [("pools", ["--lane", "f64"]), ("jumps", [])])
def test_a_right_port_reaches_exit_code_0_by_the_command_line(name, options):
    module = "parity_tests.networks.whole"
    networks = ["--pyg", f"{module}:their_{name}", "--eqx", f"{module}:our_{name}"]
    data = ["--data", f"{module}:one_hot"]
    result = CliRunner().invoke(app, ["verify", *networks, *data, *options])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(("fault", "name"), PLANTED)
def test_a_planted_fault_is_refused(fault, name):
    planted = FAULTS[fault]
    wrong = ours(name, planted.steps, planted.options)
    spec, _ = PAIRS[name].network(FEATURES[0]).pair(name, wrong, theirs(name))
    cases = [Case(features, oracle(name, features).case.arrays) for features in FEATURES]
    result = run(
        spec,
        cases,
        lanes=["f64"],
        source=Kept(name, spec),
    )
    assert result.exit_code == 1
    refused = {record.case for record in result.of("FAIL")}
    assert refused == set(FEATURES) - set(planted.nothing)
    assert not [r for r in result.of("FAIL") if r.kind == "run"], "a fault must run to be seen"


def test_at_least_twenty_faults_are_planted_into_six_networks():
    assert len(FAULTS) >= 20 and len(PAIRS) >= 6
    assert {name for planted in FAULTS.values() for name in planted.networks} == set(PAIRS)
    assert np.median([len(planted.networks) for planted in FAULTS.values()]) >= 2
