"""The pytest plugin beside PyTorch itself: every verdict, references, several processes."""

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from jraphx_eqx.parity import Result, Runner

FILE = """
import dataclasses
import equinox as eqx, jax, numpy as np, torch
from jraphx_eqx.parity import Case, Config, Divergence, Spec, Suite

class Ours(eqx.Module):
    lin: eqx.nn.Linear
    def __call__(self, x):
        return jax.nn.silu(jax.vmap(self.lin)(x))

class Theirs(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = torch.nn.Linear(3, 5)
    def forward(self, x):
        return torch.nn.functional.silu(self.lin(x))

def case(seed):
    x = np.random.default_rng(seed).normal(size=(6, 3))
    return Case(f"normal:{seed}", {"x": x.astype(np.float32)})

SPEC = Spec(
    "silu",
    pyg=Theirs,
    eqx=lambda: Ours(eqx.nn.Linear(3, 5, key=jax.random.key(0))),
    call_pyg=lambda module, inputs: {"x": module(inputs["x"])},
    call_eqx=lambda module, inputs: {"x": module(inputs["x"])},
    inputs=lambda case: case.arrays,
    differentiate=["x"],
)
CASES = [case(0), case(1)]
"""
GREEN = """
test_silu = Suite(SPEC, CASES)
test_modules = Suite.of_modules(Ours(eqx.nn.Linear(3, 5, key=jax.random.key(0))), Theirs(),
                                [CASES[0]["x"]], lanes=["f64"])
"""
RED = """
def off(module, inputs):
    return {"x": module(inputs["x"]) * (1 + 1e-12)}

def refuses(module, inputs):
    raise RuntimeError("no kernel")

def named(name, **values):
    return dataclasses.replace(SPEC, name=name, **values)

covers = lambda case, config, lane, tensor: tensor == "out.x" and case.name == "normal:1"
known = Divergence("known", "", 0, 0, "", "", lambda: (0, 0), covers, ("declared",))
test_declared = Suite(named("declared", call_eqx=off), CASES, ["f64"], divergences=[known])
zeros = Case("zeros", {"x": np.zeros((4, 3), np.float32)})
product = dict(call_pyg=lambda m, i: {"x": i["x"] * i["x"]}, pyg=lambda: None, eqx=lambda: None,
               call_eqx=lambda m, i: {"x": i["x"] * i["x"]})
test_vacuous = Suite(named("vacuous", **product), [zeros], ["f64"])
test_raises = Suite(named("raises", call_pyg=refuses), CASES[:1], ["f64"])
test_undrawn = Suite(named("undrawn", input_classes={"a giant": lambda inputs: False}), CASES[:1],
                     ["f64"])
test_nothing = Suite(SPEC, [], ["f64"])

def noisy(module, inputs):
    x = inputs["x"]
    return {"x": x + 1e14 * (torch.log(torch.exp(x)) - x)}

product |= dict(call_pyg=noisy, call_eqx=lambda m, i: {"x": 1.01 * i["x"]})
test_hidden = Suite(named("hidden", **product), CASES[:1], ["f64"])
"""


def pytest_run(folder, *options):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def outcomes(text):
    """The verdict of each test in verbose output."""
    found = re.findall(
        r"^test_port.py::(\S+) (PASSED|FAILED|DECLARED|UNJUDGED|MIS\w+|NOT \w+)", text, re.M
    )
    return dict(found)


@pytest.fixture(scope="module")
def red(tmp_path_factory):
    folder = tmp_path_factory.mktemp("red")
    (folder / "test_port.py").write_text(FILE + RED)
    code, text = pytest_run(folder, "-v", "--parity-json=run.json")
    return code, text, outcomes(text), Result.read(folder / "run.json")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "test_port.py").write_text(FILE + "test_silu = Suite(SPEC, CASES)\n")
    code, text = pytest_run(folder, "-v", "--parity-record=references")
    assert code == 0 and outcomes(text) == {"test_silu[record]": "PASSED"}
    assert (folder / "references" / "silu" / "manifest.json").exists()
    return folder


