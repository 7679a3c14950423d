"""Checkpoints of PyTorch: what is found in them, and that nothing of them is run."""

import argparse
import collections
import io
import os
import pathlib
import pickle
import re
import subprocess
import sys
import warnings
import zipfile

import numpy as np
import pytest
import torch
import torch_geometric.nn as pyg

from jraphx_eqx.interop import load_state_dict, read_state_dict, write_state_dict


def network():
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))


def assert_holds(found, module):
    expected = module.state_dict()
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor.numpy())
        assert found[name].dtype == tensor.numpy().dtype


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".PT"])
def test_a_state_dict_is_read_and_one_that_is_written_is_loaded(tmp_path, suffix):
    module = network()
    torch.save(module.state_dict(), tmp_path / f"net{suffix}")
    found = read_state_dict(tmp_path / f"net{suffix}")
    assert_holds(found, module)
    write_state_dict(found, tmp_path / f"copy{suffix}")
    other = network()
    other.load_state_dict(torch.load(tmp_path / f"copy{suffix}", weights_only=True))
    assert_holds(found, other)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_every_dtype_goes_there_and_back_bit_by_bit(tmp_path, dtype):
    module = pyg.TopKPooling(5).to(dtype)
    torch.save(module.state_dict(), tmp_path / "pool.pt")
    for name in ("copy.pt", "copy.safetensors"):
        write_state_dict(read_state_dict(tmp_path / "pool.pt"), tmp_path / name)
        write_state_dict(read_state_dict(tmp_path / name), tmp_path / "back.pt")
        back = torch.load(tmp_path / "back.pt", weights_only=True)["select.weight"]
        assert back.dtype == dtype and torch.equal(back, module.select.weight)


