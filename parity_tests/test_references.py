"""Recording: the same bytes twice, what `run` finds, and no change of what is trusted unnoticed."""

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jraphx_eqx.parity import (
    BadReferences,
    Case,
    Config,
    Spec,
    check,
    graphs,
    lanes_of,
    record,
    run,
)
from jraphx_eqx.parity._recorded import pack, unpack

from .catalogue import DIVERGENCES, FEATURES, SPECS
from .recorded import FOLDER, record_operator

X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
CASES = [Case("first", {"x": X}), Case("second", {"x": 2 * X})]
GRID = (Config({"power": 2}), Config({"power": 3}))
ORIGINAL = "PyTorch does not give what they say; to replace them, give a reason (bless)"


def power(power):
    return lambda x: x**power


SPEC = Spec(
    "power",
    pyg=power,
    eqx=power,
    call_pyg=lambda module, inputs: {"y": module(inputs["x"])},
    call_eqx=lambda module, inputs: {"y": module(inputs["x"])},
    inputs=lambda case: {"x": case["x"]},
    grid=GRID,
    differentiate=("x",),
)


def recorded(folder):
    place = folder / SPEC.name
    return {path.name: path.read_bytes() for path in place.iterdir()}


def manifest_of(folder):
    return json.loads((folder / SPEC.name / "manifest.json").read_text())


def change(folder, edit, file="000-first.npz"):
    """Changes a file as if it had been recorded so."""
    path = folder / SPEC.name / file
    tree = unpack(path.read_bytes())
    edit(tree)
    path.write_bytes(pack(tree))
    manifest = manifest_of(folder)
    manifest["files"][file] = hashlib.sha256(path.read_bytes()).hexdigest()
    rest = {name: value for name, value in manifest.items() if name != "sha256"}
    manifest["sha256"] = hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
    (folder / SPEC.name / "manifest.json").write_text(json.dumps(manifest))


def refused(folder, *at, **options):
    before = recorded(folder)
    with pytest.raises(BadReferences) as caught:
        record(*(at or (SPEC, CASES)), folder, **options)
    assert recorded(folder) == before
    return caught.value.problems


@pytest.fixture
def folder(tmp_path):
    assert record(SPEC, CASES, tmp_path) == tmp_path / "power"
    return tmp_path


@pytest.mark.parametrize(
    "names", [["global_max_pool"], pytest.param(["SAGPooling"], marks=pytest.mark.full)]
)
def test_the_same_bytes_in_another_process(tmp_path, names):
    program = f"""
import sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from parity_tests.recorded import record_operator
for name in {names}:
    record_operator(name, folder=Path(sys.argv[1]))
"""
    command = [sys.executable, "-c", program, str(tmp_path / "another")]
    subprocess.run(command, cwd=FOLDER.parents[1], check=True)
    for name in names:
        here = record_operator(name, folder=tmp_path / "here")
        there = tmp_path / "another" / name
        assert sorted(p.name for p in here.iterdir()) == sorted(p.name for p in there.iterdir())
        assert all(p.read_bytes() == (there / p.name).read_bytes() for p in here.iterdir())


def test_recording_again_changes_nothing(folder):
    before = recorded(folder)
    record(SPEC, CASES, folder)
    assert recorded(folder) == before


@pytest.mark.parametrize(
    "name",
    [
        "TopKPooling",
        "global_max_pool",
        pytest.param("SAGPooling", marks=pytest.mark.full),
        pytest.param("GATConv", marks=pytest.mark.full),
    ],
)
def test_a_check_finds_exactly_what_a_run_finds(tmp_path, name):
    spec = dataclasses.replace(SPECS[name], grid=SPECS[name].grid[:3])
    cases = [graphs.random(5, features=FEATURES), graphs.near_ties(5, features=FEATURES)]
    cases.append(graphs.saturated(5, features=FEATURES))
    at = {"lanes": lanes_of(spec), "divergences": DIVERGENCES}
    record(spec, cases, tmp_path, divergences=DIVERGENCES)
    live, replayed = run(spec, cases, pairing="rotate", **at), check(spec, tmp_path, **at)
    assert replayed.records == live.records and len(live.records) > 30
    assert replayed.profiles == live.profiles
    assert replayed.divergences == live.divergences
    assert live.environment.items() <= replayed.environment.items()


def test_a_failure_is_judged_by_the_noise_of_more_runs_in_both(tmp_path):
    spec = dataclasses.replace(SPEC, eqx=lambda power: lambda x: (x * (1 + 1e-13)) ** power)
    record(spec, CASES, tmp_path)
    live, replayed = run(spec, CASES, pairing="rotate"), check(spec, tmp_path)
    assert replayed.records == live.records
    assert {record.tensor for record in live.of("FAIL")} == {"out.y", "d.x"}


@pytest.mark.full
def test_what_pytorch_gives_now_is_what_is_committed(tmp_path):
    """Within the references' own tolerance, so on any machine and with any release of PyG."""
    for name in SPECS:
        shutil.copytree(FOLDER / name, tmp_path / name)
        record_operator(name, folder=tmp_path)


def test_a_value_that_pytorch_does_not_give_is_kept_unless_blessed(folder):
    def edit(tree):
        tree["plain"]["references"][0]["arrays"]["out.y"][3, 1] *= 1 + 1e-12

    change(folder, edit)
    [first, *lines] = refused(folder)
    assert first == ORIGINAL
    assert len(lines) == 2 and all("first (power=2)" in line and "out.y" in line for line in lines)