def test_references_are_checked_without_pytorch(recorded, tmp_path):
    shutil.copytree(recorded, tmp_path, dirs_exist_ok=True)
    # Of PyTorch only the names that the file itself mentions are left.
    (tmp_path / "torch.py").write_text("class nn:\n    Module = object\n")
    code, text = pytest_run(tmp_path, "-v", "--parity-references=references")
    assert code == 0 and len(outcomes(text)) == 2 * 2 * 5 + 1, text
    assert set(outcomes(text).values()) == {"PASSED"}
    wrong = FILE.replace("jax.nn.silu(", "1.000001 * jax.nn.silu(")
    more = "test_silu = Suite(SPEC, [*CASES[:1], case(2), Case('normal:1', case(3).arrays)])\n"
    (tmp_path / "test_port.py").write_text(wrong + more)
    code, text = pytest_run(tmp_path, "-v", "--parity-references=references")
    found = outcomes(text)
    assert code == 1 and found["test_silu[normal:0-f64-out.x]"] == "FAILED"
    assert {v for n, v in found.items() if "normal:1" in n or "normal:2" in n} == {"NOT VERIFIED"}
    assert "it is not in the references; record them again" in text
    assert "the case has other arrays, tags or capacities than the references" in text


def test_references_that_pytorch_does_not_give_again_need_a_reason(recorded, tmp_path):
    shutil.copytree(recorded, tmp_path, dirs_exist_ok=True)
    other = FILE.replace("functional.silu(", "functional.elu(")
    (tmp_path / "test_port.py").write_text(other + "test_silu = Suite(SPEC, CASES)\n")
    code, text = pytest_run(tmp_path, "--parity-record=references")
    assert code == 1 and "PyTorch does not give what they say" in text and "Traceback" not in text
    assert pytest_run(tmp_path, "--parity-record=references", "--parity-bless=elu now")[0] == 0


def test_what_agrees_passes_in_several_processes_as_does_the_page_on_ports(tmp_path):
    (tmp_path / "test_port.py").write_text(FILE + GREEN)
    page = pathlib.Path(__file__).parents[1] / "docs" / "prove-your-port.md"
    first = re.search(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)[1]
    assert len([line for line in first.splitlines() if line.strip()]) <= 20
    (tmp_path / "test_page.py").write_text(first)
    code, text = pytest_run(tmp_path, "-n2", "--parity-json=run.json", "--parity-html=run.html")
    assert code == 0 and f"{27 + 17} passed" in text, text
    result = Result.read(tmp_path / "run.json")
    assert result.exit_code == 0 and result.operators == ["LEConv", "Theirs", "silu"]
    tensors = {r.tensor for r in result.records if r.operator == "silu" and r.case}
    assert tensors >= {"out.x", "d.x", "d.lin.weight", "d.lin.bias", "weights"}
    assert result.environment["torch"] and result.environment["jax"]
    assert "silu" in (tmp_path / "run.html").read_text()


def test_a_declared_difference_passes_and_is_shown_as_such(red):
    _, text, found, result = red
    assert found["test_declared[normal:1-f64-out.x]"] == "DECLARED"
    assert found["test_declared[normal:0-f64-out.x]"] == "FAILED"
    assert re.search(r"\d+ failed, \d+ passed.*1 declared", text)
    assert [r.divergence for r in result.of("DECLARED")] == ["known"]
    assert [d["id"] for d in result.divergences] == ["known"]


def test_what_proves_nothing_fails(red):
    code, text, found, result = red
    assert code == 1
    assert found["test_vacuous[zeros-f64-out.x]"] == "PASSED"
    assert found["test_vacuous[all]"] == "MISTRUSTED"
    says_nothing = "empty, zero, constant or hidden by rounding noise in all 1 cases"
    assert f"MISTRUSTED vacuous: f64 / out.x: {says_nothing}" in text
    assert found["test_hidden[normal:0-f64-out.x]"] == "UNJUDGED"
    assert found["test_hidden[all]"] == "MISTRUSTED"
    assert f"MISTRUSTED hidden: f64 / out.x: {says_nothing}" in text
    assert found["test_undrawn[all]"] == "FAILED" and "no case has a giant" in text
    assert found["test_nothing[all]"] == "NOT VERIFIED"
    raised = {name: verdict for name, verdict in found.items() if "raises" in name}
    assert set(raised.values()) == {"NOT VERIFIED", "PASSED"} and len(raised) == 6
    assert raised["test_raises[normal:0-f64-out.x]"] == "NOT VERIFIED"
    assert "PyTorch raised RuntimeError: no kernel" in text
    assert len(result.of("MISTRUSTED")) == 4


def test_the_test_of_all_together_needs_no_other_test_and_runs_no_more_than_it_must():
    namespace: dict = {}
    exec(FILE + RED, namespace)

    def alone(name):
        runner = Runner(namespace[name])
        *others, check = runner.checks
        result = runner.run(check)
        compared = [c for c in {c.comparison for c in others} if c in runner._parts]
        return {record.verdict for record in result.records}, len(compared)

    assert alone("test_vacuous") == ({"MISTRUSTED"}, 1)
    assert alone("test_declared") == ({"PASS"}, 1)  # The second case could say nothing new.
