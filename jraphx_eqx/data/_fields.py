from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Where an array of a container sits: `(level, field)` or `(level, "extras", name)`.
Path = tuple[str, ...]

LEVELS = ("node", "edge", "graph")
_FIELDS = (("node", "x"), ("node", "pos"), ("edge", "edge_attr"), ("graph", "y"))


def columns(item: Any) -> dict[Path, Any]:
    """All arrays of a container that have a row for each node, edge or graph."""
    found: dict[Path, Any] = {path: getattr(item, path[1]) for path in _FIELDS}
    for level, arrays in item.extras.items():
        for name, array in arrays.items():
            found[level, "extras", name] = array
    return {path: array for path, array in found.items() if array is not None}


def from_columns(found: Mapping[Path, Any]) -> dict[str, Any]:
    """The inverse of `columns`, as keyword arguments of a container."""
    result: dict[str, Any] = {"extras": {level: {} for level in LEVELS}}
    for path, array in found.items():
        if path[1] == "extras":
            result["extras"][path[0]][path[2]] = array
        else:
            result[path[1]] = array
    return result


def label(path: Path) -> str:
    return f"extras[{path[0]!r}][{path[2]!r}]" if path[1] == "extras" else path[1]


def normalise_extras(extras: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Extras with every level present, so that the same names make the same tree structure."""
    result = {level: {} for level in LEVELS}
    for level, arrays in (extras or {}).items():
        if level not in LEVELS:
            raise ValueError(
                f"extras must be grouped by level, 'node', 'edge' or 'graph', got {level!r}"
            )
        if not isinstance(arrays, Mapping):
            raise ValueError(
                f"extras[{level!r}] must map names to arrays, got {type(arrays).__name__}"
            )
        result[level] = dict(zip(arrays, as_arrays(*arrays.values()), strict=True))
    return result


def as_arrays(*values: Any) -> list[Any]:
    """Gives Python scalars (a label, say) a shape and a dtype; leaves arrays and None alone."""
    return [v if v is None or isinstance(v, jax.Array) else np.asarray(v) for v in values]


def as_index(name: str, array: Any) -> Any:
    """Widens 8 and 16 bit integers, whose range an index past the end soon leaves."""
    if not jnp.issubdtype(array.dtype, jnp.signedinteger):
        raise ValueError(f"{name} must hold signed integers, got {array.dtype}")
    return array.astype(np.int32) if array.dtype.itemsize < 4 else array


def as_edge_index(edge_index: Any) -> Any:
    if edge_index is None:
        raise ValueError(
            "edge_index must be given; for a graph without edges pass "
            "jnp.zeros((2, 0), dtype=jnp.int32)"
        )
    if edge_index.ndim != 2 or edge_index.shape[0] != 2:
        raise ValueError(
            "edge_index must have shape (2, edges), row 0 the sources and row 1 the targets, "
            f"got {edge_index.shape}"
        )
    return as_index("edge_index", edge_index)


def check_rows(item: Any, **sizes: tuple[int, str]) -> None:
    """For each level, how many rows its arrays must have, and of what."""
    for path, array in columns(item).items():
        size, what = sizes.get(path[0], (None, None))
        if size is not None and array.shape[:1] != (size,):
            raise ValueError(
                f"{label(path)} must have one row for each of the {size} {what}, "
                f"got shape {array.shape}"
            )


def unchecked(cls: type, fields: Mapping[str, Any]) -> Any:
    """A module from all its fields, without `__init__` and its checks, as unflattening does."""
    module = object.__new__(cls)
    for name, value in fields.items():
        object.__setattr__(module, name, value)
    return module
