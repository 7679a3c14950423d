import io
import sys
import tracemalloc
import warnings
import zipfile

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.interop import load_state_dict, read_state_dict, state_dict, write_state_dict
from jraphx_eqx.nn.conv import GCNConv

ARRAYS = {
    "conv.weight": np.arange(6.0).reshape(2, 3),
    "transposed": np.arange(6.0, dtype=np.float32).reshape(2, 3).T,
    "file": np.array([0x7E01, 0x8000], np.uint16).view(np.float16),
    "number": np.array(3),
    "empty": np.zeros((0, 3), np.float32),
    "mask": np.array([True, False]),
}


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_file_gives_back_every_bit_and_is_the_same_each_time(tmp_path, suffix):
    files = [tmp_path / f"{number}{suffix}" for number in range(2)]
    for file in files:
        write_state_dict(ARRAYS, file)
    assert files[0].read_bytes() == files[1].read_bytes()
    found = read_state_dict(files[0])
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype), name
        assert found[name].tobytes() == array.tobytes(), name
        assert found[name].flags.writeable


def test_a_module_goes_through_a_file(tmp_path):
    layer = GCNConv(3, 2, key=jax.random.key(0))
    write_state_dict(layer, str(tmp_path / "layer.npz"))
    other = GCNConv(3, 2, key=jax.random.key(1))
    loaded = load_state_dict(other, read_state_dict(str(tmp_path / "layer.npz")))
    assert bool(eqx.tree_equal(loaded, layer)) and not bool(eqx.tree_equal(other, layer))


def test_bfloat16_goes_through_safetensors_and_is_refused_by_npz(tmp_path):
    layer = {"weight": jnp.array([1.5, -0.0, jnp.nan], jnp.bfloat16)}
    write_state_dict(layer, tmp_path / "layer.safetensors")
    found = read_state_dict(tmp_path / "layer.safetensors")["weight"]
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found.view(np.uint16), layer["weight"].view(jnp.uint16))
    with pytest.raises(ValueError, match=r"'weight' is bfloat16, which \.npz cannot hold; write"):
        write_state_dict(layer, tmp_path / "layer.npz")


@pytest.mark.parametrize("suffix", [".NPZ", ".Safetensors"])
def test_a_suffix_may_be_in_capitals(tmp_path, suffix):
    write_state_dict(ARRAYS, tmp_path / f"net{suffix}")
    assert read_state_dict(tmp_path / f"net{suffix}").keys() == ARRAYS.keys()


@pytest.mark.parametrize("call", [read_state_dict, lambda path: write_state_dict({}, path)])
def test_another_suffix_is_refused(tmp_path, call):
    with pytest.raises(ValueError, match=r"path must end in one of \.pt, .*\.npz, got 'net\.onnx'"):
        call(tmp_path / "net.onnx")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", bytes(64)])
def test_a_damaged_file_is_refused(tmp_path, suffix, content):
    (tmp_path / f"net{suffix}").write_bytes(content)
    with pytest.raises(ValueError, match=f"net{suffix} (cannot be read|is damaged)"):
        read_state_dict(tmp_path / f"net{suffix}")


def test_pickled_objects_are_not_read_from_npz(tmp_path):
    np.savez(tmp_path / "net.npz", code=np.array([object()]))
    with pytest.raises(ValueError, match=r"net\.npz cannot be read.*'code' has dtype object"):
        read_state_dict(tmp_path / "net.npz")
    np.save(tmp_path / "one.npy", np.ones(2))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    with pytest.raises(ValueError, match="one array without a name"):
        read_state_dict(tmp_path / "one.npz")


