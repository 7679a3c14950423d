import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..fit import Network
from ..parity import graphs
from ._factory import find
from ._problem import Problem


def network(text: str | None, module: Any, seed: int, expect_zero: Sequence[str]) -> Network:
    """The arguments of the PyTorch network.

    From a `.npz` file, from what a function `package.module:name` returns (a tuple, or a dictionary
    by name), or random graphs. A network that takes one `data` gets it made of them.
    """
    as_data = _takes_data(module)
    known = _GRAPH if as_data else _names(module)
    if text is None:
        arrays = _random_graph(module, seed) if as_data else _random(module, seed)
    elif ":" in text and not text.endswith(".npz"):
        found = find(text)()
        if not isinstance(found, dict):
            found = _by_name(found, known, text)
        arrays = _in_order({n: np.asarray(v) for n, v in found.items()}, known, text, as_data)
    else:
        arrays = _in_order(_read(Path(text)), known, Path(text).name, as_data)
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise Problem(f"argument {name!r} must hold numbers, got dtype {array.dtype}")
    graphs = int(arrays["batch"].max(initial=-1)) + 1 if "batch" in arrays else 1
    return Network(
        given=list(arrays.values()),
        names=list(arrays),
        num_graphs=graphs,
        as_data=as_data,
        expect_zero=expect_zero,
    )


def _by_name(found: Any, known: list[str], where: str) -> dict[str, Any]:
    """Arrays under the names of the arguments."""
    found = list(found)
    if len(found) > len(known):
        raise Problem(
            f"{where} returns {len(found)} arrays, of which the first {len(known)} would be "
            f"{', '.join(known)}; return a dictionary of names and arrays"
        )
    return dict(zip(known, found, strict=False))


# What a network that takes a `Data` usually asks it for.
_GRAPH = ["x", "edge_index", "batch", "edge_attr", "edge_weight", "pos", "y"]


def _takes_data(module: Any) -> bool:
    """Whether a network takes a `Data` as its only argument without a default."""
    names = _names(module)
    required = [name for name in names if not _optional(module, name)]
    annotation = (
        inspect.signature(module.forward).parameters[names[0]].annotation if names else None
    )
    called = getattr(annotation, "__name__", str(annotation))
    return len(required) == 1 and (
        names[0] in ("data", "batch_data") or called in ("Data", "Batch")
    )


def _read(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise Problem(f"there is no file {str(path)!r}")
    try:
        with open(path, "rb") as file:
            return dict(np.load(file, allow_pickle=False))
    except Exception as error:  # of several types, for damage and for pickled objects
        raise Problem(f"{path.name} cannot be read as arrays of .npz ({error})") from error


def _in_order(
    arrays: dict[str, np.ndarray], names: list[str], where: str, as_data: bool
) -> dict[str, np.ndarray]:
    """The arrays in the order of the arguments, with none left out between them."""
    if as_data:
        if "x" not in arrays and "edge_index" not in arrays:
            raise Problem(f"{where} has no array 'x' or 'edge_index'")
        return arrays
    unknown = sorted(set(arrays) - set(names))
    if unknown:
        raise Problem(
            f"{where} has an array {unknown[0]!r}; the PyTorch network takes {', '.join(names)}"
        )
    needed = names[: max(names.index(name) for name in arrays) + 1] if arrays else []
    missing = [name for name in needed if name not in arrays]
    if missing or not arrays:
        raise Problem(f"{where} has no array {(missing or names or ['x'])[0]!r}")
    return {name: arrays[name] for name in needed}


def _random_graph(network: Any, seed: int) -> dict[str, np.ndarray]:
    width = _width(network)
    if width is None:
        raise Problem("the PyTorch network needs other features than random ones; give --data")
    case = graphs.random(seed, features=width, graphs=6)
    return {name: np.asarray(case.arrays[name]) for name in ("x", "edge_index", "batch")}


def _random(network: Any, seed: int) -> dict[str, np.ndarray]:
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
    return {name: np.asarray(case.arrays[name]) for name in names[: last + 1]}


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
