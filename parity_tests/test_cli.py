"""The command line with PyTorch: checkpoints in `.pt`, and `verify`."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import torch
import torch_geometric.nn as pyg
from typer.testing import CliRunner

from jraphx_eqx.cli._app import app
from jraphx_eqx.cli._checkpoint import load_torch
from jraphx_eqx.cli._names import parse
from jraphx_eqx.cli._problem import Problem
from jraphx_eqx.interop import read_state_dict
from jraphx_eqx.parity import Result, graphs

THEIRS = """
import torch
import torch_geometric.nn as pyg


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = pyg.GCNConv(3, 4)
        self.pool = pyg.TopKPooling(4, ratio=0.6)
        self.lin = torch.nn.Linear(4, 2)

    def forward(self, x, edge_index, batch):
        x = self.conv(x, edge_index).relu()
        x, edge_index, _, batch, _, _ = self.pool(x, edge_index, batch=batch)
        return self.lin(pyg.global_mean_pool(x, batch))


class Unlit(Net):
    def forward(self, x, edge_index, batch):
        return self.lin(pyg.global_mean_pool((self.conv(x, edge_index) - 1e3).relu(), batch))


class Weighted(Net):
    def forward(self, x, edge_index, edge_weight, batch):
        return super().forward(x, edge_index, batch)
"""
OURS = """
import equinox as eqx
import jax
from jraphx_eqx.nn.conv import GCNConv
from jraphx_eqx.nn.pool import TopKPooling, global_add_pool, global_mean_pool


class Net(eqx.Module):
    conv: GCNConv
    pool: TopKPooling
    lin: eqx.nn.Linear

    def __init__(self, ratio=0.6, *, key):
        self.conv = GCNConv(3, 4, key=key)
        self.pool = TopKPooling(4, ratio=ratio, key=key)
        self.lin = eqx.nn.Linear(4, 2, key=key)

    def __call__(self, x, edge_index, batch):
        x = jax.nn.relu(self.conv(x, edge_index))
        x, edge_index, _, batch, _ = self.pool(x, edge_index, batch=batch)
        return jax.vmap(self.lin)(self.readout(x, batch))

    def readout(self, x, batch):
        return global_mean_pool(x, batch)


class Sum(Net):
    def readout(self, x, batch):
        return global_add_pool(x, batch)


class Unlit(Net):
    def __call__(self, x, edge_index, batch):
        x = jax.nn.relu(self.conv(x, edge_index) - 1e3)
        return jax.vmap(self.lin)(global_mean_pool(x, batch))


def other_ratio(key):
    return Net(0.3, key=key)
