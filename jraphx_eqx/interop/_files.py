import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import _npz, _pt, _safetensors
from ._arrays import Keep, as_array, why_no_array
from ._state_dict import state_dict


def read_state_dict(path: str | os.PathLike[str], key: str | None = None) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint by name, from a file of weights.

    No code of the file is run: of PyTorch's formats only the weights are read
    (`torch.load(weights_only=True)`). Of a checkpoint that holds more, the state dict is found
    under the keys that training scripts commonly give it, such as `"state_dict"` and
    `"model_state_dict"`, and under one of them in another.

    Names are those of the file. What wrappers such as Lightning and `torch.compile` put before them
    is left out by [`load_state_dict`][jraphx_eqx.interop.load_state_dict], which knows the module.

    A file needs at most twice its size in memory. One that declares much larger arrays than it
    holds is refused before they are made.

    **Arguments:**

    - `path`: a file ending in `.pt`, `.pth` or `.ckpt` (which needs PyTorch), `.safetensors` (which
        needs the package of that name) or `.npz`, in capitals or not.
    - `key`: the key of the state dict in a `.pt` file that holds more, if it is an unusual one, or
        several with dots.

    **Returns:** NumPy arrays with the bits of the file. To load them, use
    [`load_state_dict`][jraphx_eqx.interop.load_state_dict].

    **Raises:** `FileNotFoundError`; `ImportError` that says what to install; and, in one line,
    `ValueError` for another suffix, for a file that holds other things than weights or is damaged,
    for tensors that NumPy does not have (sparse, quantised, without values, floats of 8 bits), and
    where no state dict or several are found.
    """
    return read_kept(path, key, list)


def read_kept(path: str | os.PathLike[str], key: str | None, keep: Keep) -> dict[str, np.ndarray]:
    """`read_state_dict` of those names that `keep` returns; the others are not looked at."""
    path = Path(path)
    form = format_of(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    return form.read(path, key, keep)


def write_state_dict(
    mapping_or_module: Mapping[str, Any] | Any, path: str | os.PathLike[str]
) -> None:
    """Writes arrays by name into a file, in the format that its suffix says.

    PyTorch loads a `.pt` file with `module.load_state_dict(torch.load(path))`, and
    [`read_state_dict`][jraphx_eqx.interop.read_state_dict] all of them.

    **Arguments:**

    - `mapping_or_module`: arrays or tensors by name; or a module, of which the
        [`state_dict`][jraphx_eqx.interop.state_dict] is written.
    - `path`: a file ending in `.pt`, `.pth` or `.ckpt`, `.safetensors` or `.npz`. What it held
        before is lost.

    **Raises:** `ImportError` that says what to install; `OSError` if the disk is full; `ValueError`
    for another suffix, for a value that is no array, and for bfloat16 in `.npz`, which NumPy cannot
    name.
    """
    path = Path(path)
    form = format_of(path)
    given = mapping_or_module
    given = given if isinstance(given, Mapping) else state_dict(given)
    arrays = {}
    for name, value in given.items():
        array = as_array(value)
        if array is None:
            raise ValueError(f"{name!r} {why_no_array(value)}")
        arrays[str(name)] = np.asarray(array, order="C")
    form.write(arrays, path)


class Format(NamedTuple):
    """How files of a suffix are read and written."""

    read: Callable[[Path, str | None, Keep], dict[str, np.ndarray]]
    write: Callable[[Mapping[str, np.ndarray], Path], None]


_TORCH = Format(_pt.read, _pt.write)
_FORMATS = {
    ".pt": _TORCH,
    ".pth": _TORCH,
    ".ckpt": _TORCH,
    ".safetensors": Format(_safetensors.read, _safetensors.write),
    ".npz": Format(_npz.read, _npz.write),
}


def format_of(path: Path) -> Format:
    """The format that the suffix of a file says."""
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        expected = ", ".join(_FORMATS)
        raise ValueError(f"path must end in one of {expected}, got {path.name!r}")
    return _FORMATS[suffix]
