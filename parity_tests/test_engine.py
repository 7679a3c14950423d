"""The engine, with PyTorch: it passes a faithful twin and fails every unfaithful one."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from jraphx_eqx.parity import (
    Case,
    Config,
    Divergence,
    Spec,
    Suite,
    assert_parity,
    check,
    graphs,
    record,
    run,
    vacuity,
)
from jraphx_eqx.report._table import rows

from .catalogue import FEATURES, SPECS

X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)


class Torch(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(3, 4))
        self.bias = torch.nn.Parameter(torch.randn(3))

    def forward(self, x):
        return torch.tanh(x @ self.weight.T + self.bias), x.sum(1)


class Twin(eqx.Module):
    weight: jax.Array
    bias: jax.Array
    fault: str = eqx.field(static=True, default="")

    def __call__(self, x):
        weight = jax.lax.stop_gradient(self.weight) if self.fault == "detached" else self.weight
        bias = self.bias * (1 + 1e-12) if self.fault == "perturbed" else self.bias
        total = x.sum(1)
        total = total.astype(jnp.float16) if self.fault == "half" else total
        total = jnp.round(total).astype(int) if self.fault == "integers" else total
        total = total[:, None] if self.fault == "shape" else total
        total = None if self.fault == "missing" else total
        out = jnp.tanh(x @ weight.T + bias)
        out = out.at[0, 0].set(jnp.nan) if self.fault == "nan" else out
        if self.fault == "raises":
            raise ValueError("no such option")
        return (total, out) if self.fault == "swapped" else (out, total)


FAULTS = (
    *("detached", "perturbed", "half", "integers", "shape"),
    *("missing", "nan", "raises", "swapped"),
)


def twin(fault=""):
    return Twin(jnp.zeros((3, 4)), jnp.zeros(3), fault)


def test_a_faithful_twin_passes_in_both_lanes_with_all_gradients():
    result = assert_parity(twin(), Torch(), (X,))
    gradients = {r.tensor for r in result.records if r.kind == "gradient"}
    assert {"d.arg0", "d.weight", "d.bias", "d.weight|0", "d.arg0|1"} <= gradients
    assert {r.lane for r in result.records} == {"f64", "f32"}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_unfaithful_twin_fails(fault):
    with pytest.raises(AssertionError, match="FAIL"):
        assert_parity(twin(fault), Torch(), (X,), lanes=["f64"])


def test_a_weight_without_a_counterpart_fails():
    class More(Torch):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(1))

    with pytest.raises(AssertionError, match="scale"):
        assert_parity(twin(), More(), (X,), lanes=["f64"])


def test_a_comparison_of_zeros_is_mistrusted():
    class Zero(Torch):
        def forward(self, x):
            return 0 * super().forward(x)[0]

    class ZeroTwin(Twin):
        def __call__(self, x):
            return 0 * super().__call__(x)[0]

    with pytest.raises(AssertionError, match="MISTRUSTED"):
        assert_parity(ZeroTwin(*twin().__dict__.values()), Zero(), (X,), lanes=["f64"])


def small_spec(**changes):
    spec = Spec(
        "square",
        pyg=lambda: lambda x: x**2,
        eqx=lambda: lambda x: x**2,
        call_pyg=lambda module, inputs: {"y": module(inputs["x"])},
        call_eqx=lambda module, inputs: {"y": module(inputs["x"])},
        inputs=lambda case: {"x": case["x"]},
        differentiate=("x",),
    )
    return dataclasses.replace(spec, **changes)


CASE = Case("case", {"x": X})


def verdicts(result):
    return {record.verdict for record in result.records}


def test_what_pytorch_cannot_do_is_not_verified():
    def broken(x):
        raise RuntimeError("not implemented")

    result = run(small_spec(pyg=lambda: broken), [CASE])
    assert (verdicts(result), result.exit_code) == ({"NOT VERIFIED"}, 2)


def noisy(x):
    """A sum in which rounding errors of float32 are millions of times as large as the result."""
    return x + 1e14 * (torch.log(torch.exp(x)) - x)


def off_by_a_hundredth(x):
    return 1.01 * x


HIDDEN = small_spec(pyg=lambda: noisy, eqx=lambda: off_by_a_hundredth)


def by_references(folder):
    record(HIDDEN, [CASE], folder)
    return check(HIDDEN, folder)


@pytest.mark.parametrize(
    "compared",
    [lambda folder: run(HIDDEN, [CASE]), lambda folder: Suite(HIDDEN, [CASE])(), by_references],
    ids=["run", "suite", "check"],
)
def test_what_rounding_noise_hides_is_no_pass(compared, tmp_path):
    result = compared(tmp_path)
    hidden = {(r.lane, r.tensor) for r in result.of("UNJUDGED")}
    assert hidden == {(lane, name) for lane in ("f64", "f32") for name in ("out.y", "d.x")}
    assert {(r.lane, r.tensor) for r in result.of("MISTRUSTED")} == hidden
    assert not [r for r in result.of("PASS") if r.kind in ("value", "gradient")]
    assert result.exit_code == 2
    assert {row["status"] for row in rows(result)} == {"MISTRUSTED"}


def test_what_rounding_noise_hides_is_no_parity():
    with pytest.raises(AssertionError, match=r"MISTRUSTED .* hidden by rounding noise"):
        assert_parity(off_by_a_hundredth, noisy, [X])


def test_a_gradient_is_not_called_missing_where_an_output_has_another_shape():
    result = run(small_spec(eqx=lambda: lambda x: x[:, None] ** 2), [CASE], lanes=["f64"])
    messages = {r.tensor: r.message for r in result.of("FAIL")}
    assert messages["d.x"] == "not computed, as an output has another shape"
    assert messages["out.y"].startswith("ours has shape")


def test_no_case_at_all_is_not_verified():
    assert run(small_spec(), []).exit_code == 2


def test_gradients_that_leak_into_padding_fail():
    def pad(inputs, case):
        return {"x": np.concatenate([inputs["x"], np.ones((2, 4), np.float32)])}

    def real(inputs, outputs):
        return {"y": slice(len(X))}

    def harmless(module, inputs):
        return {"y": inputs["x"] ** 2 + 0 * inputs["x"].mean()}

    def leaking(module, inputs):
        return {"y": inputs["x"] ** 2 + inputs["x"][-1:]}

    assert run(small_spec(pad=pad, real=real), [CASE]).ok
    assert run(small_spec(pad=pad, real=real, call_eqx=harmless), [CASE]).ok
    result = run(small_spec(pad=pad, real=real, call_eqx=leaking), [CASE])
    assert any(r.tensor == "leak.x" and r.verdict == "FAIL" for r in result.records)


def test_a_gradient_that_pytorch_does_not_have_counts_as_zero_and_is_reported():
    def constant(module, inputs):
        return {"y": (inputs["x"] ** 2).detach()}

    def detached(module, inputs):
        return {"y": jax.lax.stop_gradient(inputs["x"] ** 2)}

    result = run(small_spec(call_pyg=constant, call_eqx=detached), [CASE])
    [record] = [r for r in result.records if r.tensor == "d.x" and r.lane == "f64" and r.case]
    assert (record.verdict, record.flags) == ("PASS", ["NO TORCH GRADIENT"])
    assert run(small_spec(call_pyg=constant), [CASE]).exit_code == 1


def test_a_declared_divergence_covers_only_what_it_says():
    wrong = small_spec(eqx=lambda: lambda x: x**2 + 1)
    entry = Divergence(
        "plus-one",
        "always",
        0,
        1,
        "a test",
        "",
        lambda: (0, 1),
        covers=lambda case, config, lane, tensor: tensor == "out.y",
    )
    result = run(wrong, [CASE], divergences=[entry])
    assert result.ok
    assert {r.divergence for r in result.of("DECLARED")} == {"plus-one"}
    elsewhere = dataclasses.replace(entry, covers=lambda case, config, lane, tensor: False)
    assert run(wrong, [CASE], divergences=[elsewhere]).exit_code == 1


def topk_with(**changes):
    spec = SPECS["TopKPooling"]
    grid = [Config({"ratio": 0.5})]
    return dataclasses.replace(spec, grid=grid, **changes)


def faulty_call(change):
    call = SPECS["TopKPooling"].call_eqx

    def faulty(module, inputs):
        return change(dict(call(module, inputs)))

    return faulty


def swapped(perm):
    return jnp.concatenate([perm[1::-1], perm[2:]])


POOL_FAULTS = {
    "swapped order": lambda out: {**out, "perm": swapped(out["perm"])},
    "one node fewer": lambda out: {**out, "perm": out["perm"].at[0].set(10**6)},
    "edges reversed": lambda out: {**out, "edge_index": out["edge_index"][::-1]},
    "gate twice": lambda out: {**out, "x": out["x"] * out["score"][:, None]},
    "wrong graph": lambda out: {**out, "batch": out["batch"].at[0].set(1)},
    "edge attributes shifted": lambda out: {**out, "edge_attr": jnp.roll(out["edge_attr"], 1, 0)},
}


@pytest.mark.parametrize("fault", POOL_FAULTS)
def test_a_fault_in_a_pooling_fails(fault):
    spec = topk_with(call_eqx=faulty_call(POOL_FAULTS[fault]))
    result = run(spec, [graphs.random(0, features=FEATURES)], lanes=["f64"])
    assert result.exit_code == 1


def test_lowest_instead_of_highest_scores_fail_as_a_decision():
    spec = topk_with(
        eqx=lambda **options: eqx.tree_at(
            lambda pool: pool.select.nonlinearity,
            SPECS["TopKPooling"].eqx(**options),
            lambda score: -jnp.tanh(score),
        )
    )
    result = run(spec, [graphs.random(0, features=FEATURES)], lanes=["f64"])
    assert any(r.kind == "decision" and r.verdict == "FAIL" for r in result.records)


@pytest.mark.parametrize(("twins", "verdict"), [(1, "PASS"), (2, "MISTRUSTED")])
def test_a_decision_that_rounding_makes_in_most_graphs_says_nothing(twins, verdict):
    case = graphs.assemble("twins", np.random.default_rng(0), [8, 8, 8], features=FEATURES)
    x = np.array(case["x"]).reshape(3, 4, 2, FEATURES)
    x[:twins, :, 1] = np.nextafter(x[:twins, :, 0], np.float32(np.inf))
    case.arrays["x"] = x.reshape(24, FEATURES)
    spec = dataclasses.replace(topk_with(), grid=[Config({"ratio": 3 / 8})])
    records = run(spec, [case], lanes=["f32"]).records
    [record] = [r for r in records if r.tensor == "perm" and r.kind == "decision"]
    assert record.verdict == verdict
    assert verdict == "PASS" or record.message == "in 2 of 3 groups the cut is within rounding"


def cancelling(eqx, **changes):
    """The lower half of a result is a difference that cancels: exactly, as PyTorch computes it."""
    lower = np.arange(len(X)) >= len(X) // 2

    def theirs(x):
        return torch.where(torch.tensor(lower)[:, None], (x + 1e-22) - x, x)

    def ours(x):
        return jnp.where(lower[:, None], eqx(x), x)

    blocks = {"out.y": lower.astype(int), "d.x": lower.astype(int)}
    spec = small_spec(pyg=lambda: theirs, eqx=lambda: ours, blocks=lambda inputs, out: blocks)
    return dataclasses.replace(spec, **changes)


def test_what_cancels_exactly_in_every_run_may_leave_a_rounding():
    assert run(cancelling(lambda x: (x - x) + 1e-22), [CASE]).ok
    found = run(cancelling(lambda x: (x - x) + 1e-4), [CASE]).of("FAIL")
    assert {(r.lane, r.tensor) for r in found} == {("f64", "out.y"), ("f32", "out.y")}


def test_several_runs_can_be_judged_together_by_what_they_compared():
    zeros = Case("zeros", {"x": np.zeros_like(X)})
    spec, vacuous = small_spec(), {}
    assert run(spec, [zeros], vacuous=vacuous).ok
    assert {r.tensor for r in vacuity(spec, vacuous)} == {"out.y", "d.x"}
    run(spec, [CASE], vacuous=vacuous)
    assert vacuous["f32", "d.x"] == [True, False]
    assert not vacuity(spec, vacuous)


def test_an_unknown_lane_is_an_error():
    with pytest.raises(ValueError, match="lanes must be among"):
        run(small_spec(), [CASE], lanes=["f16"])
