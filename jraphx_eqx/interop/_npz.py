"""Arrays by name in NumPy's `.npz`."""

import math
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from ._arrays import Keep
from ._declared import check_declared, one_line

_NUMBERS = "biufc"


def read(path: Path, key: str | None, keep: Keep) -> dict[str, np.ndarray]:
    """The arrays that are to be kept, one after the other."""
    if key is not None:
        raise ValueError(f"key is for .pt files, not for {path.suffix}, which are flat")
    try:
        return _read(path, keep)
    except Exception as error:  # of zipfile, zlib and NumPy
        raise ValueError(f"{path.name} cannot be read as .npz: {one_line(error)}") from error


def write(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Writes the same bytes each time."""
    for name, array in arrays.items():
        if array.dtype == jnp.bfloat16:
            raise ValueError(f"{name!r} is bfloat16, which .npz cannot hold; write .safetensors")
    # Not `np.savez(**arrays)`, to which an array called "file" is the file.
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            # The date of a `ZipInfo` is fixed, so that equal weights make equal files.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def _read(path, keep):
    with open(path, "rb") as file:
        if file.read(6) == np.lib.format.MAGIC_PREFIX:
            raise ValueError("it holds one array without a name")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        check_declared(sum(one.file_size for one in members), path.stat().st_size)
        names = [_name(member) for member in members]
        by_name = dict(zip(names, members, strict=True))
        if len(by_name) < len(names):
            [(twice, _)] = Counter(names).most_common(1)
            raise ValueError(f"it holds {twice!r} twice")
        return {name: _array(archive, by_name[name], name) for name in keep(names)}


def _name(member):
    if not member.filename.endswith(".npy"):
        raise ValueError(f"its member {member.filename!r} is no array, which ends in .npy")
    return member.filename.removesuffix(".npy")


def _array(archive, member, name):
    with archive.open(member) as entry:
        shape, dtype = _header(entry, name)
        if dtype.kind not in _NUMBERS:
            raise ValueError(f"{name!r} has dtype {dtype}; it must hold numbers")
        declared, held = math.prod(shape) * dtype.itemsize, member.file_size - entry.tell()
        if declared != held:
            raise ValueError(f"{name!r} declares {declared:,} bytes and holds {held:,}")
    with archive.open(member) as entry:
        array = np.lib.format.read_array(entry, allow_pickle=False)
    # JAX has no other order of bytes than that of the machine.
    return array.astype(dtype.newbyteorder("="), copy=False)


def _header(entry: Any, name: str) -> tuple[tuple[int, ...], np.dtype]:
    try:
        version = np.lib.format.read_magic(entry)
        header = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            header = np.lib.format.read_array_header_2_0
        shape, _, dtype = header(entry)
    except Exception as error:  # of NumPy and of Python's parser, which a deep header exhausts
        raise ValueError(f"the header of {name!r} cannot be read") from error
    return shape, dtype
