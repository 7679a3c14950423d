"""The commands `check` and `mutate`, where PyTorch is not installed."""

import pathlib
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("typer")

from typer.testing import CliRunner

from parity_tests.__main__ import app

ROOT = pathlib.Path(__file__).parents[2]
REFERENCES = ROOT / "parity_tests" / "references"
WITHOUT_TORCH = """
import runpy, sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torch_geometric"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NoTorch())
runpy.run_module("parity_tests", run_name="__main__", alter_sys=True)
"""


def command(*given):
    program = [sys.executable, "-c", WITHOUT_TORCH, *map(str, given)]
    return subprocess.run(program, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(REFERENCES / "global_min_pool", tmp_path / "global_min_pool")
    return tmp_path


def check(folder, *more):
    at = ("--operator", "global_min_pool", "--lane", "exact", "--references", folder)
    return command("check", *at, *more)


def test_check_passes_and_writes_what_it_found(folder, tmp_path):
    done = check(folder, "--json", tmp_path / "run.json", "--html", tmp_path / "run.html")
    assert done.returncode == 0, done.stderr
    assert "global_min_pool" in done.stdout and "PASS" in done.stdout
    again = command("report", tmp_path / "run.json")
    assert "global_min_pool" in again.stdout
    assert "<html" in (tmp_path / "run.html").read_text()


def test_check_refuses_damaged_references_with_code_3(folder):
    (folder / "global_min_pool" / "003-dyadic-0.npz").write_bytes(b"")
    done = check(folder)
    assert done.returncode == 3
    assert "003-dyadic-0.npz is damaged" in done.stderr and "Traceback" not in done.stderr


def test_check_without_references_says_how_to_write_them(tmp_path):
    done = check(tmp_path)
    assert done.returncode == 3
    assert "manifest.json is missing; write the references with record" in done.stderr


def test_mutate_names_what_killed_a_fault(tmp_path):
    at = ("--operator", "global_mean_pool", "--fault", "mean over all rows")
    done = command("mutate", *at, "--jobs", 1, "--json", tmp_path / "run.json")
    assert done.returncode == 0, done.stderr
    assert "1/1" in done.stdout
    assert "random:0 / rank=2 / f64 / out.x" in (tmp_path / "run.json").read_text()


@pytest.mark.parametrize(
    "given, said",
    [
        (("--fault", "no such"), "there is no fault 'no such'"),
        (("--fault", "k plus one", "--operator", "GCNConv"), "concern none of these operators"),
    ],
)
def test_mutate_refuses_what_there_is_not(given, said):
    done = CliRunner().invoke(app, ["mutate", *given])
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.replace("│", " ").split())
