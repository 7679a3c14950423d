"""What has to be true of our side alone: room, padding, `trim`, other dtypes."""

import dataclasses

import numpy as np
import pytest

from jraphx_eqx.parity import _candidate as candidates
from jraphx_eqx.parity import pairs, run, trusted
from jraphx_eqx.parity._fault import injected
from parity_tests.catalogue import DIVERGENCES, FAULTS, SPECS
from parity_tests.families.common import keeps_dtypes
from parity_tests.recorded import FOLDER

pytestmark = pytest.mark.usefixtures("quick_compile")
SPEC = SPECS["TopKPooling"]
REFERENCES = trusted(SPEC, FOLDER, DIVERGENCES)
FAULTY = {
    "room for a node more": ["room"],
    "a row of padding after trim()": ["trim"],
    "edges of padding after trim()": ["*"],  # it raises an error
    "edges that are gone keep their attributes": ["padding"],
}


def records(spec=SPEC, lanes=("f32",), references=REFERENCES, of=""):
    """Of the first recorded case of a configuration whose name contains `of`."""
    recorded = pairs(spec, references.cases, "rotate")
    config, case = next(pair for pair in recorded if of in pair[0].name)
    at = {"lanes": lanes, "configs": [config], "source": references}
    return run(spec, [case], quick=True, **at).records


def failed(found):
    return [record.tensor for record in found if record.verdict == "FAIL"]


def test_properties_are_records_of_the_lane_f32():
    found = [r for r in records(lanes=["f64", "f32"]) if r.tensor in SPEC.properties]
    assert [(r.lane, r.tensor, r.verdict) for r in found] == [
        ("f32", "room", "PASS"),
        ("f32", "padding", "PASS"),
        ("f32", "trim", "PASS"),
        ("f32", "dtypes", "PASS"),
    ]


@pytest.mark.parametrize("name", FAULTY)
def test_only_a_property_sees_it(name):
    [fault] = (fault for fault in FAULTS if fault.name == name)
    with injected(fault):
        assert failed(records()) == FAULTY[name]
        assert failed(records(dataclasses.replace(SPEC, properties={}))) == []


@pytest.mark.parametrize(
    ("name", "operator", "message"),
    [
        (
            "sum of half precision in float32",
            "global_add_pool",
            "in bfloat16, x has dtype float32, expected bfloat16",
        ),
        (
            "half precision comes back in float32",
            "GCNConv",
            "in bfloat16, x has dtype float32, expected bfloat16",
        ),
        (
            "indices of 64 bits above a threshold",
            "TopKPooling",
            "in bfloat16, perm has dtype int64, expected int32",
        ),
    ],
)
def test_other_dtypes_are_seen_though_no_case_has_them(name, operator, message):
    [fault] = (fault for fault in FAULTS if fault.name == name)
    at = SPECS[operator], ["f32"], trusted(SPECS[operator], FOLDER, DIVERGENCES), fault.likely
    assert {record.verdict for record in records(*at)} == {"PASS"}
    candidates.clear_caches()
    with injected(fault):
        found = records(*at)
    candidates.clear_caches()
    [record] = [record for record in found if record.verdict == "FAIL"]
    assert (record.tensor, record.message) == ("dtypes", message)


def test_what_cannot_run_in_another_dtype_is_told():
    def call(module, inputs):
        if inputs["x"].dtype != "float32":
            raise TypeError("float32 alone")
        return {"x": inputs["x"]}

    x = np.ones((3, 2))
    dtypes = keeps_dtypes(call)
    assert dtypes(None, {"x": x}, {"x": np.float32(x)}) == "in bfloat16: TypeError: float32 alone"


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
