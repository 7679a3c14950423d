"""Which configuration meets which case."""

from jraphx_eqx.parity import Case, Config, Spec, pairs


def spec(*grid):
    return Spec("any", pyg=None, eqx=None, call_pyg=None, call_eqx=None, inputs=None, grid=grid)


FIRST, SECOND = Config({"ratio": 0.5}), Config({"ratio": 1}, cases=("pairs",))
CASES = [Case(name, {}) for name in ("random:0", "pairs:0", "random:1", "pairs:1", "pairs")]


def names(*at):
    return [(config.name, case.name) for config, case in pairs(*at)]


def test_all_meet_all_in_a_product():
    assert len(set(names(spec(FIRST, SECOND), CASES, "product"))) == 2 * len(CASES)


def test_they_take_turns_and_none_is_left_out():
    assert names(spec(FIRST, Config()), CASES[:3], "rotate") == [
        ("ratio=0.5", "random:0"),
        ("", "pairs:0"),
        ("ratio=0.5", "random:1"),
    ]
    assert names(spec(FIRST, Config()), CASES[:1], "rotate") == [
        ("ratio=0.5", "random:0"),
        ("", "random:0"),
    ]
    assert names(spec(FIRST, SECOND), [], "rotate") == []


def test_a_configuration_meets_its_kinds_of_cases_whatever_the_turn_and_once():
    found = names(spec(FIRST, SECOND), CASES, "rotate")
    assert found[:5] == [
        ("ratio=0.5", "random:0"),
        ("ratio=1", "pairs:0"),
        ("ratio=0.5", "random:1"),
        ("ratio=1", "pairs:1"),
        ("ratio=0.5", "pairs"),
    ]
    assert found[5:] == [("ratio=1", "pairs")]
