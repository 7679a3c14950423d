"""What changed between two runs, and nothing that did not."""

import io
import re

import pytest
from report_example import example, record

from jraphx_eqx.parity import Kill, Result
from jraphx_eqx.report import Drift, drift, render, render_drift


def shown(renderable) -> str:
    rich = pytest.importorskip("rich.console", reason="rich is not installed")
    console = rich.Console(width=160, file=io.StringIO())
    console.print(renderable)
    return console.file.getvalue()


def rows(text) -> list[list[str]]:
    """The cells of the table under its rule."""
    lines = iter(text.splitlines())
    next(line for line in lines if set(line.strip()) == {"─"})
    found = [re.split(r"\s{2,}", line.strip()) for line in lines]
    return [cells for cells in found if len(cells) > 5]


def test_equal_runs_do_not_drift():
    assert drift(example(), example()) == []
    assert drift(Result(), Result()) == []


def test_a_new_verdict_is_drift_and_its_direction_is_told():
    passed, failed = Result([record(ratio=0.5)]), Result([record(ratio=9.0, verdict="FAIL")])
    where = "TopKPooling / f64 / random:0 / ratio=0.5 / out.x"
    assert drift(passed, failed) == [Drift("verdict", where, "PASS", "FAIL", worse=True)]
    assert drift(failed, passed) == [Drift("verdict", where, "FAIL", "PASS", worse=False)]


@pytest.mark.parametrize(
    "before, after, reported",
    [
        (0.2, 0.39, False),
        (0.2, 0.41, True),
        (0.41, 0.2, True),
        (0.0, 0.06, False),
        (1e-9, 0.12, False),
        (0.0, 0.13, True),
        (float("inf"), float("inf"), False),
        (float("nan"), float("inf"), False),
        (0.5, float("nan"), True),
    ],
)
def test_an_error_that_changed_by_more_than_a_factor_of_2_is_drift(before, after, reported):
    changes = drift(Result([record(ratio=before)]), Result([record(ratio=after)]))
    assert [change.kind for change in changes] == ["ratio"] * reported
    assert all(change.worse == (not after < before) for change in changes)


def test_the_largest_change_of_an_error_comes_first():
    before = Result([record(tensor=name, ratio=0.1) for name in "abcd"])
    ratios = {"a": 0.3, "b": 0.9, "c": 0.06, "d": 0.5}
    after = Result([record(tensor=name, ratio=ratio) for name, ratio in ratios.items()])
    assert [change.where[-1] for change in drift(before, after)] == ["b", "d", "a"]


def test_what_appears_or_vanishes_is_one_entry_however_large():
    def run(*names):
        return [record(operator, case, tensor=t) for operator, case in names for t in "xyz"]

    before = Result(run(("A", "one"), ("B", "one"), ("C", "one")))
    after = Result([*run(("A", "one"), ("A", "two"), ("D", "one")), *run(("B", "one"))[:2]])
    assert drift(before, after) == [
        Drift("vanished", "B / f64 / one / ratio=0.5 / z", "1 PASS", "", worse=True),
        Drift("vanished", "C", "3 PASS", "", worse=True),
        Drift("appeared", "A / f64 / two", "", "3 PASS"),
        Drift("appeared", "D", "", "3 PASS"),
    ]


def test_what_appears_and_fails_is_worse():
    failed = Result([record("A"), record("A", tensor="d.x", verdict="FAIL")])
    assert drift(Result(), failed) == [Drift("appeared", "A", "", "1 PASS, 1 FAIL", worse=True)]


def test_versions_and_settings_are_compared():
    before = Result(environment={"jax": "0.10.1", "threads": 2, "safety": {"value": 8}})
    after = Result(environment={"jax": "0.11.0", "safety": {"value": 8}, "seed": 1})
    assert drift(before, after) == [
        Drift("environment", "jax", "0.10.1", "0.11.0"),
        Drift("environment", "threads", "2", ""),
        Drift("environment", "seed", "", "1"),
    ]


def test_a_fault_that_now_survives_or_is_gone_is_worse():
    names = ("eps", "k", "sign")
    before = Result(kills=[Kill(name, "A", "KILLED") for name in names])
    after = Result(kills=[Kill("eps", "A", "KILLED"), Kill("k", "A", "SURVIVED")])
    assert drift(before, after) == [
        Drift("fault", "k / A", "KILLED", "SURVIVED", worse=True),
        Drift("fault", "sign / A", "KILLED", "", worse=True),
    ]


def test_divergences_are_compared_by_their_values():
    before, after = example(), example()
    after.divergences[0]["ours"] = [0.5, 0.0625]
    after.divergences.append({"id": "new", "pyg": 1, "ours": 2})
    assert drift(before, after) == [
        Drift(
            "divergence",
            "loop",
            "pyg [0.0625, 0.0625], ours [0.0, 0.0625]",
            "pyg [0.0625, 0.0625], ours [0.5, 0.0625]",
        ),
        Drift("divergence", "new", "", "pyg 1, ours 2"),
    ]


def test_the_terminal_shows_the_drift():
    assert "No drift" in shown(render_drift([]))
    text = shown(render_drift([Drift("verdict", "A / [x]", "PASS", "FAIL", worse=True)]))
    assert "A / [x]" in text and "PASS" in text and "FAIL" in text


def test_the_table_has_a_column_per_lane_with_the_worst_tensor():
    records = [
        record(ratio=0.2),
        record(tensor="d.x", ratio=0.1, rms_ratio=0.75),
        record(tensor="d.w", ratio=1e13, verdict="DECLARED", divergence="loop"),
        record(lane="f32", ratio=4e5, verdict="FAIL"),
        record(lane="exact"),
    ]
    text = shown(render(Result(records)))
    (cells,) = rows(text)
    assert cells[:5] == ["TopKPooling", "1", "0.75 d.x", "4.0e+05 out.x", "exact"]
    assert cells[-2:] == ["loop (1)", "FAIL"]


def test_the_table_counts_killed_faults_and_names_survivors():
    kills = [Kill("k", "A", "KILLED"), Kill("order", "A", "EQUIVALENT"), Kill("eps", "B", "KILLED")]
    result = Result([record("A")], kills=kills)
    assert [row[0] for row in rows(shown(render(result)))] == ["A", "B"]
    assert [row[-2:] for row in rows(shown(render(result)))] == [["1/1", "PASS"], ["1/1", "PASS"]]
    kills[2].verdict, kills[2].description = "SURVIVED", "1e-16 to 1e-12"
    text = shown(render(result))
    assert "0/1" in text and "SURVIVED B: eps: 1e-16 to 1e-12" in text
    assert "faults" not in shown(render(Result([record("A")])))
