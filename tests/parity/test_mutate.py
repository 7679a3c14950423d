"""Faults that are seen are killed, those that are not seen survive, and none is taken on trust."""

import contextlib
import dataclasses

import pytest

from jraphx_eqx.parity import Edit, Fault, Kill, Result, UnreachedFault, mutate
from parity_tests._work import explain_equivalents
from parity_tests.catalogue import DIVERGENCES, EQUIVALENT, FAULTS, SPECS
from parity_tests.recorded import FOLDER, cases

pytestmark = pytest.mark.usefixtures("quick_compile")
SPEC = SPECS["global_mean_pool"]
# A single configuration, so that it is quick.
CALL, ONE = "jraphx_eqx.nn.pool._global:global_mean_pool", "_by_graph(segment_mean, x, batch, size)"
COMPARE = "jraphx_eqx.parity._compare:"


def edit(new, name="a fault", **more):
    return Fault(name, Edit(CALL, ONE, new), **more)


def kill(fault, spec=SPEC, lanes=("f64",), **more):
    more = {"references": FOLDER, "divergences": DIVERGENCES, **more}
    [found] = mutate(spec, [fault], lanes=lanes, **more).kills
    return found


def test_a_fault_is_killed_by_a_check_that_is_named():
    found = kill(edit(f"{ONE} * (1 + 1e-13)"))
    assert found.verdict == "KILLED" and found.kind == "value"
    assert found.by == "random:0 / rank=2 / f64 / out.x"
    assert "times the tolerance" in found.message
    assert found.description == f"global_mean_pool: {ONE} → {ONE} * (1 + 1e-13)"


def test_a_wrong_gradient_of_right_values_is_killed():
    found = kill(edit(f'__import__("jax").lax.stop_gradient({ONE})'))
    assert (found.verdict, found.kind) == ("KILLED", "gradient")
    assert found.by.endswith("d.x")


def test_a_wrong_shape_is_a_fault_of_structure():
    assert kill(edit(f"{ONE}[..., None]")).kind == "structure"


def test_the_likely_killers_are_tried_first():
    fault = edit(f"2 * {ONE}", likely="rank=3")
    assert "rank=3" in kill(fault).by


def test_an_equal_program_is_equivalent_and_only_that():
    result = mutate(SPEC, [edit(f"1 * {ONE}")], references=FOLDER, lanes=["f64", "f32"])
    [found] = result.kills
    assert found.verdict == "EQUIVALENT" and found.by == ""
    assert found.message == f"bit-equal in all {2 * len(cases(SPEC.name))} comparisons"
    assert result.exit_code == 0


def test_a_fault_within_the_tolerance_survives_and_is_told():
    result = mutate(SPEC, [edit(f"{ONE} * (1 + 2**-52)")], references=FOLDER, lanes=["f64"])
    [found] = result.kills
    assert found.verdict == "SURVIVED" and "gave other numbers, and passed" in found.message
    assert result.exit_code == 2


@pytest.mark.parametrize(
    "name, old, new",
    [
        ("_floats", "record.ratio > 1", "False"),
        ("_floats", "errors, tol = blocks.max(error)", "errors, tol = 0 * blocks.max(error)"),
        ("compare", "return _floats", "return record or _floats"),
    ],
)
def test_a_blind_comparison_lets_a_fault_survive(name, old, new):
    with Edit(COMPARE + name, old, new)():
        assert kill(edit(f"{ONE} + 1")).verdict == "SURVIVED"
    assert kill(edit(f"{ONE} + 1")).verdict == "KILLED"


def test_a_fault_in_code_that_is_never_run_is_an_error():
    unused = Fault("unused", Edit("jraphx_eqx.nn.pool._global:global_max_pool", "argmax", "argmin"))
    with pytest.raises(UnreachedFault, match="'unused' does nothing to global_mean_pool"):
        kill(unused)


def test_a_context_that_changes_nothing_is_an_error():
    with pytest.raises(UnreachedFault, match=f"run in none of {len(cases(SPEC.name))} comparisons"):
        kill(Fault("nothing", contextlib.nullcontext))


def test_any_context_can_be_a_fault(monkeypatch):
    from jraphx_eqx.nn.pool import _global

    @contextlib.contextmanager
    def sums():
        with monkeypatch.context() as patch:
            patch.setattr(_global, "segment_mean", _global.segment_sum)
            yield

    found = kill(Fault("sums", sums, "sums for means"))
    assert (found.verdict, found.description) == ("KILLED", "sums for means")


def test_a_fault_that_is_nonsense_is_an_error():
    with pytest.raises(ValueError, match="cannot run: ours raised NameError"):
        kill(edit("no_such_name"))


def test_a_failure_that_is_there_without_the_fault_kills_nothing():
    def wrong():
        return lambda *at: SPEC.eqx()(*at) + 1

    spec = dataclasses.replace(SPEC, eqx=wrong)
    assert kill(edit(f"{ONE} + 1"), spec).verdict == "SURVIVED"
    assert kill(edit(f"2 * {ONE}"), spec).by.endswith("d.x")


def test_what_was_compiled_with_a_fault_is_not_used_without_and_the_other_way_round():
    right, wrong = edit(f"1 * {ONE}", "right"), edit(f"2 * {ONE}", "wrong")
    result = mutate(SPEC, [right, wrong, right, wrong], references=FOLDER, lanes=["f64"])
    assert [k.verdict for k in result.kills] == ["EQUIVALENT", "KILLED"] * 2


def test_faults_of_other_operators_are_left_out():
    result = mutate(SPEC, [edit(ONE + " + 1", operators=("GATConv",))], references=FOLDER)
    assert result.kills == [] and result.exit_code == 2


def test_something_to_compare_with_must_be_given():
    with pytest.raises(ValueError, match="one of references and cases"):
        mutate(SPEC, [])


def test_every_fault_of_the_catalogue_still_applies():
    for fault in FAULTS:
        if isinstance(fault.inject, Edit):
            fault.inject.code()
        else:
            with fault.inject():
                pass


def test_an_equivalent_fault_needs_a_reason_and_one_with_a_reason_must_be_equivalent():
    (fault, operator), reason = next(iter(EQUIVALENT.items()))
    kills = [
        Kill(fault, operator, "EQUIVALENT", message="bit-equal"),
        Kill(fault, operator, "KILLED", message="far off"),
        Kill("mean over all rows", operator, "EQUIVALENT", message="bit-equal"),
        Kill("mean over all rows", operator, "KILLED", message="far off"),
    ]
    explain_equivalents(Result(kills=kills))
    verdicts = ["EQUIVALENT", "SURVIVED", "SURVIVED", "KILLED"]
    assert [kill.verdict for kill in kills] == verdicts
    assert kills[0].message == f"bit-equal. {reason}"


def test_every_operator_has_several_faults():
    names = [(fault.name, operator) for fault in FAULTS for operator in fault.operators]
    assert len(set(names)) == len(names) > 60
    for operator in SPECS:
        assert len([name for name, of in names if of == operator]) >= 3
    assert {operator for _, operator in names} == set(SPECS)
    assert all(fault.summary for fault in FAULTS)
    assert set(EQUIVALENT) <= set(names)
