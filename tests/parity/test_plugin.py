"""The pytest plugin: nothing of it is in the way of other projects, its ids are stable, and no
test passes that compared nothing. Against PyTorch itself: `parity_tests/test_plugin.py`."""

import math
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from _pytest.mark.expression import Expression

from jraphx_eqx.parity import Case, Config, Result, Spec, Suite
from jraphx_eqx.parity._checks import checks_of
from parity_tests.recorded import SPECS, cases

ROOT = pathlib.Path(__file__).parents[2]

NAME = "global_mean_pool"
CASES, CONFIGS = len(cases(NAME)), len(SPECS[NAME].grid)
REFERENCES = ROOT / "parity_tests" / "references"
FILE = f"""
import dataclasses, sys
sys.path.insert(0, {str(ROOT)!r})
from jraphx_eqx.parity import Suite
from parity_tests.catalogue import DIVERGENCES, SPECS
from parity_tests.recorded import cases

SPEC = SPECS["global_mean_pool"]

def wrong():
    return lambda *given: SPEC.eqx()(*given) * (1 + 1e-13)

def suite(spec, cases):
    return Suite(spec, cases, lanes=["f64"], pairing="rotate", divergences=DIVERGENCES)

WRONG = dataclasses.replace(SPEC, eqx=wrong, input_classes=dict())
test_right = suite(SPEC, cases(SPEC.name))
test_wrong = suite(WRONG, cases(SPEC.name)[:len(SPEC.grid)])
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "test_port.py").write_text(FILE)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    return folder


def pytest_run(folder, *options):
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def replayed(project):
    """Both suites, replayed with the references by two processes."""
    code, text = pytest_run(
        project, "-v", "-n2", "--dist=loadgroup", f"--parity-references={REFERENCES}",
        "--parity-json=out/run.json", "--parity-html=out/run.html",
    )  # fmt: skip
    return code, text, Result.read(project / "out" / "run.json")


def test_references_are_compared_without_pytorch_and_what_differs_fails(replayed):
    code, text, result = replayed
    assert code == 1
    failed = set(re.findall(r"FAILED \S*::(\w+)\[\S*-(\S+?)\]", text))
    assert failed == {("test_wrong", "out.x"), ("test_wrong", "d.x")}
    assert re.search(r"NOT VERIFIED \S*::test_wrong\[all\]", text)
    assert "NOT VERIFIED global_mean_pool: *: recorded, but in no test: " in text
    assert re.search(r"PASSED test_port.py::test_right\[random:0-rank:2-f64-out.x\]", text)
    assert result.environment["references of global_mean_pool"]


def test_a_failure_says_what_differs_and_how_to_repeat_it_and_shows_no_code(replayed):
    _, text, _ = replayed
    shown = text[text.index("= FAILURES =") : text.index("= short test summary info =")]
    assert re.search(
        r"FAIL global_mean_pool: random:0 / rank=2 / f64 / out.x: error \S+ is \S+ times the "
        r"tolerance at \[\d, \d\]: ours \S+, reference \S+\n",
        shown,
    )
    name = "test_port.py::test_wrong[random:0-rank:2-f64-out.x]"
    assert f"repeat: python -m pytest '{name}' --parity-references={REFERENCES}" in shown
    assert "Traceback" not in shown and "runtest" not in shown and "Error" not in shown


def test_the_report_is_of_all_processes_and_in_order(replayed, project):
    _, text, result = replayed
    assert "parity report: out/run.json" in text
    compared = [r for r in result.records if r.tensor == "out.x" and r.case]
    assert len(compared) == CASES + CONFIGS
    first = ["random:0", "random:1", "random:2"]
    assert [r.case for r in compared[:3]] == [r.case for r in compared[CASES : CASES + 3]] == first
    assert [r.verdict for r in compared] == ["PASS"] * CASES + ["FAIL"] * CONFIGS
    [profile] = [p for p in result.profiles if p.tensor == "out.x"]
    assert sum(profile.ours) == sum(math.prod(r.shape) for r in compared)
    assert "Parity report" in (project / "out" / "run.html").read_text()


def test_every_comparison_was_run_once_by_the_processes_together(replayed):
    _, _, result = replayed
    names = [r.repro for r in result.records if r.tensor == "weights"]
    assert len(names) == len(set(names)) == CASES + CONFIGS


def test_references_that_cannot_be_used_pass_nothing(project, tmp_path):
    given = ("-q", "-rA", "-k", "test_right and random:0-rank:2")
    code, text = pytest_run(project, *given, f"--parity-references={tmp_path}")
    assert code == 1 and "3 failed" in text and "passed" not in text
    assert "cannot be used: manifest.json is missing" in text
    assert re.search(r"NOT VERIFIED \S*out.x\]", text)


def test_without_pytorch_and_references_nothing_passes(project):
    (project / "no_torch.py").write_text("import sys\nsys.modules['torch'] = None\n")
    code, text = pytest_run(project, "-q", "-p", "no_torch", "-k", "test_right and random:0-rank:2")
    assert code == 1 and "3 failed" in text and "passed" not in text
    assert "PyTorch is not installed, and no references are given" in text


@pytest.mark.parametrize(
    "options, message",
    [
        (["--parity-lanes=f64,f16"], "--parity-lanes: expected lanes among exact, f64, f32"),
        (["--parity-bless=so"], "give --parity-record too"),
        (["--parity-record=a", "--parity-references=b"], "not both"),
    ],
)
def test_wrong_options_are_told(tmp_path, options, message):
    code, text = pytest_run(tmp_path, *options)
    assert code == 4 and message in text


def test_other_projects_do_not_notice_the_plugin(tmp_path):
    (tmp_path / "test_other.py").write_text(
        "import sys\n"
        "def test_other():\n"
        "    assert not {'jax', 'jaxlib', 'numpy', 'jraphx_eqx'} & set(sys.modules)\n"
        "    assert 'pytest_jraphx_eqx' in sys.modules\n"
    )
    code, text = pytest_run(tmp_path, "-q", "-p", "no:jaxtyping")  # which imports numpy
    assert code == 0, text


def test_without_the_plugin_a_suite_is_warned_of(tmp_path):
    (tmp_path / "test_port.py").write_text(
        "import sys\n"
        "from jraphx_eqx.parity import Spec, Suite\n"
        "test_port = Suite(Spec('op', *[None] * 5), [])\n"
        "def test_loaded():\n"
        "    assert 'pytest_jraphx_eqx' not in sys.modules\n"
    )
    code, text = pytest_run(tmp_path, "-p", "no:jraphx_eqx")
    assert code == 0 and "1 passed" in text
    assert "cannot collect 'test_port' because it is not a function" in text


def spec(grid, **values):
    def call(module, inputs):
        return {"x": inputs["x"] * 2.0, "count": None}

    given = {"inputs": lambda case, **kwargs: case.arrays, "differentiate": ("x",)}
    module = {"pyg": None, "call_pyg": None, "eqx": lambda **options: None, "call_eqx": call}
    return Spec("op", grid=grid, **{**module, **given, **values})


def names(spec, given, **values):
    return [check.name for check in checks_of(Suite(spec, given, **values))]


def case(name):
    return Case(name, {"x": np.ones(3, np.float32)})


def test_there_is_a_test_for_each_tensor_one_for_the_rest_and_one_for_all():
    assert names(spec([Config()]), [case("a")], lanes=["f64"]) == [
        "a-f64-out.count", "a-f64-out.x", "a-f64-d.x", "a-f64-run", "all",
    ]  # fmt: skip


def test_ids_are_safe_distinct_and_do_not_depend_on_addresses():
    options = [
        {"f": len, "s": object()},
        {"f": len, "s": "a::b/c d(é)]"},
        {"f": len, "s": [1] * 99},
    ]
    given = [case("a:1"), case("a;1"), case("a,1")]
    grid = [Config(option) for option in options]
    found = names(spec(grid), given, lanes=["f64"])
    again = names(spec([Config({**o, "s": object()}) for o in options[:1]]), given, lanes=["f64"])
    assert len(found) == len(set(found)) == 9 * 4 + 1
    assert set(again) <= set(found)
    for name in found:
        assert re.fullmatch(r"[\w.:+-]+", name, re.ASCII) and "::" not in name and len(name) < 160
        chosen = Expression.compile(name)  # as `-k` does
        assert chosen.evaluate(name.__eq__)


def test_an_operator_that_cannot_be_called_has_a_test_that_says_so():
    def broken(**options):
        raise RuntimeError("no")

    assert names(spec([Config()], eqx=broken), [case("a")], lanes=["f64"]) == ["a-f64-run", "all"]


def test_no_case_is_a_test_that_fails_and_no_lane_is_no_test():
    assert names(spec([Config()]), []) == ["all"]
    assert checks_of(Suite(spec([Config()]), [case("a")]), ["exact"]) == []


def test_a_suite_refuses_a_lane_that_its_spec_cannot_run():
    with pytest.raises(ValueError, match="metamorphic"):
        Suite(spec([Config()]), [], ["metamorphic"])
