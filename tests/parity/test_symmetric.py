"""Where scores are equal by symmetry, only PyG's choice passes."""

import dataclasses

import pytest

from jraphx_eqx.parity import run, trusted
from jraphx_eqx.parity._fault import injected
from parity_tests.catalogue import DIVERGENCES, FAULTS, SPECS
from parity_tests.recorded import FOLDER

SPEC = SPECS["SAGPooling"]
REFERENCES = trusted(SPEC, FOLDER, DIVERGENCES)
CASE = next(case for case in REFERENCES.cases if case.kind == "linked_pairs")
CONFIG = next(config for config in SPEC.grid if CASE.kind in config.cases)
[ROUNDED] = (fault for fault in FAULTS if fault.name.startswith("loop of its own is one unit"))


def choices(spec):
    at = {
        "lanes": ["f64", "f32"],
        "configs": [CONFIG],
        "source": dataclasses.replace(REFERENCES, spec=spec),
    }
    records = run(spec, [CASE], quick=True, **at).records
    return {(r.lane, r.tensor): r.verdict for r in records if r.decisions}


def test_the_choice_is_pygs_with_and_without_gradients():
    assert choices(SPEC) == {
        ("f64", "perm"): "PASS",
        ("f32", "perm"): "PASS",
        ("f32", "without gradients: perm"): "PASS",
    }


@pytest.mark.parametrize(("symmetric", "verdict"), [(True, "FAIL"), (False, "PASS")])
def test_one_unit_in_the_last_place_fails_only_where_symmetry_counts(symmetric, verdict):
    def decision(config):
        return dataclasses.replace(SPEC.decision(config), symmetric=symmetric)

    with injected(ROUNDED):
        found = choices(dataclasses.replace(SPEC, decision=decision))
    assert set(found.values()) == {verdict}
