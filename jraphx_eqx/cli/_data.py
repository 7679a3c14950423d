import inspect
from pathlib import Path
from typing import Any

import numpy as np

from ..parity import graphs
from ._factory import find
from ._problem import Problem


def inputs(text: str | None, network: Any, seed: int) -> list[np.ndarray]:
    """The positional arguments of the PyTorch network.

    From a `.npz` file, from what a function `package.module:name` returns, or random graphs.
    """
    if text is None:
        return _random(network, seed)
    if ":" in text and not text.endswith(".npz"):
        arrays = list(map(np.asarray, find(text)()))
    else:
        arrays = _read(Path(text), network)
    return [_checked(array, place) for place, array in enumerate(arrays)]


def num_graphs(network: Any, given: list[np.ndarray]) -> int:
    """How many graphs the argument `batch` has; 1 without one."""
    names = _names(network)
    if "batch" not in names[: len(given)]:
        return 1
    return int(given[names.index("batch")].max(initial=-1)) + 1


def _read(path: Path, network: Any) -> list[np.ndarray]:
    if not path.is_file():
        raise Problem(f"there is no file {str(path)!r}")
    try:
        with open(path, "rb") as file:
            arrays = dict(np.load(file, allow_pickle=False))
    except Exception as error:  # of several types, for damage and for pickled objects
        raise Problem(f"{path.name} cannot be read as arrays of .npz ({error})") from error
    names = _names(network)
    unknown = sorted(set(arrays) - set(names))
    if unknown:
        raise Problem(
            f"{path.name} has an array {unknown[0]!r}; the PyTorch network takes {', '.join(names)}"
        )
    needed = names[: max(names.index(name) for name in arrays) + 1] if arrays else []
    missing = [name for name in needed if name not in arrays]
    if missing or not arrays:
        raise Problem(f"{path.name} has no array {(missing or names or ['x'])[0]!r}")
    return [arrays[name] for name in needed]


def _random(network: Any, seed: int) -> list[np.ndarray]:
    names = _names(network)
    known = ("x", "edge_index", "batch")
    required = [name for name in names if name in known or not _optional(network, name)]
    strange = [name for name in required if name not in known]
    width = _width(network)
    if strange or "x" not in required or width is None:
        what = f"an argument {strange[0]!r}" if strange else "other features than random ones"
        raise Problem(f"the PyTorch network needs {what}; give its arguments with --data")
    case = graphs.random(seed, features=width, graphs=6)
    last = max(names.index(name) for name in required)
    gap = [name for name in names[:last] if name not in known]
    if gap:
        raise Problem(f"the PyTorch network takes {gap[0]!r} before others; give --data")
    return [np.asarray(case.arrays[name]) for name in names[: last + 1]]


def _names(network: Any) -> list[str]:
    return list(inspect.signature(network.forward).parameters)


def _optional(network: Any, name: str) -> bool:
    parameter = inspect.signature(network.forward).parameters[name]
    variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return variadic or parameter.default is not inspect.Parameter.empty


def _width(network: Any) -> int | None:
    """The features that the first layer with parameters takes."""
    for layer in network.modules():
        for name in ("in_channels", "in_features"):
            width = getattr(layer, name, None)
            if isinstance(width, int) and width > 0:
                return width
    return None


def _checked(array: np.ndarray, place: int) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise Problem(f"argument {place} must hold numbers, got dtype {array.dtype}")
    return array
