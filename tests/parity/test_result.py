"""Records survive JSON, and the exit code says what was not verified."""

import json

import pytest

from jraphx_eqx.parity import Record, Result


def record(verdict="PASS", **values):
    return Record("op", "", "case", "f64", "out.x", "value", verdict, **values)


@pytest.mark.parametrize(
    "verdicts, code",
    [
        (["PASS", "DECLARED"], 0),
        (["PASS", "FAIL", "MISTRUSTED"], 1),
        (["PASS", "MISTRUSTED"], 2),
        (["PASS", "NOT VERIFIED"], 2),
        ([], 2),
    ],
)
def test_only_a_full_comparison_without_failures_is_0(verdicts, code):
    result = Result([record(verdict) for verdict in verdicts])
    assert result.exit_code == code
    assert result.ok == (code == 0)


def test_a_result_survives_strict_json_infinities_included(tmp_path):
    tie = {"row_ours": 1, "score_ours": float("-inf")}
    bad = record("FAIL", ratio=float("inf"), ours_at=float("nan"), near_ties=[tie])
    result = Result([bad], {"jax": "1"})
    result.save(tmp_path / "result.json")

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    data = json.loads((tmp_path / "result.json").read_text(), parse_constant=refuse)
    back = Result.from_json(data)
    assert back.records[0].ratio == float("inf")
    assert back.records[0].ours_at != back.records[0].ours_at
    assert back.records[0].near_ties == [tie]
    assert back.environment == {"jax": "1"}


def test_a_result_of_another_schema_is_refused():
    with pytest.raises(ValueError, match="schema"):
        Result.from_json({"schema": 1, "records": [], "environment": {}})
