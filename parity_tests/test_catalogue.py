"""Every operator on random and corner graphs, every configuration, in every lane."""

import pytest

from jraphx_eqx.nn import conv
from jraphx_eqx.ops import _by_block, _vectors
from jraphx_eqx.parity import describe, graphs, lanes_of, run
from jraphx_eqx.parity._candidate import clear_caches

from .catalogue import DIVERGENCES, FEATURES, LIVE, OPERATORS, SPECS

CONVS = [name for name in LIVE if OPERATORS[name].layer in vars(conv).values()]


def cases(seed):
    return [graphs.random(seed, features=FEATURES), *graphs.corners(seed, features=FEATURES)]


# More random graphs cost little, but each corner is a shape that is compiled for.
RANDOM = [graphs.random(seed, features=FEATURES) for seed in range(3)]
FEW = [*RANDOM, *graphs.corners(0, features=FEATURES)]
MORE = [*cases(1), *cases(2)]


def check(result):
    bad = result.of("FAIL", "MISTRUSTED", "NOT VERIFIED")
    assert result.ok, "\n".join(map(describe, bad[:20]))
    return result


def all_configs(result, spec):
    drawn = {record.config for record in result.records if record.case}
    return drawn == {config.name for config in spec.grid}


@pytest.mark.parametrize(
    "given", [FEW, pytest.param(MORE, marks=pytest.mark.full)], ids=["few", "more"]
)
@pytest.mark.parametrize("name", LIVE)
def test_random_and_corner_graphs(name, given):
    spec = SPECS[name]
    lanes = [lane for lane in lanes_of(spec) if lane != "metamorphic"]
    at = {"pairing": "rotate", "complete": True, "quick": True, "divergences": DIVERGENCES}
    result = check(run(spec, given, lanes=lanes, **at))
    assert all_configs(result, spec)


@pytest.mark.parametrize("name", [name for name in LIVE if SPECS[name].rows is not None])
def test_what_must_change_nothing(name):
    spec = SPECS[name]
    result = check(
        run(spec, cases(0), lanes=["metamorphic"], pairing="rotate", divergences=DIVERGENCES)
    )
    assert all_configs(result, spec)


@pytest.fixture
def tiny_blocks(monkeypatch):
    monkeypatch.setattr(_by_block, "_BLOCK_BYTES", 64)
    monkeypatch.setattr(_vectors, "_UNROLLED", FEATURES)
    clear_caches()
    yield
    clear_caches()


@pytest.mark.parametrize("name", CONVS)
def test_messages_block_by_block(name, tiny_blocks):
    """Which happens by itself only where they take more memory than these graphs need."""
    spec = SPECS[name]
    given = [
        graphs.random(3, features=FEATURES, max_nodes=20),
        *graphs.corners(3, features=FEATURES),
    ]
    lanes = ["f64", "f32"]
    result = check(run(spec, given, lanes=lanes, pairing="rotate", divergences=DIVERGENCES))
    assert all_configs(result, spec)


@pytest.mark.parametrize("name", [name for name, spec in SPECS.items() if spec.stages])
def test_the_stages_with_pygs_decision_handed_to_them(name):
    given = [graphs.random(9, features=FEATURES), graphs.empty_graphs(9, features=FEATURES)]
    check(run(SPECS[name], given, lanes=["f64"], pairing="rotate"))
