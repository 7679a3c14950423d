"""Every operator on random and corner graphs, every configuration, in every lane."""

import dataclasses

import pytest

from jraphx_eqx.nn import conv
from jraphx_eqx.ops import _by_block, _vectors
from jraphx_eqx.parity import describe, graphs, lanes_of, run
from jraphx_eqx.parity._candidate import clear_caches

from .catalogue import DIVERGENCES, FEATURES, LIVE, OPERATORS, SPECS

pytestmark = pytest.mark.usefixtures("quick_compile")

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


# The other lanes are compared with what is recorded of the same kinds of graphs.
GRAPHS = [(FEW, ["f64"]), pytest.param((MORE, ["exact", "f64", "f32"]), marks=pytest.mark.full)]


@pytest.mark.parametrize("graphs_and_lanes", GRAPHS, ids=["few", "more"])
@pytest.mark.parametrize("name", LIVE)
def test_random_and_corner_graphs(name, graphs_and_lanes):
    spec, (given, lanes) = SPECS[name], graphs_and_lanes
    lanes = [lane for lane in lanes if lane in lanes_of(spec)]
    at = {"pairing": "rotate", "complete": True, "quick": True, "divergences": DIVERGENCES}
    result = check(run(spec, given, lanes=lanes, **at))
    assert all_configs(result, spec)


def every(step, name):
    """The spec with one in `step` of its configurations."""
    return dataclasses.replace(SPECS[name], grid=SPECS[name].grid[::step])


# Each move of each case is a program of its own, or several.
MOVED = [make(0, features=FEATURES) for make in (graphs.random, *graphs.CORNERS[2::4])]
SHARES = [(6, MOVED), pytest.param((1, cases(0)), marks=pytest.mark.full)]


@pytest.mark.parametrize("share", SHARES, ids=["few", "all"])
@pytest.mark.parametrize("name", [name for name in LIVE if SPECS[name].rows is not None])
def test_what_must_change_nothing(name, share):
    step, given = share
    spec = every(step, name)
    result = check(
        run(spec, given, lanes=["metamorphic"], pairing="rotate", divergences=DIVERGENCES)
    )
    assert all_configs(result, spec)


@pytest.fixture
def tiny_blocks(monkeypatch):
    monkeypatch.setattr(_by_block, "_BLOCK_BYTES", 64)
    monkeypatch.setattr(_vectors, "_UNROLLED", FEATURES)
    clear_caches()
    yield
    clear_caches()


@pytest.mark.parametrize("step", [3, pytest.param(1, marks=pytest.mark.full)])
@pytest.mark.parametrize("name", CONVS)
def test_messages_block_by_block(name, step, tiny_blocks):
    """Which happens by itself only where they take more memory than these graphs need."""
    spec = every(step, name)
    given = [
        graphs.random(3, features=FEATURES, max_nodes=20),
        *graphs.corners(3, features=FEATURES),
    ][::step]
    lanes = ["f64"] if step > 1 else ["f64", "f32"]
    result = check(run(spec, given, lanes=lanes, pairing="rotate", divergences=DIVERGENCES))
    assert all_configs(result, spec)


@pytest.mark.parametrize("name", [name for name, spec in SPECS.items() if spec.stages])
def test_the_stages_with_pygs_decision_handed_to_them(name):
    given = [graphs.random(9, features=FEATURES), graphs.empty_graphs(9, features=FEATURES)]
    check(run(SPECS[name], given, lanes=["f64"], pairing="rotate"))
