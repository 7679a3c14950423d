"""What has to be true of our side alone: room, padding, `trim`."""

import dataclasses
import pathlib
import sys

import pytest

sys.path.append(str(pathlib.Path(__file__).parents[2]))

from jraphx_eqx.parity import run
from jraphx_eqx.parity._fault import injected
from jraphx_eqx.parity._references import trusted
from parity_tests.catalogue import SPECS
from parity_tests.divergences import DIVERGENCES
from parity_tests.faults import FAULTS
from parity_tests.recorded import FOLDER

SPEC = SPECS["TopKPooling"]
REFERENCES = trusted(SPEC, FOLDER, DIVERGENCES)
FAULTY = {
    "room for a node more": ["room"],
    "a row of padding after trim()": ["trim"],
    "edges of padding after trim()": ["trim"],
    "edges that are gone keep their attributes": ["padding"],
}


def records(spec=SPEC, lanes=("f32",)):
    at = {"lanes": lanes, "configs": spec.grid[:1], "oracle": REFERENCES.oracle}
    case = next(case for case in REFERENCES.cases if case.kind == "random")
    return run(spec, [case], quick=True, **at).records


def failed(found):
    return [record.tensor for record in found if record.verdict == "FAIL"]


def test_properties_are_records_of_the_lane_f32():
    found = [r for r in records(lanes=["f64", "f32"]) if r.tensor in SPEC.properties]
    assert [(r.lane, r.tensor, r.verdict) for r in found] == [
        ("f32", "room", "PASS"),
        ("f32", "padding", "PASS"),
        ("f32", "trim", "PASS"),
    ]


@pytest.mark.parametrize("name", FAULTY)
def test_only_a_property_sees_it(name):
    [fault] = (fault for fault in FAULTS if fault.name == name)
    with injected(fault):
        assert failed(records()) == FAULTY[name]
        assert failed(records(dataclasses.replace(SPEC, properties={}))) == []


def test_a_property_gets_the_module_its_padded_inputs_and_outputs_and_says_what_is_wrong():
    seen = []

    def broken(module, inputs, outputs):
        seen.append((module, inputs, outputs))
        return "broken"

    found = records(dataclasses.replace(SPEC, properties={"mine": broken}))
    [record] = [record for record in found if record.verdict == "FAIL"]
    assert (record.tensor, record.kind, record.message) == ("mine", "structure", "broken")
    [(module, inputs, outputs)] = seen
    assert module.select.ratio == 0.5
    assert len(inputs["x"]) == 128 and inputs["num_graphs"] == 6
    assert len(outputs["x"]) == 70