"""
RUNNER = CliRunner()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Both networks, as a user has them, and a checkpoint of the trained one."""
    (tmp_path / "theirs_of_mine.py").write_text(THEIRS)
    (tmp_path / "ours_of_mine.py").write_text(OURS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for name in ("theirs_of_mine", "ours_of_mine"):
        sys.modules.pop(name, None)
    import theirs_of_mine

    torch.manual_seed(3)
    torch.save({"epoch": 2, "model": theirs_of_mine.Net().state_dict()}, "net.pt")
    yield tmp_path
    for name in ("theirs_of_mine", "ours_of_mine"):
        sys.modules.pop(name, None)


def called(*arguments, code):
    result = RUNNER.invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.output


def verified(theirs="Net", ours="Net", *more, code):
    at = ("--pyg", f"theirs_of_mine:{theirs}", "--eqx", f"ours_of_mine:{ours}", "--lane", "f64")
    return called("verify", *at, *more, code=code)


def test_a_checkpoint_of_pytorch_is_ported(folder):
    out = called("port", "net.pt", "--model", "ours_of_mine:Net", "-o", "net.safetensors", code=0)
    assert "pool.select.weight" in out
    written, before = read_state_dict("net.safetensors"), torch.load("net.pt")["model"]
    assert set(written) == set(before)
    for name, tensor in before.items():
        np.testing.assert_array_equal(written[name], tensor.numpy())


def net():
    import theirs_of_mine

    return theirs_of_mine.Net()


def lightning():
    module = torch.nn.Module()
    module.model = net()
    return {"state_dict": module.state_dict(), "epoch": 3, "hyper_parameters": {"lr": 0.1}}


def compile(module):
    return torch.compile(module, backend="eager")


def compiled():
    return compile(net()).state_dict()


def parallel():
    return torch.nn.DataParallel(net()).state_dict()


def compiled_in_parallel():
    return torch.nn.DataParallel(compile(net())).state_dict()


def parallel_compiled():
    return compile(torch.nn.DataParallel(net())).state_dict()


def averaged():
    return torch.optim.swa_utils.AveragedModel(net()).state_dict()


def layer_compiled():
    module = net()
    module.conv = compile(module.conv)
    return module.state_dict()


def nested():
    module = net()
    optimizer = torch.optim.AdamW(module.parameters())
    module(
        *map(torch.from_numpy, (np.ones((2, 3), np.float32), np.array([[0], [1]])[:, :0])),
        torch.zeros(2, dtype=torch.int64),
    ).sum().backward()
    optimizer.step()
    return {"model": {"state_dict": module.state_dict()}, "optimizer": optimizer.state_dict()}


def aliased():
    module = net()
    module.again = module.lin
    return module.state_dict()


def older():
    state = net().state_dict()
    state["conv.weight"] = state.pop("conv.lin.weight").T.contiguous()
    state["pool.weight"] = state.pop("pool.select.weight")
    return {f"module.{name}": tensor for name, tensor in state.items()}


WITHOUT = "note: the names are those of the checkpoint without"
CHECKPOINTS = {
    lightning: [f"{WITHOUT} 'model.'"],
    compiled: [f"{WITHOUT} '_orig_mod.' of torch.compile"],
    parallel: [f"{WITHOUT} 'module.'"],
    compiled_in_parallel: [f"{WITHOUT} '_orig_mod.' of torch.compile", f"{WITHOUT} 'module.'"],
    parallel_compiled: [f"{WITHOUT} '_orig_mod.' of torch.compile", f"{WITHOUT} 'module.'"],
    averaged: [f"{WITHOUT} 'module.'", "note: 'n_averaged' of AveragedModel was left out"],
    layer_compiled: [f"{WITHOUT} '_orig_mod.' of torch.compile"],
    nested: [],
    aliased: ["note: 'again' has the values of 'lin', and is taken as its second name"],
    older: [
        f"{WITHOUT} 'module.'",
        "note: conv.weight (before PyG 2.0) as conv.lin.weight",
        "note: pool.weight (before PyG 2.4) as pool.select.weight",
    ],
}


@pytest.mark.parametrize("make", CHECKPOINTS, ids=lambda make: make.__name__)
def test_checkpoints_as_frameworks_write_them_are_ported_without_a_rename(folder, make):
    torch.manual_seed(7)
    expected = net().state_dict()
    torch.manual_seed(7)
    torch.save(make(), "x.ckpt")
    out = called("port", "x.ckpt", "--model", "ours_of_mine:Net", "-o", "out.npz", code=0)
    assert [line for line in out.splitlines() if line.startswith("note")] == CHECKPOINTS[make]
    assert "does not fit" not in out and "Warning" not in out
    written = read_state_dict("out.npz")
    assert set(written) == set(expected)
    if make is not nested:  # which was trained for a step
        for name, tensor in expected.items():
            np.testing.assert_array_equal(written[name], tensor.numpy())
    # What `port` takes, the PyTorch network of `verify` takes, and gets the same weights.
    theirs = net()
    load_torch(theirs, ours(), Path("x.ckpt"), None, parse([], []))
    assert_equal(theirs, written)


def test_verify_takes_one_name_for_a_layer_that_pytorch_has_under_two(folder):
    torch.manual_seed(7)
    theirs, state = net(), net().state_dict()
    theirs.again = theirs.lin
    torch.save(state, "x.pt")
    load_torch(theirs, ours(), Path("x.pt"), None, parse([], []))
    assert_equal(theirs.again, {"weight": state["lin.weight"], "bias": state["lin.bias"]})
    theirs.more = torch.nn.Linear(4, 2)
    with pytest.raises(Problem, match=r"missing: 'more\.bias'"):
        load_torch(theirs, ours(), Path("x.pt"), None, parse([], []))


def ours():
    import ours_of_mine

    return ours_of_mine.Net(key=jax.random.key(0))


def assert_equal(theirs, written):
    for name, tensor in theirs.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), written[name])


def test_verify_takes_wrapped_names_other_names_and_what_is_dropped(folder):
    state = {f"model.{name}": tensor for name, tensor in net().state_dict().items()}
    state["model.head.weight"] = state.pop("model.lin.weight")
    state["model.head.bias"] = state.pop("model.lin.bias")
    torch.save({"state_dict": {**state, "criterion.weight": torch.ones(2)}}, "x.ckpt")
    rules = ("--rename", r"\bhead\.=lin.", "--drop", "^criterion", "--checkpoint", "x.ckpt")
    out = verified("Net", "Net", *rules, "--no-layers", code=0)
    assert f"{WITHOUT} 'model.'" in out and "note: left out by --drop: criterion.weight" in out
    assert "unexpected: 'criterion.weight'" in verified("Net", "Net", *rules[4:], code=1)
    assert "about --checkpoint" in verified("Net", "Net", *rules[:4], code=2)