def test_tensors_are_written_as_they_are(tmp_path):
    write_state_dict(network().bfloat16().state_dict(), tmp_path / "net.safetensors")
    assert read_state_dict(tmp_path / "net.safetensors")["0.weight"].dtype.name == "bfloat16"


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "net"])
def test_the_state_dict_of_a_checkpoint_is_found_under_a_usual_key(tmp_path, key):
    module = network()
    optimizer = torch.optim.Adam(module.parameters())
    checkpoint = {"epoch": 3, key: module.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(checkpoint, tmp_path / "net.pt")
    assert_holds(read_state_dict(tmp_path / "net.pt"), module)


def test_under_another_key_it_is_read_by_saying_so(tmp_path):
    module = network()
    torch.save({"epoch": 3, "mine": module.state_dict()}, tmp_path / "net.pt")
    with pytest.raises(ValueError, match=r"has 'epoch', 'mine'; say which with key=.*\['mine'\]"):
        read_state_dict(tmp_path / "net.pt")
    assert_holds(read_state_dict(tmp_path / "net.pt", key="mine"), module)
    with pytest.raises(ValueError, match="no state dict under 'epoch'; it has 'epoch', 'mine'"):
        read_state_dict(tmp_path / "net.pt", key="epoch")


class Runs:
    ran = False

    def __reduce__(self):
        return setattr, (Runs, "ran", True)


REFUSED = {
    "two": (
        lambda: {"model": network().state_dict(), "net": network().state_dict()},
        "net.pt has several state dicts, under 'model', 'net'; say which with key=",
    ),
    "none": (lambda: {"epoch": 3}, "is no state dict; it has 'epoch'; none of these holds tensors"),
    "mixed": (
        lambda: {**network().state_dict(), "version": "1"},
        "these are not tensors: 'version'",
    ),
    "tensor": (lambda: torch.ones(3), "net.pt must hold a state dict, got Tensor"),
    "module": (network, "must hold tensors only, as written by torch.save(module.state_dict()"),
    "code": (lambda: {"model": Runs()}, "net.pt cannot be read as weights"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_holds_no_state_dict_or_more_than_weights_is_refused(tmp_path, name):
    make, message = REFUSED[name]
    torch.save(make(), tmp_path / "net.pt")
    with pytest.raises(ValueError, match=re.escape(message)):
        read_state_dict(tmp_path / "net.pt")
    assert not Runs.ran


def saved(content, **more):
    buffer = io.BytesIO()
    torch.save(content, buffer, **more)
    return buffer.getvalue()


WHOLE = saved({"w": torch.ones(3, 4)})
OLDER = saved({"w": torch.ones(3, 4)}, _use_new_zipfile_serialization=False)
DAMAGED = {
    "empty": (b"", "it is empty, or ends too early"),
    "text": (b"hello", "it was not written by torch.save, or is damaged"),
    "zeros": (bytes(100), "it was not written by torch.save, or is damaged"),
    "torn": (WHOLE[: len(WHOLE) // 2], "failed finding central directory"),
    "torn early": (WHOLE[:2], "it was not written by torch.save, or is damaged"),
    "an older format, torn": (OLDER[:-20], "unexpected EOF, expected 20 more bytes"),
    "an older format, torn early": (OLDER[:40], "it is empty, or ends too early"),
    "a pickle": (pickle.dumps({"w": 1.0}), "it was not written by torch.save, or is damaged"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, name):
    content, message = DAMAGED[name]
    (tmp_path / "net.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"^net\.pt cannot be read as weights: .*") as caught:
        read_state_dict(tmp_path / "net.pt")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def quantised():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)


def compressed_rows():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.eye(3).to_sparse_csr()


NO_ARRAYS = {
    "sparse": (lambda: torch.eye(3).to_sparse(), "is sparse or nested; it must be a dense tensor"),
    "sparse rows": (compressed_rows, "is sparse or nested; it must be a dense tensor"),
    "quantised": (quantised, "is quantised; it must be one of plain numbers"),
    "float8": (
        lambda: torch.ones(3).to(torch.float8_e4m3fn),
        "has dtype float8_e4m3fn, which NumPy does not have",
    ),
    "meta": (lambda: torch.ones(3, device="meta"), "is on the device 'meta', which holds no value"),
}


@pytest.mark.parametrize("name", NO_ARRAYS)
def test_a_tensor_that_numpy_does_not_have_is_named(tmp_path, name):
    make, message = NO_ARRAYS[name]
    torch.save({"w": torch.ones(2), "adj": make()}, tmp_path / "net.pt")
    with pytest.raises(ValueError, match=re.escape(f"net.pt: 'adj' {message}")):
        read_state_dict(tmp_path / "net.pt")
    with pytest.raises(ValueError, match=re.escape(f"'adj' {message}")):
        load_state_dict({"adj": np.ones(3)}, {"adj": make()})
    with pytest.raises(ValueError, match=re.escape(f"'adj' {message}")):
        write_state_dict({"adj": make()}, tmp_path / "net.npz")


@pytest.mark.parametrize(
    "content, message",
    [
        (
            {"state_dict": {}, "hyper_parameters": argparse.Namespace(lr=0.1)},
            "its entry 'hyper_parameters' holds argparse.Namespace, which is no tensor",
        ),
        (
            {"cfg": {"paths": [1, {"data": pathlib.PurePosixPath("x")}]}},
            "its entry 'cfg.paths.1.data' holds pathlib.PurePosixPath, which is no tensor",
        ),
        ({"loss": np.float64(1.0)}, "its entry 'loss' holds numpy._core.multiarray.scalar, which"),
    ],
)
def test_an_object_that_is_no_tensor_is_named_with_its_entry(tmp_path, content, message):
    torch.save(content, tmp_path / "net.pt")
    with pytest.raises(
        ValueError, match=re.escape(f"cannot be read as weights: {message}")
    ) as caught:
        read_state_dict(tmp_path / "net.pt")
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


@pytest.mark.parametrize("path", ["model.state_dict", "state_dict.model", "module.net.model"])
def test_a_nested_state_dict_is_found(tmp_path, path):
    content = module = network()
    optimizer = torch.optim.Adam(module.parameters()).state_dict()
    content = module.state_dict()
    for key in reversed(path.split(".")):
        content = {"epoch": 3, key: content, "optimizer": optimizer}
    torch.save(content, tmp_path / "net.pt")
    assert_holds(read_state_dict(tmp_path / "net.pt"), module)
    assert_holds(read_state_dict(tmp_path / "net.pt", key=path), module)
    with pytest.raises(ValueError, match=r"no state dict under 'epoch\.more'"):
        read_state_dict(tmp_path / "net.pt", key="epoch.more")


def test_nested_state_dicts_are_not_chosen_between(tmp_path):
    both = {"model": {"state_dict": network().state_dict()}, "net": network().state_dict()}
    torch.save(both, tmp_path / "net.pt")
    with pytest.raises(ValueError, match=r"under 'model\.state_dict', 'net'; say which with key="):
        read_state_dict(tmp_path / "net.pt")
    torch.save({"model": {}, "net": network().state_dict()}, tmp_path / "net.pt")
    assert len(read_state_dict(tmp_path / "net.pt")) == 7


def compressed(content):
    """The same archive with its members deflated."""
    buffer = io.BytesIO()
    deflated = zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(io.BytesIO(content)) as old, deflated as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
    return buffer.getvalue()


def test_a_file_that_declares_far_more_than_it_holds_is_not_expanded(tmp_path):
    torch.save({"w": torch.zeros(1).expand(2_684_354_560)}, tmp_path / "net.pt")
    with pytest.raises(
        ValueError, match=r"declares arrays of 10,737,418,240, which weights do not"
    ):
        read_state_dict(tmp_path / "net.pt")
    (tmp_path / "net.pt").write_bytes(compressed(saved({"w": torch.zeros(2**25)})))
    with pytest.raises(ValueError, match="and declares arrays of 134,2"):
        read_state_dict(tmp_path / "net.pt")
    # A few numbers that are expanded, or compressed, are no reason.
    torch.save({"w": torch.ones(1).expand(2, 3)}, tmp_path / "net.pt")
    np.testing.assert_array_equal(read_state_dict(tmp_path / "net.pt")["w"], np.ones((2, 3)))
    (tmp_path / "net.pt").write_bytes(compressed(saved({"w": torch.arange(1000.0)})))
    np.testing.assert_array_equal(read_state_dict(tmp_path / "net.pt")["w"], np.arange(1000.0))


PEAK = """
import re, torch
from pathlib import Path
from jraphx_eqx.interop import read_state_dict

def peak():
    # Not `ru_maxrss`, in which the parent's memory counts.
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

torch.save({"w": torch.ones(2)}, "small.pt")
read_state_dict("small.pt")
before = peak()
found = read_state_dict("net.pt")
print(peak() - before)
"""


def test_an_honest_file_needs_at_most_twice_its_size(tmp_path):
    torch.save({str(i): torch.full((2**21,), float(i)) for i in range(16)}, tmp_path / "net.pt")
    done = subprocess.run(
        [sys.executable, "-c", PEAK],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
    )
    assert done.returncode == 0, done.stderr
    size = (tmp_path / "net.pt").stat().st_size
    assert size / 2 < int(done.stdout) < 2.1 * size


def test_an_ordered_dict_without_entries_is_a_state_dict(tmp_path):
    torch.save(collections.OrderedDict(), tmp_path / "net.pt")
    assert read_state_dict(tmp_path / "net.pt") == {}
