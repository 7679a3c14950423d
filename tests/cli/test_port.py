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
    assert "would have no name" in ported("other.npz", "--rename", "first.b=", code=2)
    assert "no regular expression" in ported("other.npz", "--rename", "first(=a", code=2)
    assert "does not suit 'first'" in ported("other.npz", "--rename", r"first=\1", code=2)


def fits(out):
    """That the table has no mark but the true ones."""
    return "All weights fit" in out and "does not fit" not in out and " / " not in out


def test_a_regular_expression_renames_all_that_it_matches(folder):
    theirs = {f"gnn.{n.replace('.weight', '.w')}": a for n, a in weights().items()}
    write_state_dict(theirs, "other.npz")
    rules = ("--rename", r"^gnn\.(\w+)\.=\1.", "--rename", r"\.w$=.weight")
    out = ported("other.npz", *rules, code=1)
    assert "missing: 'conv.lin.weight' (similar: 'conv.lin.w')" in out  # renamed once only
    assert fits(ported("other.npz", "--rename", r"(.+)\.w$=\1.weight", "-o", "out.npz", code=0))
    for name, array in read_state_dict("out.npz").items():
        np.testing.assert_array_equal(array, weights()[name])


def test_a_name_in_full_is_that_name_alone_and_comes_first(folder):
    theirs = {"a": weights()["conv.bias"], "a.b": weights()["conv.lin.weight"]}
    write_state_dict({**theirs, "a.c": weights()["pool.select.weight"]}, "other.npz")
    rules = ("--rename", "^a.b=conv.lin.weight", "--rename", "a.c=pool.select.weight")
    out = ported("other.npz", *rules, "--rename", "a=conv.bias", code=0)
    assert fits(out) and [line.split()[:2] for line in out.splitlines() if "float32" in line] == [
        ["conv.lin.weight", "a.b"],
        ["conv.bias", "a"],
        ["pool.select.weight", "a.c"],
    ]


def test_a_rename_goes_together_with_a_wrapper(folder):
    theirs = {f"model.{name}": array for name, array in renamed("conv.bias", "first").items()}
    write_state_dict(theirs, "other.npz")
    for rule in ("model.first=conv.bias", "first=conv.bias", "model.first=model.conv.bias"):
        out = ported("other.npz", "--rename", rule, code=0)
        assert fits(out) and "note: the names are those of the checkpoint without 'model.'" in out
        assert "model.first" in out  # the name in the file


def test_what_is_dropped_is_said_and_what_is_not_there_cannot_be(folder):
    more = {"model.criterion.weight": np.ones(2), "model.aux.0.w": np.ones(3), "metric": np.ones(1)}
    theirs = {f"model.{name}": array for name, array in weights().items()}
    write_state_dict({**theirs, **more}, "other.npz")
    left = ported("other.npz", code=1)
    marked = [line for line in left.splitlines() if line.rstrip().endswith("does not fit")]
    assert left.count("unexpected") == len(marked) == 3
    out = ported(
        "other.npz", "--drop", r"\.(criterion|aux)\.", "--drop", "metric", "-o", "o.npz", code=0
    )
    dropped = "metric, model.aux.0.w, model.criterion.weight"
    assert fits(out) and f"note: left out by --drop: {dropped}\n" in out
    assert set(read_state_dict("o.npz")) == set(weights())
    assert "has no 'nothing'" in ported("other.npz", "--drop", "nothing", code=2)
    assert "missing: 'conv.bias'" in ported("other.npz", "--drop", "conv.bias", code=1)


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "module._orig_mod."])
def test_a_wrapped_checkpoint_is_ported_and_its_table_marks_nothing(folder, prefix):
    write_state_dict({prefix + name: array for name, array in weights().items()}, "other.npz")
    out = ported("other.npz", "-o", "out.npz", code=0)
    assert fits(out) and "note: the names are" in out and "Warning" not in out
    rows = [line.split()[:2] for line in out.splitlines() if "float32" in line]
    assert rows == [[name, prefix + name] for name in weights()]
    for name, array in read_state_dict("out.npz").items():
        np.testing.assert_array_equal(array, weights()[name])


def test_old_names_and_second_names_are_in_the_table_as_they_went(folder):
    theirs = without("conv.lin.weight")
    theirs |= {"conv.weight": weights()["conv.lin.weight"].T, "pool2.select.weight": np.float32(1)}
    theirs["pool2.select.weight"] = theirs["pool.select.weight"]
    write_state_dict(theirs, "other.npz")
    out = ported("other.npz", code=0)
    assert fits(out) and "note: conv.weight (before PyG 2.0) as conv.lin.weight\n" in out
    assert "note: 'pool2' has the values of 'pool', and is taken as its second name\n" in out
    assert ["conv.lin.weight", "conv.weight", "(4,", "3)"] in [
        line.split()[:4] for line in out.splitlines()
    ]
    assert "pool.select.weight, pool2.select.weight" in " ".join(out.split())


def test_integers_of_another_width_fit(folder):
    (folder / "net_of_mine.py").write_text(
        NETWORK + "\n\ndef norm():\n    from jraphx_eqx.nn.norm import BatchNorm1d\n"
        "    return BatchNorm1d(2)\n"
    )
    sys.modules.pop("net_of_mine", None)
    state = {name: np.ones(2, np.float32) for name in ("weight", "bias", "running_var")}
    state |= {"running_mean": np.ones(2, np.float32), "num_batches_tracked": np.array(7)}
    write_state_dict(state, "norm.npz")
    out = called("port", "norm.npz", "--model", "net_of_mine:norm", code=0)
    assert "does not fit" not in out and "int32 / int64" in out


def test_a_layer_without_a_twin_is_named(folder):
    more = {f"conv.lin_{k}.weight": np.ones((4, 4), np.float32) for k in ("key", "query")}
    write_state_dict({**weights(), **more}, "other.npz")
    out = ported("other.npz", code=1)
    assert "'conv' has the weights of torch_geometric.nn.TransformerConv" in out


def test_a_write_that_fails_leaves_no_trace(folder, monkeypatch):
    def fails(mapping, path):
        assert path.name.startswith(".out.")  # as the docs say of what a killed process leaves
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
        (("none.npz", "--model", "x:Y", "-o", "out.txt"), ".npz, got 'out.txt'"),
        (("none.npz", "--model", "x:Y", "-o", "no/out.npz"), "no/out.npz cannot be written"),
        (("none.npz", "--model", "x:Y", "-o", "folder.npz"), "folder.npz is a folder or a device"),
        (("net_of_mine.py", "--model", "net_of_mine:Net"), "net_of_mine.py"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(folder, arguments, message):
    (folder / "folder.npz").mkdir()
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