def test_a_difference_within_the_tolerance_is_no_change(folder):
    def edit(tree):
        values = tree["plain"]["references"][0]["arrays"]["out.y"]
        values[3, 1] = np.nextafter(values[3, 1], np.inf)

    good = recorded(folder)
    change(folder, edit)
    assert recorded(folder) != good
    record(SPEC, CASES, folder)
    assert recorded(folder) == good


@pytest.mark.parametrize(
    "path, said",
    [
        (("plain", "inputs", "x"), "the inputs differ"),
        (("case", "arrays", "x"), "the case differs"),
        (("plain", "references", 0, "cotangents", "", "y"), "the cotangents differ"),
    ],
)
def test_other_inputs_and_cotangents_are_changes(folder, path, said):
    def edit(tree):
        *places, last = path
        for place in places:
            tree = tree[place]
        tree[last] = tree[last] * np.float32(1.5)

    change(folder, edit)
    lines = refused(folder)[1:]
    assert lines and all(said in line for line in lines)


def test_noise_cannot_grow_unnoticed(folder):
    def edit(tree):
        for noise in tree["plain"]["references"][0]["noise"]:
            noise["tau"]["values"] = noise["tau"]["values"] * 1e-3

    # The tolerance for noise has a floor of half a unit in the last place.
    change(folder, edit)
    spec = dataclasses.replace(SPEC, pyg=lambda power: lambda x: ((x + 1e3) - 1e3) ** power)
    assert any("the noise is" in line for line in refused(folder, spec, CASES)[1:])


def test_a_case_cannot_be_lost_but_added(folder):
    assert refused(folder, SPEC, CASES[:1], pairing="product")[1:] == [
        "second (power=3) would be lost"
    ]
    record(SPEC, [*CASES, Case("third", {"x": 3 * X})], folder)
    assert check(SPEC, folder).exit_code == 0
    assert len(recorded(folder)) == 4


def test_what_raises_now_is_a_change(folder):
    def broken(power):
        def raises(x):
            raise RuntimeError("no kernel")

        return raises

    spec = dataclasses.replace(SPEC, pyg=broken)
    assert "raised None, now RuntimeError: no kernel" in refused(folder, spec, CASES)[1]
    record(spec, CASES, folder, bless="there is no kernel any more")
    result = check(spec, folder)
    assert result.exit_code == 2
    assert {"no kernel" in r.message for r in result.of("NOT VERIFIED")} == {True}


def test_a_blessing_and_its_reason_are_kept(folder):
    old = manifest_of(folder)["sha256"]
    spec = dataclasses.replace(SPEC, pyg=lambda power: lambda x: x**power + 1)
    refused(folder, spec, CASES)
    record(spec, CASES, folder, bless="PyG 9 adds one")
    assert manifest_of(folder)["blessings"] == [{"reason": "PyG 9 adds one", "replaces": old}]
    assert check(SPEC, folder).exit_code == 1
    record(spec, CASES, folder)
    assert manifest_of(folder)["blessings"] == [{"reason": "PyG 9 adds one", "replaces": old}]


@pytest.mark.parametrize("reason", ["", " \n"])
def test_a_blessing_needs_a_reason(folder, reason):
    with pytest.raises(ValueError, match="bless must be the reason"):
        record(SPEC, CASES, folder, bless=reason)


def test_damaged_references_are_not_replaced_unless_blessed(folder):
    path = folder / SPEC.name / "001-second.npz"
    path.write_bytes(path.read_bytes()[:-1])
    assert refused(folder) == [f"{path.name} is damaged: its sha256 is not that in manifest.json"]
    record(SPEC, CASES, folder, bless="the disk was full")
    assert check(SPEC, folder).exit_code == 0


def test_a_file_of_somebody_else_is_never_deleted(folder):
    (folder / SPEC.name / "notes.txt").write_text("mine")
    assert refused(folder) == ["notes.txt is not listed in manifest.json"]
    record(SPEC, CASES, folder, bless="again")
    assert (folder / SPEC.name / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "grid, cases, what",
    [
        (GRID[:1] * 2, CASES, "configurations"),
        (GRID, CASES[:1] * 2, "cases"),
        (GRID, [], "cases"),
    ],
)
def test_names_must_differ(tmp_path, grid, cases, what):
    with pytest.raises(ValueError, match=what):
        record(dataclasses.replace(SPEC, grid=grid), cases, tmp_path)


def test_functions_in_a_configuration_have_a_stable_name(tmp_path):
    def grid(function):
        return (Config({"power": 2}, {"why": function}),)

    spec = dataclasses.replace(SPEC, inputs=lambda case, why: {"x": case["x"]})
    record(dataclasses.replace(spec, grid=grid(lambda: 1)), CASES, tmp_path)
    assert check(dataclasses.replace(spec, grid=grid(lambda: 1)), tmp_path).exit_code == 0


def test_what_cannot_be_written_is_named(tmp_path):
    spec = dataclasses.replace(SPEC, inputs=lambda case: {"x": case["x"], "how": object()})
    with pytest.raises(ValueError, match=r"input 'how' must be an array .* got object"):
        record(spec, CASES, tmp_path)


def test_threads_are_as_before(tmp_path):
    import torch

    before = torch.get_num_threads()
    record(SPEC, CASES, Path(tmp_path))
    assert torch.get_num_threads() == before
    assert manifest_of(tmp_path)["environment"]["torch_threads"] == 1
