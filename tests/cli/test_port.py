"""The commands that need no PyTorch, on checkpoints that fit and on others."""

import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("typer")
from typer.testing import CliRunner

from jraphx_eqx.cli._app import app
from jraphx_eqx.interop import read_state_dict, state_dict, write_state_dict
from jraphx_eqx.nn.conv import GCNConv
from jraphx_eqx.nn.pool import TopKPooling

RUNNER = CliRunner()
NETWORK = """
import equinox as eqx
from jraphx_eqx.nn.conv import GCNConv
from jraphx_eqx.nn.pool import TopKPooling


class Net(eqx.Module):
    conv: GCNConv
    pool: TopKPooling

    def __init__(self, *, key):
        self.conv = GCNConv(3, 4, key=key)
        self.pool = TopKPooling(4, key=key)


def number():
    return 3


def broken():
    raise RuntimeError("no such file of settings")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a network of the user's own, and a checkpoint of it with other weights."""
    (tmp_path / "net_of_mine.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    sys.modules.pop("net_of_mine", None)
    write_state_dict(weights(), tmp_path / "good.safetensors")
    yield tmp_path
    sys.modules.pop("net_of_mine", None)


def weights():
    rng = np.random.default_rng(0)
    shapes = {"conv.lin.weight": (4, 3), "conv.bias": (4,), "pool.select.weight": (1, 4)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def called(*arguments, code):
    result = RUNNER.invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.output


def ported(checkpoint, *more, code):
    return called("port", checkpoint, "--model", "net_of_mine:Net", *more, code=code)


@pytest.mark.parametrize("suffix", ["safetensors", "npz"])
def test_a_checkpoint_that_fits_is_written_bit_by_bit(folder, suffix):
    out = ported("good.safetensors", "-o", f"out.{suffix}", code=0)
    written = read_state_dict(folder / f"out.{suffix}")
    assert set(written) == set(weights())
    for name, array in weights().items():
        np.testing.assert_array_equal(written[name], array)
        assert name in out
    assert f"{np.abs(weights()['conv.bias']).max():.3g}" in out
    assert "All weights fit" in out


def test_without_an_output_nothing_is_written(folder):
    before = sorted(folder.iterdir())
    assert "Nothing was written" in ported("good.safetensors", code=0)
    assert [path for path in sorted(folder.iterdir()) if path.suffix != ""] == [
        path for path in before if path.suffix != ""
    ]


def without(name):
    return {key: array for key, array in weights().items() if key != name}


def changed(name, change):
    return {**weights(), name: change(weights()[name])}


def renamed(name, new):
    return {new if key == name else key: array for key, array in weights().items()}


UNFIT = {
    "a weight is missing": (without("conv.bias"), "missing: 'conv.bias'"),
    "one too many": (weights() | {"more": np.ones(2, np.float32)}, "unexpected: 'more'"),
    "renamed": (
        renamed("conv.lin.weight", "conv.linear.weight"),
        "missing: 'conv.lin.weight' (similar: 'conv.linear.weight')",
    ),
    "transposed": (
        changed("conv.lin.weight", np.transpose),
        "'conv.lin.weight' must have shape (4, 3), got (3, 4); it looks transposed",
    ),
    "wrong dtype": (
        changed("conv.bias", lambda array: array.astype(np.float16)),
        "'conv.bias' must have dtype float32, got float16",
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_checkpoint_that_does_not_fit_writes_nothing_and_says_why(folder, name):
    bad, message = UNFIT[name]
    write_state_dict(bad, "bad.npz")
    (folder / "out.npz").write_bytes(b"what was there before")
    out = ported("bad.npz", "-o", "out.npz", code=1)
    assert message in out and "does not fit" in out
    assert (folder / "out.npz").read_bytes() == b"what was there before"


@pytest.mark.parametrize("suffix", ["safetensors", "npz"])
def test_a_truncated_file_writes_nothing(folder, suffix):
    write_state_dict(weights(), f"whole.{suffix}")
    whole = (folder / f"whole.{suffix}").read_bytes()
    (folder / f"cut.{suffix}").write_bytes(whole[: len(whole) - 20])
    out = ported(f"cut.{suffix}", "-o", "out.npz", code=2)
    assert "error:" in out and f"cut.{suffix}" in out
    assert not (folder / "out.npz").exists()


def test_a_rename_makes_other_names_fit(folder):
    write_state_dict(renamed("conv.bias", "first.b"), "other.npz")
    out = ported("other.npz", "--rename", "first.b=conv.bias", "-o", "out.npz", code=0)
    assert "first.b" in out and set(read_state_dict("out.npz")) == set(weights())
    assert "has no 'nothing'" in ported("other.npz", "--rename", "nothing=conv.bias", code=2)
    assert "THEIRS=OURS" in ported("other.npz", "--rename", "first.b", code=2)
    twice = ported("other.npz", "--rename", "first.b=conv.lin.weight", code=2)
    assert "two weights would get the name 'conv.lin.weight'" in twice


def test_a_write_that_fails_leaves_no_trace(folder, monkeypatch):
    def fails(mapping, path):
        path.write_bytes(b"half of it")
        raise OSError("no space left")

    monkeypatch.setattr("jraphx_eqx.cli._write.write_state_dict", fails)
    before = {path.name for path in folder.iterdir()}
    assert "no space left" in ported("good.safetensors", "-o", "out.npz", code=2)
    assert {path.name for path in folder.iterdir()} - {"__pycache__"} == before - {"__pycache__"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.npz", "--model", "net_of_mine:Net"), "there is no file 'none.npz'"),
        (("good.safetensors", "--model", "net_of_mine"), "must be written as package.module:name"),
        (("good.safetensors", "--model", "no_such:Net"), "no_such could not be imported"),
        (("good.safetensors", "--model", "net_of_mine:Nat"), "there is no 'Nat' in net_of_mine"),
        (("good.safetensors", "--model", "net_of_mine:number"), "an equinox.Module, got int"),
        (("good.safetensors", "--model", "net_of_mine:broken"), "RuntimeError: no such file of s"),
        (("good.safetensors", "--model", "net_of_mine:Net", "-o", "out.txt"), ".txt"),
        (("net_of_mine.py", "--model", "net_of_mine:Net"), "net_of_mine.py"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(folder, arguments, message):
    out = called("port", *arguments, code=2)
    [line] = [line for line in out.splitlines() if line.startswith("error: ")]
    assert message in line


def test_inspect_lists_the_weights_and_warns_of_what_is_not_finite(folder):
    bad = changed("conv.bias", lambda array: np.full_like(array, np.nan))
    write_state_dict(bad, "bad.npz")
    out = called("inspect", "bad.npz", code=0)
    assert "pool.select.weight" in out and "(1, 4)" in out and "float32" in out
    assert "3 arrays, 20 numbers" in out
    assert "not finite: conv.bias" in out
    assert "not finite" not in called("inspect", "good.safetensors", code=0)


@pytest.mark.parametrize("command", ["port", "verify", "inspect"])
def test_help_has_an_example_and_the_exit_codes(command):
    out = " ".join(called(command, "--help", code=0).split())
    assert f"jraphx-eqx {command}" in out and "Exit codes" in out


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_its_extra_it_says_what_to_install(missing):
    code = f"import sys; sys.modules[{missing!r}] = None; from jraphx_eqx.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert f"needs the package {missing}" in line and 'pip install "jraphx_eqx[cli]"' in line


def test_the_network_of_the_test_has_the_names_of_the_checkpoint():
    class Net(eqx.Module):
        conv: GCNConv
        pool: TopKPooling

    key = jax.random.key(0)
    net = Net(GCNConv(3, 4, key=key), TopKPooling(4, key=key))
    assert set(state_dict(net)) == set(weights())
    assert all(leaf.dtype == jnp.float32 for leaf in state_dict(net).values())
