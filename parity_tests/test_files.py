"""Checkpoints of PyTorch: what is found in them, and that nothing of them is run."""

import collections
import re

import numpy as np
import pytest
import torch
import torch_geometric.nn as pyg

from jraphx_eqx.interop import read_state_dict, write_state_dict


def network():
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))


def assert_holds(found, module):
    expected = module.state_dict()
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor.numpy())
        assert found[name].dtype == tensor.numpy().dtype


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
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


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "net.pt").write_bytes(b"hello")
    with pytest.raises(ValueError, match=r"net\.pt cannot be read as weights"):
        read_state_dict(tmp_path / "net.pt")


def test_an_ordered_dict_without_entries_is_a_state_dict(tmp_path):
    torch.save(collections.OrderedDict(), tmp_path / "net.pt")
    assert read_state_dict(tmp_path / "net.pt") == {}
