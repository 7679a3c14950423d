"""Every operator on random and corner graphs, every configuration, both lanes."""

import pytest

from jraphx_eqx.parity import describe, graphs, run

from .catalogue import FEATURES, SPECS
from .divergences import DIVERGENCES

SEEDS = range(3)
CASES = [
    case
    for seed in SEEDS
    for case in (graphs.random(seed, features=FEATURES), *graphs.corners(seed, features=FEATURES))
]


def check(result):
    bad = result.of("FAIL", "MISTRUSTED", "NOT VERIFIED")
    assert result.ok, "\n".join(map(describe, bad[:20]))
    return result


@pytest.mark.parametrize("name", SPECS)
def test_random_and_corner_graphs(name):
    result = check(run(SPECS[name], CASES, pairing="rotate", divergences=DIVERGENCES))
    drawn = {record.config for record in result.records if record.case}
    assert drawn == {config.name for config in SPECS[name].grid}


@pytest.mark.parametrize("name", ["TopKPooling", "SAGPooling"])
def test_the_stages_with_pygs_decision_handed_to_them(name):
    cases = [graphs.random(9, features=FEATURES), graphs.empty_graphs(9, features=FEATURES)]
    check(run(SPECS[name], cases, lanes=["f64"], pairing="rotate", force=True))