def npz(path, *members):
    """An archive of these names and contents; an array is written as NumPy does."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # of names that are there already
        for name, content in members:
            if isinstance(content, np.ndarray):
                buffer = io.BytesIO()
                np.save(buffer, content)
                content = buffer.getvalue()
            archive.writestr(name, content)


def test_another_order_of_bytes_arrives_in_that_of_the_machine(tmp_path):
    np.savez(tmp_path / "net.npz", a=np.array([1.5, -2], ">f4"), b=np.arange(6).reshape(2, 3).T)
    found = read_state_dict(tmp_path / "net.npz")
    assert found["a"].dtype == np.float32 and found["a"].dtype.isnative
    np.testing.assert_array_equal(found["a"], [1.5, -2])
    np.testing.assert_array_equal(found["b"], [[0, 3], [1, 4], [2, 5]])


def header(text):
    """The beginning of a `.npy` file with this text for its header."""
    encoded = text.encode()
    return b"\x93NUMPY\x01\x00" + len(encoded).to_bytes(2, "little") + encoded


DEEP = "{'descr': '<f4', 'fortran_order': False, 'shape': " + "(" * 2000 + ")" * 2000 + "}"
HUGE = "{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000,), }"
BAD_NPZ = {
    "text": ([("a.npy", np.array(["x"]))], "'a' has dtype <U1; it must hold numbers"),
    "dates": ([("a.npy", np.array(["2020"], "M8[Y]"))], r"'a' has dtype datetime64\[Y\]; it must"),
    "a foreign member": (
        [("a.npy", np.ones(2)), ("a.txt", b"hello")],
        r"its member 'a\.txt' is no array, which ends in \.npy",
    ),
    "two of a name": ([("a.npy", np.ones(2)), ("a.npy", np.zeros(2))], "it holds 'a' twice"),
    "no array inside": ([("a.npy", b"hello")], "the header of 'a' cannot be read"),
    "a deep header": ([("a.npy", header(DEEP))], "the header of 'a' cannot be read"),
    "a long array": (
        [("a.npy", header(HUGE) + bytes(8))],
        "'a' declares 40,000,000,000 bytes and holds 8",
    ),
    "escapes": ([("\x1b[31m.txt", b"hello")], r"its member '\\x1b\[31m\.txt' is no array"),
}


@pytest.mark.parametrize("name", BAD_NPZ)
def test_an_npz_that_holds_something_else_is_refused_in_one_line(tmp_path, name):
    members, message = BAD_NPZ[name]
    npz(tmp_path / "net.npz", *members)
    with pytest.raises(
        ValueError, match=r"^net\.npz cannot be read as \.npz: " + message
    ) as caught:
        read_state_dict(tmp_path / "net.npz")
    assert "\n" not in str(caught.value)


def peak(work):
    """The most memory that Python and NumPy had at once, and what came."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        out = work()
        return tracemalloc.get_traced_memory()[1] - before, out
    finally:
        tracemalloc.stop()


def test_a_file_of_zeros_is_refused_before_it_is_expanded(tmp_path):
    zeros = [(f"{i}.npy", np.zeros(2**22)) for i in range(3)]  # 96 MiB
    npz(tmp_path / "net.npz", *zeros)
    held = (tmp_path / "net.npz").stat().st_size
    assert held < 2**17

    def read():
        with pytest.raises(
            ValueError, match=f": it holds {held:,} bytes and declares arrays of 100,6"
        ):
            read_state_dict(tmp_path / "net.npz")

    assert peak(read)[0] < 2**20
    npz(tmp_path / "net.npz", *zeros[:1])  # 32 MiB do no harm
    assert read_state_dict(tmp_path / "net.npz")["0"].shape == (2**22,)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_an_honest_file_needs_at_most_twice_its_size(tmp_path, suffix):
    state = {f"{i}.weight": np.full((256, 1024), i, np.float32) for i in range(8)}  # 8 MiB
    write_state_dict(state, tmp_path / f"net{suffix}")
    size = (tmp_path / f"net{suffix}").stat().st_size
    most, found = peak(lambda: read_state_dict(tmp_path / f"net{suffix}"))
    assert size < most < 2.1 * size and len(found) == 8
    # `write_state_dict` copies nothing but what the format itself does.
    most, _ = peak(lambda: write_state_dict(found, tmp_path / f"more{suffix}"))
    assert most < 2.1 * size


def test_what_is_no_array_is_named_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match="'b' must be an array or a tensor, got list"):
        write_state_dict({"a": np.ones(1), "b": [1.0]}, tmp_path / "net.npz")
    assert not (tmp_path / "net.npz").exists()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file '.*net\.npz'"):
        read_state_dict(tmp_path / "net.npz")


def test_a_key_is_for_files_of_pytorch(tmp_path):
    write_state_dict(ARRAYS, tmp_path / "net.npz")
    with pytest.raises(ValueError, match=r"key is for \.pt files, not for \.npz"):
        read_state_dict(tmp_path / "net.npz", key="model")


@pytest.mark.parametrize(
    "package, suffix, message",
    [
        ("safetensors", ".safetensors", "files need the package safetensors: pip install safeten"),
        ("torch", ".pt", r"\.pt files need PyTorch: pip install torch"),
    ],
)
def test_an_extra_that_is_missing_is_said_in_one_line(
    monkeypatch, tmp_path, package, suffix, message
):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=message) as caught:
        write_state_dict(ARRAYS, tmp_path / f"net{suffix}")
    assert "\n" not in str(caught.value)
    (tmp_path / f"net{suffix}").touch()
    with pytest.raises(ImportError, match=message):
        read_state_dict(tmp_path / f"net{suffix}")


def test_state_dict_is_what_is_written(tmp_path):
    layer = GCNConv(3, 2, key=jax.random.key(0))
    write_state_dict(layer, tmp_path / "a.npz")
    write_state_dict(state_dict(layer), tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
