"""Arrays by name in files of the package `safetensors`."""

from collections.abc import Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from ._arrays import Keep
from ._declared import one_line

# Names of dtypes in such files.
_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": jnp.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def read(path: Path, key: str | None, keep: Keep) -> dict[str, np.ndarray]:
    """The arrays that are to be kept."""
    if key is not None:
        raise ValueError(f"key is for .pt files, not for {path.suffix}, which are flat")
    safetensors = _package()
    try:
        found = safetensors.deserialize(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{path.name} is damaged, or no safetensors file: {one_line(error)}"
        ) from error
    entries = dict(found)
    return {name: _array(name, entries[name]) for name in keep(entries)}


def write(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Writes the same bytes each time."""
    safetensors = _package()
    from safetensors.numpy import save_file

    for name, array in arrays.items():
        if array.dtype not in map(np.dtype, _DTYPES.values()):
            raise ValueError(f"{name!r} has dtype {array.dtype.name}, which safetensors has not")
    try:
        save_file(dict(arrays), path)
    except safetensors.SafetensorError as error:  # of the disk
        raise OSError(one_line(error)) from error


def _array(name, entry):
    if entry["dtype"] not in _DTYPES:
        raise ValueError(f"{name!r} has dtype {entry['dtype']}, which NumPy does not have")
    # Not `safetensors.numpy`, which cannot read the bfloat16 that it writes. What the array views
    # is a `bytearray` of this entry alone.
    return np.frombuffer(entry["data"], _DTYPES[entry["dtype"]]).reshape(entry["shape"])


def _package():
    try:
        import safetensors
    except ImportError as error:
        raise ImportError(
            ".safetensors files need the package safetensors: pip install safetensors"
        ) from error
    return safetensors