def test_a_report_is_written_whatever_the_locale(folder):
    run = [sys.executable, "-m", "jraphx_eqx.cli", "verify", "--no-layers", "--lane", "f64"]
    networks = ["--pyg", "theirs_of_mine:Net", "--eqx", "ours_of_mine:Net", "--html", "r.html"]
    ascii_only = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        run + networks, capture_output=True, env={**os.environ, **ascii_only, "PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    assert "<html" in (folder / "r.html").read_text(encoding="utf-8")


class Surprise:
    def __reduce__(self):
        return os.mkdir, ("made_by_the_checkpoint",)


def truncated():
    whole = Path("net.pt").read_bytes()
    Path("bad.pt").write_bytes(whole[: len(whole) // 2])


BAD = {
    "truncated": truncated,
    "no checkpoint": lambda: Path("bad.pt").write_bytes(b"not at all"),
    "code": lambda: torch.save({"weight": Surprise()}, "bad.pt"),
    "a module": lambda: torch.save(pyg.GCNConv(3, 4), "bad.pt"),
    "a list": lambda: torch.save([1, 2], "bad.pt"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_cannot_be_read_writes_nothing_and_runs_nothing(folder, name):
    BAD[name]()
    out = called("port", "bad.pt", "--model", "ours_of_mine:Net", "-o", "out.npz", code=2)
    [line] = [line for line in out.splitlines() if line.startswith("error: ")]
    assert "bad.pt" in line
    assert not os.path.exists("out.npz") and not os.path.exists("made_by_the_checkpoint")


def test_a_right_port_is_verified_layer_by_layer_and_as_a_whole(folder):
    out = verified("Net", "Net", "--checkpoint", "net.pt", "--json", "out.json", code=0)
    assert "PASS" in out and "first layer" not in out
    result = Result.read(folder / "out.json")
    assert {record.operator for record in result.records} >= {"conv", "pool", "lin", "network"}
    tensors = {record.tensor for record in result.records if record.operator == "network"}
    assert {"out.0", "d.arg0", "d.conv.lin.weight", "d.pool.select.weight"} <= tensors


def test_a_layer_with_another_option_is_named_and_those_after_it_are_not(folder):
    out = verified("Net", "other_ratio", "--html", "out.html", code=1)
    assert "The first layer that differs is pool." in out
    assert "<html" in (folder / "out.html").read_text()


def test_what_differs_between_the_layers_fails_as_a_whole(folder):
    out = verified("Net", "Sum", "--no-layers", code=1)
    assert "network" in out and "first layer" not in out


def test_data_come_from_a_file_or_a_function(folder):
    case = graphs.random(1, features=3)
    np.savez("data.npz", **{name: case[name] for name in ("batch", "x", "edge_index")})
    verified("Net", "Net", "--data", "data.npz", "--no-layers", code=0)
    (folder / "data_of_mine.py").write_text(
        "import numpy as np\n\n\ndef data():\n"
        "    found = np.load('data.npz')\n"
        "    return found['x'], found['edge_index'], found['batch']\n"
    )
    verified("Net", "Net", "--data", "data_of_mine:data", "--no-layers", code=0)
    np.savez("more.npz", x=case["x"], edges=case["edge_index"])
    assert "has an array 'edges'; the PyTorch network takes x, edge_index, batch" in verified(
        "Net", "Net", "--data", "more.npz", code=2
    )
    np.savez("less.npz", x=case["x"], batch=case["batch"])
    assert "has no array 'edge_index'" in verified("Net", "Net", "--data", "less.npz", code=2)
    np.savez("wide.npz", **{**dict(np.load("data.npz")), "x": np.ones((len(case["x"]), 5))})
    assert "cannot be called with the data" in verified("Net", "Net", "--data", "wide.npz", code=2)


def test_a_network_that_needs_other_arguments_asks_for_data(folder):
    assert "needs an argument 'edge_weight'; give its arguments with --data" in verified(
        "Weighted", "Net", code=2
    )


def test_gradients_that_vanish_are_mistrusted_unless_they_are_expected_to(folder):
    assert "d.conv.bias" in verified("Unlit", "Unlit", "--no-layers", code=3)
    expected = ("--expect-zero", r"conv\..*", "--expect-zero", "lin.weight|arg0")
    out = verified("Unlit", "Unlit", "--no-layers", *expected, code=0)
    assert "UNJUDGED d.pool.select.weight: neither side differentiates it" in out


def test_a_function_that_returns_more_arrays_than_arguments_is_refused(folder):
    (folder / "many_of_mine.py").write_text("def data():\n    return 1, 2, 3, 4\n")
    out = verified("Net", "Net", "--data", "many_of_mine:data", code=2)
    assert "returns 4 arrays, of which the first 3 would be x, edge_index, batch" in out


def test_networks_of_different_weights_are_refused(folder):
    torch.save(pyg.GCNConv(3, 4).state_dict(), "conv.pt")
    out = verified("Net", "Net", "--checkpoint", "conv.pt", code=1)
    assert "conv.pt does not fit the PyTorch network" in out
