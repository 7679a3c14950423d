"""Every operator beside PyG's recorded results: all configurations, random and corner graphs."""

import pytest

from jraphx_eqx.parity import describe
from parity_tests.catalogue import SPECS
from parity_tests.recorded import check_operator


@pytest.mark.parametrize("name", SPECS)
def test_the_recorded_results_of_pyg(name):
    # Optimised as for users, operators are compiled by `python -m parity_tests` and its `check`.
    result = check_operator(name, quick=True)
    bad = result.of("FAIL", "MISTRUSTED", "NOT VERIFIED")
    assert result.exit_code == 0, "\n".join(map(describe, bad[:20]))
    compared = {record.config for record in result.records if record.case}
    assert compared == {config.name for config in SPECS[name].grid}
    assert {record.lane for record in result.records} >= {"f64", "f32"}
