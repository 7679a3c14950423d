"""The lanes `"exact"` and `"metamorphic"` pass a faithful twin and fail what they are there for."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.parity import Case, Rows, Spec, graphs, lanes_of, run

from .catalogue import FEATURES, SPECS

CASE = graphs.random(3, features=FEATURES)


def sum_of_neighbours(x, edge_index, num_nodes):
    return jnp.zeros((num_nodes, x.shape[1]), x.dtype).at[edge_index[1]].add(x[edge_index[0]])


def theirs(inputs):
    import torch

    source, target = inputs["edge_index"]
    x = inputs["x"]
    return {"x": torch.zeros_like(x).index_add(0, target, x[source])}


def ours(module, inputs):
    x = inputs["x"]
    return {"x": sum_of_neighbours(x, inputs["edge_index"], x.shape[0])}


def spec_with(call=ours, **changes):
    spec = Spec(
        "neighbours",
        pyg=lambda: theirs,
        eqx=lambda: None,
        call_pyg=lambda module, inputs: module(inputs),
        call_eqx=call,
        inputs=lambda case: {n: case[n] for n in ("x", "edge_index", "batch", "num_graphs")},
        pad=pad,
        real=lambda inputs, outputs: {"x": slice(inputs["real"])},
        differentiate=("x",),
        exact=lambda config: ("out.x", "d.x"),
        rows=lambda inputs: {
            "x": Rows("node"),
            "batch": Rows("node", holds="graph"),
            "edge_index": Rows("edge", axis=1, holds="node"),
            "out.x": Rows("node"),
        },
    )
    return dataclasses.replace(spec, **changes)


def pad(inputs, case):
    """Padded nodes at the end, to at least twice their number."""
    more = max(case.capacity.get("num_nodes", 0) - len(inputs["x"]), len(inputs["x"]))
    x = np.concatenate([inputs["x"], np.ones((more, FEATURES), np.float32)])
    batch = np.concatenate([inputs["batch"], np.full(more, inputs["num_graphs"])])
    return {**inputs, "x": x, "batch": batch, "real": len(inputs["x"])}


def failures(call, lane, case=CASE):
    result = run(spec_with(call), [case], lanes=[lane])
    return {record.tensor for record in result.of("FAIL")}


def test_a_faithful_twin_passes_in_every_lane():
    result = run(spec_with(), [CASE])
    assert result.ok
    assert {record.lane for record in result.records} == {"exact", "f64", "f32", "metamorphic"}


def test_one_unit_in_the_last_place_fails_the_exact_lane_only():
    def faulty(module, inputs):
        out = ours(module, inputs)["x"]
        above = jnp.nextafter(jax.lax.stop_gradient(out), jnp.full_like(out, jnp.inf))
        return {"x": out + (above - jax.lax.stop_gradient(out))}

    assert failures(faulty, "exact") >= {"out.x"}
    assert not failures(faulty, "f32")


def test_the_exact_lane_needs_a_number_that_is_exact():
    def halves(inputs):
        return {"x": theirs(inputs)["x"] / 3}

    def thirds(module, inputs):
        return {"x": ours(module, inputs)["x"] / 3}

    inexact = spec_with(thirds, pyg=lambda: halves, exact=lambda config: ("out.x",))
    x = np.where(np.asarray(CASE["x"]) > 0, 1, 0.5).astype(np.float32)
    one = Case("one", {**CASE.arrays, "x": x, "edge_index": np.array([[0], [1]])})
    result = run(inexact, [one], lanes=["exact"])
    assert {record.verdict for record in result.records if record.kind == "run"} == {"MISTRUSTED"}


FAULTS = {
    "eager: ": lambda x, inputs: x + isinstance(inputs["edge_index"], jax.core.Tracer),
    "more padding: ": lambda x, inputs: x + inputs["x"].sum() - x.shape[0] / 1000,
    "nodes permuted: ": lambda x, inputs: x * jnp.arange(x.shape[0])[:, None],
    "edges permuted: ": lambda x, inputs: x * inputs["edge_index"][0, 0],
    "graphs apart: ": lambda x, inputs: x - x.mean(0) * 1e-9,
}


@pytest.mark.parametrize("move", FAULTS)
def test_what_changes_with(move):
    def faulty(module, inputs):
        return {"x": FAULTS[move](ours(module, inputs)["x"], inputs)}

    found = failures(faulty, "metamorphic")
    assert f"{move}out.x" in found
    assert not any(name.startswith("eager: ") for name in found) or move == "eager: "


def test_a_gradient_that_mixes_graphs_fails_though_values_agree():
    @jax.custom_vjp
    def identity(x):
        return x

    identity.defvjp(lambda x: (x, None), lambda _, ct: (ct + 1e-9 * ct.sum(),))

    def faulty(module, inputs):
        inputs = {**inputs, "x": identity(inputs["x"])}
        return ours(module, inputs)

    assert failures(faulty, "metamorphic") >= {"graphs apart: d.x"}


def test_a_pool_that_looks_at_the_number_of_a_node_fails():
    spec = SPECS["TopKPooling"]

    def faulty(module, inputs):
        out = dict(spec.call_eqx(module, inputs))
        perm = out["perm"] % len(inputs["x"])
        return {**out, "x": out["x"] * (1 + 1e-9 * perm[:, None])}

    wrong = dataclasses.replace(spec, call_eqx=faulty)
    result = run(wrong, [CASE], lanes=["metamorphic"], configs=spec.grid[:1])
    assert "nodes permuted: out.x" in {record.tensor for record in result.of("FAIL")}


def test_an_input_class_that_no_case_has_fails():
    spec = spec_with(input_classes={"several graphs": lambda i: i["num_graphs"] > 1})
    one = Case("one", {**CASE.arrays, "batch": np.zeros_like(CASE["batch"]), "num_graphs": 1})
    assert run(spec, [CASE], lanes=["f64"], complete=True).ok
    assert run(spec, [one], lanes=["f64"]).ok
    [record] = run(spec, [one], lanes=["f64"], complete=True).of("FAIL")
    assert record.message == "no case has several graphs"


def test_a_lane_without_what_it_needs_is_refused():
    spec = spec_with(rows=None, exact=lambda config: ())
    assert lanes_of(spec) == ["f64", "f32"]
    for lane in ("exact", "metamorphic"):
        with pytest.raises(ValueError, match=f"lane '{lane}' needs"):
            run(spec, [CASE], lanes=[lane])
