"""Names that parameters had in older releases of PyG, as the twins of layers say them.

Read from the sources of PyG 1.4.3, 1.5.0, 1.6.3, 1.7.2, 2.0.4, 2.3.1, 2.4.0 and 2.5.3.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np

from .._twin import TWINS
from ..data import is_traced


def with_new_names(
    found: Mapping[str, Any], expected: Mapping[str, Any], modules: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, list[str]], list[str]]:
    """A state dict under the names of today, where these came from, and what was done, in words.

    **Arguments:**

    - `found`: the state dict: arrays, or anything else that is left as it is.
    - `expected`: what the module has, by name.
    - `modules`: the parts of the module, by the path that their names begin with.
    """
    out = _Renamed(dict(found), {}, [])
    for path, layer in modules.items():
        prefix = f"{path}." if path else ""
        for rename in TWINS[type(layer)].renames if type(layer) in TWINS else ():
            apply = _rename if rename.value is None else _add
            apply(rename, layer, prefix, out, expected)
    return out


class _Renamed(NamedTuple):
    found: dict[str, Any]
    origins: dict[str, list[str]]
    notes: list[str]


def _rename(rename, layer, prefix, out, expected):
    pairs = {now: _old(old) for now, old in rename.names.items()}
    required = {name for name, _ in pairs.values()}
    pairs |= {now: _old(old) for now, old in rename.optional.items() if prefix + old in out.found}
    second = {name: first for name, first in rename.same.items() if prefix + name in out.found}
    names = [*dict.fromkeys(name for name, _ in pairs.values()), *second]
    # A name of today is not an old one.
    outdated = [name for name in names if prefix + name not in expected]
    if not outdated or any(prefix + name not in out.found for name in required):
        return
    old = {name: out.found[prefix + name] for name in names}
    if not rename.allowed(layer) or not all(map(eqx.is_array, old.values())):
        return
    if not all(same(old[name], old[first]) for name, first in second.items()):
        return
    if any(prefix + now in out.found or prefix + now not in expected for now in pairs):
        return
    for name in names:
        del out.found[prefix + name]
    for now, (name, change) in pairs.items():
        out.found[prefix + now] = old[name] if change is None else change(old[name])
        sources = [name, *(other for other, first in second.items() if first == name)]
        out.origins[prefix + now] = [prefix + source for source in sources]
    changed = ", ".join(f"{prefix}{name}" for name in outdated)
    new = ", ".join(f"{prefix}{name}" for name in pairs)
    out.notes.append(f"{changed} (before PyG {rename.before}) as {new}")


def _old(old):
    return (old, None) if isinstance(old, str) else old


def _add(rename, layer, prefix, out, expected):
    """Adds a parameter that an older release did not have."""
    for now, beside in rename.names.items():
        name = prefix + now
        is_layer = any(other.startswith(prefix + beside) for other in out.found)
        if name in out.found or name not in expected or not is_layer:
            continue
        leaf = expected[name]
        out.found[name] = np.full(leaf.shape, rename.value, np.dtype(leaf.dtype))
        out.origins[name] = []
        out.notes.append(
            f"{name}, which PyG before {rename.before} did not have, as {rename.value}"
        )


def same(left: Any, right: Any) -> bool:
    """Whether two arrays have one shape and the same bits."""
    if is_traced(left, right):
        return left is right
    left, right = np.asarray(left), np.asarray(right)
    return left.shape == right.shape and left.tobytes() == right.tobytes()
