"""References that are missing, damaged, edited or stale are refused; others are replayed without
PyTorch, and what differs from them fails."""

import dataclasses
import hashlib
import io
import json
import pathlib
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from jraphx_eqx.parity import BadReferences, Config, Divergence, check
from jraphx_eqx.parity._candidate import Candidate
from jraphx_eqx.parity._recorded import RecordedOracle, pack, unpack
from parity_tests.catalogue import DIVERGENCES, SPECS
from parity_tests.recorded import FOLDER

pytestmark = pytest.mark.usefixtures("quick_compile")
ROOT = pathlib.Path(__file__).parents[2]

SPEC = SPECS["global_mean_pool"]
FILE = "003-dyadic-0.npz"
TREE = {
    "name": "a case",
    "none": None,
    "numbers": [1, 2.5, True],
    "arrays": {"x": np.arange(6.0).reshape(2, 3), "empty": np.zeros((0, 2), np.float32)},
    "nested": [{"again": np.arange(6.0).reshape(2, 3)}, {"other": np.arange(6.0)}],
}


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(FOLDER / SPEC.name, tmp_path / SPEC.name)
    return tmp_path


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def manifest_of(folder, name=SPEC.name):
    return json.loads((folder / name / "manifest.json").read_text())


def write_manifest(folder, manifest, sign=True):
    """Writes a manifest; signed, it looks as if `record` had written it."""
    if sign:
        rest = {name: value for name, value in manifest.items() if name != "sha256"}
        manifest["sha256"] = sha256(json.dumps(rest, sort_keys=True).encode())
    (folder / SPEC.name / "manifest.json").write_text(json.dumps(manifest))


def replace_file(folder, data):
    """Replaces a file and lists it in the manifest as if it had been recorded."""
    (folder / SPEC.name / FILE).write_bytes(data)
    manifest = manifest_of(folder)
    manifest["files"][FILE] = sha256(data)
    write_manifest(folder, manifest)


def replay(folder, spec=SPEC, lanes=("f64",), divergences=DIVERGENCES):
    return check(spec, folder, lanes=lanes, divergences=divergences)


def refused(folder, *, spec=SPEC, divergences=DIVERGENCES):
    with pytest.raises(BadReferences) as caught:
        replay(folder, spec, divergences=divergences)
    assert str(folder / SPEC.name) in str(caught.value)
    return caught.value.problems


def test_references_as_they_were_recorded_pass(folder):
    result = replay(folder, lanes=("f64", "f32"))
    assert result.exit_code == 0
    manifest = manifest_of(folder)
    assert {record.case for record in result.records} == set(manifest["cases"])
    assert {record.config for record in result.records} == {config.name for config in SPEC.grid}
    assert result.environment["references of global_mean_pool"] == manifest["sha256"]
    assert result.environment["torch"] == manifest["environment"]["torch"]


