from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Where an array of a container sits: `("x",)`, or `("extras", level, name)`.
Path = tuple[str, ...]

LEVELS = ("node", "edge", "graph")
_LEVEL_OF_FIELD = {"x": "node", "edge_attr": "edge", "y": "graph", "pos": "node"}


def columns(item: Any) -> dict[Path, Any]:
    """All arrays of a container that have a row for each node, edge or graph."""
    found = {(name,): getattr(item, name) for name in _LEVEL_OF_FIELD}
    for level in LEVELS:
        for name, array in item.extras[level].items():
            found["extras", level, name] = array
    return {path: array for path, array in found.items() if array is not None}


def from_columns(found: Mapping[Path, Any]) -> dict[str, Any]:
    """The inverse of `columns`, as keyword arguments of a container."""
    fields = {path[0]: array for path, array in found.items() if len(path) == 1}
    extras = {level: {} for level in LEVELS}
    for path, array in found.items():
        if len(path) == 3:
            extras[path[1]][path[2]] = array
    return fields | {"extras": extras}


def level_of(path: Path) -> str:
    return _LEVEL_OF_FIELD[path[0]] if len(path) == 1 else path[1]


def label(path: Path) -> str:
    return path[0] if len(path) == 1 else f"extras[{path[1]!r}][{path[2]!r}]"


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
        result[level] = {name: as_array(array) for name, array in arrays.items()}
    return result


def as_array(value: Any) -> Any:
    """Gives Python scalars (a label, say) a shape and a dtype; leaves arrays and None alone."""
    return value if value is None or isinstance(value, jax.Array) else np.asarray(value)


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


def check_rows(item: Any, sizes: Mapping[str, int]) -> None:
    """`sizes` says how many rows an array of each level must have."""
    for path, array in columns(item).items():
        level = level_of(path)
        if level not in sizes:
            continue
        if array.ndim == 0 or array.shape[0] != sizes[level]:
            raise ValueError(
                f"{label(path)} must have one row for each of the {sizes[level]} {level}s, "
                f"got shape {array.shape}"
            )
