"""A layer that a network in PyTorch has under two names, of which ours has one."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import numpy as np

from ..data import is_traced
from ._renames import same


def aliases(found: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, str]:
    """The path of each layer, or weight, that is another one once more, and the path of that one.

    All values must be the same bit by bit, and at least one array must hold two different numbers:
    two norms that were never trained are equal as well.
    """
    ours = _by_rest({name: found[name] for name in found if name in expected})
    theirs = _inside({name: found[name] for name in found if name not in expected})
    known = _inside({name: found[name] for name in found if name in expected})
    out: dict[str, str] = {}
    for path, rests in sorted(theirs.items(), key=lambda item: item[0].count(".")):
        if path in known or any(f"{path}.".startswith(f"{one}.") for one in out):
            continue
        for other in ours.get(frozenset(rests), ()):
            pairs = [(found[_join(path, rest)], found[_join(other, rest)]) for rest in rests]
            if all(_equal(*pair) for pair in pairs) and any(_tells(one) for one, _ in pairs):
                out[path] = other
                break
    return out


def _inside(names):
    """The rests of the names by their beginnings, the whole name included."""
    out: dict[str, set[str]] = {}
    for name in names:
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            rest = ".".join(parts[length:])
            out.setdefault(".".join(parts[:length]), set()).add(rest)
    return out


def _by_rest(names):
    out: dict[frozenset[str], list[str]] = {}
    for path, rests in _inside(names).items():
        out.setdefault(frozenset(rests), []).append(path)
    return out


def _join(path, rest):
    return f"{path}.{rest}" if rest else path


def _equal(left, right):
    if not (eqx.is_array(left) and eqx.is_array(right)):
        return False
    return left is right or (left.dtype == right.dtype and same(left, right))


def _tells(array):
    if is_traced(array):
        return False
    values = np.asarray(array).reshape(-1)
    return bool(np.any(values != values[:1]))