def test_pytorch_is_not_needed():
    program = """
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torch_geometric"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NoTorch())
import dataclasses
from jraphx_eqx.parity import Config
from parity_tests import recorded
from parity_tests.recorded import SPECS, check_operator
def pyg(**options):
    raise AssertionError("the PyTorch side was built")
SPECS["global_max_pool"] = dataclasses.replace(SPECS["global_max_pool"], pyg=pyg)
result = check_operator("global_max_pool")
assert result.exit_code == 0 and len(result.records) > 100, result.records
assert not {"torch", "torch_geometric"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_there(tmp_path):
    assert refused(tmp_path) == ["manifest.json is missing; write the references with record"]


def test_a_missing_file(folder):
    (folder / SPEC.name / FILE).unlink()
    assert refused(folder) == [f"{FILE} is missing"]


@pytest.mark.parametrize("damage", [lambda d: d[:-9], lambda d: d[:99] + b"?" + d[100:], bytes])
def test_a_damaged_file(folder, damage):
    path = folder / SPEC.name / FILE
    data = path.read_bytes()
    path.write_bytes(damage(data) if damage is not bytes else b"")
    assert refused(folder) == [f"{FILE} is damaged: its sha256 is not that in manifest.json"]


def test_a_truncated_file_that_is_listed_as_such(folder):
    replace_file(folder, (folder / SPEC.name / FILE).read_bytes()[:-50])
    [problem] = refused(folder)
    assert problem.startswith(f"{FILE} cannot be read")


def test_a_pickled_object_is_not_loaded(folder):
    file = io.BytesIO()
    np.savez(file, about=np.array([{"some": "object"}], dtype=object))
    replace_file(folder, file.getvalue())
    [problem] = refused(folder)
    assert problem.startswith(f"{FILE} cannot be read") and "pickle" in problem.lower()


def test_a_file_that_is_not_listed(folder):
    shutil.copy(folder / SPEC.name / FILE, folder / SPEC.name / "more.npz")
    assert refused(folder) == ["more.npz is not listed in manifest.json"]


@pytest.mark.parametrize("text", ["{", "[" * 100_000], ids=["short", "deep"])
def test_a_manifest_that_is_not_json(folder, text):
    (folder / SPEC.name / "manifest.json").write_text(text)
    [problem] = refused(folder)
    assert problem.startswith("manifest.json cannot be read") and "\n" not in problem


def test_another_schema(folder):
    write_manifest(folder, {**manifest_of(folder), "schema": 99})
    assert refused(folder) == ["manifest.json has schema 99, this version reads 2"]


def _other_checksum(manifest):
    manifest["files"][FILE] = "0" * 64


def _another_reason(manifest):
    manifest["blessings"].append({"reason": "I say so", "replaces": ""})


def _fewer_files(manifest):
    del manifest["files"][FILE]


@pytest.mark.parametrize("edit", [_other_checksum, _another_reason, _fewer_files])
def test_a_manifest_that_was_edited(folder, edit):
    manifest = manifest_of(folder)
    edit(manifest)
    write_manifest(folder, manifest, sign=False)
    [problem] = refused(folder)
    assert problem.startswith("manifest.json was edited")


def test_a_configuration_that_was_never_recorded(folder):
    more = Config({}, {"rank": 2, "batch": "other"})
    spec = dataclasses.replace(SPEC, grid=(*SPEC.grid, more))
    assert refused(folder, spec=spec) == [
        "stale: configuration (rank=2, batch=other) was never recorded"
    ]


def test_a_configuration_that_is_gone(folder):
    spec = dataclasses.replace(SPEC, grid=SPEC.grid[1:])
    assert refused(folder, spec=spec) == [
        "stale: configuration (rank=2) was recorded but is not in the grid"
    ]


def test_another_order_of_the_grid(folder):
    spec = dataclasses.replace(SPEC, grid=SPEC.grid[::-1])
    assert refused(folder, spec=spec) == ["stale: the grid was recorded in another order"]


def test_other_exact_tensors(folder):
    spec = dataclasses.replace(SPEC, exact=lambda config: ("out.x",))
    problems = refused(folder, spec=spec)
    assert len(problems) == len(SPEC.grid) and "was recorded with" in problems[0]


def test_other_differentiated_inputs(folder):
    spec = dataclasses.replace(SPEC, differentiate=())
    assert refused(folder, spec=spec) == [
        "stale: differentiate was recorded as ['x'], the spec has []"
    ]


def test_other_inputs(folder):
    def inputs(case, **options):
        return {**SPEC.inputs(case, **options), "num_graphs": 99}

    problems = refused(folder, spec=dataclasses.replace(SPEC, inputs=inputs))
    assert len(problems) == len(manifest_of(folder)["files"])
    assert problems[0].startswith("stale:") and "other inputs than the spec makes" in problems[0]


def test_noise_of_other_runs(folder):
    manifest = manifest_of(folder)
    manifest["environment"]["jittered_runs"] = [1, 2]
    write_manifest(folder, manifest)
    assert refused(folder) == ["stale: noise was recorded over [1, 2] runs, it is over [8, 64] now"]


def test_a_divergence_that_was_not_declared_when_it_was_recorded(folder):
    made_up = Divergence("made-up", "always", 0, 0, "", "", lambda: (0, 0), lambda *at: True)
    assert refused(folder, divergences=(*DIVERGENCES, made_up)) == [
        "stale: divergence 'made-up' was not recorded as it is declared now"
    ]


def test_all_problems_are_told_at_once(folder):
    (folder / SPEC.name / FILE).unlink()
    (folder / SPEC.name / "more.txt").write_text("")
    problems = refused(folder, spec=dataclasses.replace(SPEC, differentiate=()))
    assert len(problems) == 3


def test_what_differs_from_the_references_fails(folder):
    def perturbed():
        return lambda *at: SPEC.eqx()(*at) * (1 + 1e-13)

    result = replay(folder, dataclasses.replace(SPEC, eqx=perturbed))
    assert result.exit_code == 1
    assert {record.tensor for record in result.of("FAIL")} == {"out.x", "d.x"}


def test_the_recorded_numbers_are_what_is_compared(folder):
    tree = unpack((folder / SPEC.name / FILE).read_bytes())
    values = tree["plain"]["references"][0]["arrays"]["out.x"]
    values[0] += 1e-10
    replace_file(folder, pack(tree))
    [failure] = replay(folder).of("FAIL")
    assert (failure.case, failure.tensor) == ("dyadic:0", "out.x")


def test_what_pytorch_raised_is_not_verified_unless_declared(folder):
    tree = unpack((folder / SPEC.name / FILE).read_bytes())
    tree["plain"]["dtypes"]["float64"] = {"raised": "RuntimeError: no kernel"}
    replace_file(folder, pack(tree))
    result = replay(folder)
    [record] = result.of("NOT VERIFIED")
    assert result.exit_code == 2 and "no kernel" in record.message


def test_a_reference_is_of_the_decision_that_was_recorded():
    spec = SPECS["TopKPooling"]
    tree = unpack((FOLDER / spec.name / "000-random-0.npz").read_bytes())
    oracle = RecordedOracle(spec, spec.grid[0], tree)
    with pytest.raises(ValueError, match="but not \\[\\[0\\]\\]"):
        oracle.reference((np.zeros(1, np.int64),))


def test_pygs_choice_is_forced_in_every_run(monkeypatch):
    made = []

    def run(self, chosen, cotangents):
        made.append(len(chosen))
        return own(self, chosen, cotangents)

    own = Candidate.run
    monkeypatch.setattr(Candidate, "run", run)
    result = check(SPECS["TopKPooling"], FOLDER, lanes=["f64"], quick=True)
    assert result.exit_code == 0
    assert made == [1] * len(manifest_of(FOLDER, "TopKPooling")["files"])


def test_trees_survive_and_equal_arrays_are_stored_once():
    found = unpack(pack(TREE))
    assert json.dumps(found, default=lambda a: a.tolist()) == json.dumps(
        TREE, default=lambda a: a.tolist(), sort_keys=True
    )
    assert found["arrays"]["empty"].dtype == np.float32 and found["arrays"]["empty"].shape == (0, 2)
    with zipfile.ZipFile(io.BytesIO(pack(TREE))) as archive:
        names = archive.namelist()
    assert names == ["about.npy", "arrays/empty.npy", "arrays/x.npy", "nested/1/other.npy"]


def test_equal_trees_give_equal_bytes():
    backwards = dict(reversed(TREE.items()))
    assert pack(TREE) == pack(TREE) == pack(backwards)
    assert pack(TREE) != pack({**TREE, "name": "another case"})


def test_numpy_reads_the_files():
    with np.load(io.BytesIO(pack(TREE)), allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["arrays/x"], TREE["arrays"]["x"])
