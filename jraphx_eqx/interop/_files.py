import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from ._arrays import as_array, as_tensor, from_tensor, is_tensor
from ._state_dict import state_dict

# Where training scripts commonly put the state dict in a checkpoint that holds more.
_USUAL_KEYS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module")

# Names of dtypes in files of safetensors.
_SAFETENSORS = {
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


def read_state_dict(path: str | os.PathLike[str], key: str | None = None) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint by name, from a file of weights.

    No code of the file is run: of PyTorch's formats only the weights are read
    (`torch.load(weights_only=True)`). Of a checkpoint that holds more, the state dict is found
    under the keys that training scripts commonly give it, such as `"state_dict"` and
    `"model_state_dict"`.

    **Arguments:**

    - `path`: a file ending in `.pt`, `.pth` (which needs PyTorch), `.safetensors` (which needs the
        package of that name) or `.npz`.
    - `key`: the key of the state dict in a `.pt` file that holds more, if it is an unusual one.

    **Returns:** NumPy arrays with the bits of the file. To load them, use
    [`load_state_dict`][jraphx_eqx.interop.load_state_dict].

    **Raises:** `FileNotFoundError`; `ImportError` that says what to install; and `ValueError` for
    another suffix, for a file that holds other things than weights or is damaged, and where no
    state dict or several are found.
    """
    path, read, _ = _format(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    return read(path, key)


def write_state_dict(
    mapping_or_module: Mapping[str, Any] | Any, path: str | os.PathLike[str]
) -> None:
    """Writes arrays by name into a file, in the format that its suffix says.

    PyTorch loads a `.pt` file with `module.load_state_dict(torch.load(path))`, and
    [`read_state_dict`][jraphx_eqx.interop.read_state_dict] all of them.

    **Arguments:**

    - `mapping_or_module`: arrays or tensors by name; or a module, of which the
        [`state_dict`][jraphx_eqx.interop.state_dict] is written.
    - `path`: a file ending in `.pt` or `.pth`, `.safetensors` or `.npz`. What it held before is
        lost.

    **Raises:** `ImportError` that says what to install; `ValueError` for another suffix, for a
    value that is no array, and for bfloat16 in `.npz`, which NumPy cannot name.
    """
    path, _, write = _format(path)
    given = mapping_or_module
    given = given if isinstance(given, Mapping) else state_dict(given)
    arrays = {}
    for name, value in given.items():
        array = as_array(value)
        if array is None:
            raise ValueError(f"{name!r} must be an array or a tensor, got {type(value).__name__}")
        arrays[str(name)] = np.array(array, order="C")
    write(arrays, path)


def _read_torch(path, key):
    torch = _torch(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of many types, for damage and for what is not allowed
        raise ValueError(
            f"{path.name} cannot be read as weights; it must hold tensors only, as written by "
            "torch.save(module.state_dict(), path), not a whole module (the reason: "
            f"{str(error).splitlines()[0]})"
        ) from error
    tensors = _find_state_dict(content, path.name, key)
    return {name: from_tensor(tensor) for name, tensor in tensors.items()}


def _find_state_dict(content, file, key):
    if not isinstance(content, Mapping):
        raise ValueError(
            f"{file} must hold a state dict, got {type(content).__name__}; write it by "
            "torch.save(module.state_dict(), path)"
        )
    if key is not None:
        if not _holds_tensors(content.get(key)):
            raise ValueError(f"{file} has no state dict under {key!r}; it has {_keys(content)}")
        return content[key]
    if _holds_tensors(content):
        return content
    found = [name for name in _USUAL_KEYS if _holds_tensors(content.get(name))]
    if len(found) == 1:
        return content[found[0]]
    if found:
        raise ValueError(
            f"{file} has several state dicts, under {', '.join(map(repr, found))}; say which with "
            "key="
        )
    nested = [name for name, value in content.items() if _holds_tensors(value)]
    advice = f"say which with key=, one of {nested}" if nested else "none of these holds tensors"
    others = [name for name, value in content.items() if not is_tensor(value)]
    if len(others) < len(content):
        advice = f"these are not tensors: {', '.join(map(repr, others[:10]))}"
    raise ValueError(f"{file} is no state dict; it has {_keys(content)}; {advice}")


def _holds_tensors(value):
    if not isinstance(value, Mapping):
        return False
    return all(isinstance(name, str) and is_tensor(tensor) for name, tensor in value.items())


def _keys(content):
    names = list(map(repr, content))
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def _write_torch(arrays, path):
    torch = _torch(path)
    torch.save({name: as_tensor(array) for name, array in arrays.items()}, path)


def _torch(path):
    try:
        import torch
    except ImportError as error:
        raise ImportError(f"{path.suffix} files need PyTorch: pip install torch") from error
    return torch


def _read_safetensors(path, key):
    _no_key(path, key)
    safetensors = _safetensors()
    try:
        found = safetensors.deserialize(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path.name} is damaged, or no safetensors file: {error}") from error
    arrays = {}
    for name, entry in found:
        if entry["dtype"] not in _SAFETENSORS:
            raise ValueError(f"{name!r} has dtype {entry['dtype']}, which NumPy does not have")
        # Not `safetensors.numpy`, which cannot read the bfloat16 that it writes.
        flat = np.frombuffer(entry["data"], _SAFETENSORS[entry["dtype"]])
        arrays[name] = flat.reshape(entry["shape"]).copy()
    return arrays


def _write_safetensors(arrays, path):
    _safetensors()
    from safetensors.numpy import save

    for name, array in arrays.items():
        if array.dtype not in map(np.dtype, _SAFETENSORS.values()):
            raise ValueError(f"{name!r} has dtype {array.dtype.name}, which safetensors has not")
    path.write_bytes(save(arrays))


def _safetensors():
    try:
        import safetensors
    except ImportError as error:
        raise ImportError(
            ".safetensors files need the package safetensors: pip install safetensors"
        ) from error
    return safetensors


def _read_npz(path, key):
    _no_key(path, key)
    try:
        # Opened here, because `np.load` leaves a damaged file open.
        with open(path, "rb") as file:
            found = np.load(file, allow_pickle=False)
            if isinstance(found, np.ndarray):
                raise ValueError("it holds one array without a name")
            with found:
                return {name: found[name] for name in found.files}
    except Exception as error:  # of zipfile, zlib and NumPy
        raise ValueError(f"{path.name} cannot be read as .npz: {error}") from error


def _write_npz(arrays, path):
    for name, array in arrays.items():
        if array.dtype == jnp.bfloat16:
            raise ValueError(f"{name!r} is bfloat16, which .npz cannot hold; write .safetensors")
    # Not `np.savez(**arrays)`, to which an array called "file" is the file.
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            # The date of a `ZipInfo` is fixed, so that equal weights make equal files.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def _no_key(path, key):
    if key is not None:
        raise ValueError(f"key is for .pt files, not for {path.suffix}, which are flat")


_FORMATS = {
    ".pt": (_read_torch, _write_torch),
    ".pth": (_read_torch, _write_torch),
    ".safetensors": (_read_safetensors, _write_safetensors),
    ".npz": (_read_npz, _write_npz),
}


def _format(path):
    path = Path(path)
    if path.suffix not in _FORMATS:
        expected = ", ".join(_FORMATS)
        raise ValueError(f"path must end in one of {expected}, got {path.name!r}")
    return path, *_FORMATS[path.suffix]
