"""How a state dict fits what a network has: under which names, and what is left."""

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ..data import is_traced
from ._aliases import aliases
from ._arrays import as_array, why_no_array
from ._missing import missing_twins
from ._renames import with_new_names
from ._wrappers import unwrapped


class Fit(NamedTuple):
    """A state dict under the names of a network.

    **Arguments:**

    - `arrays`: by the names of the network, or their own if it has none.
    - `origins`: the names in the state dict; none for a value that an older release did not have.
    - `notes`: what was done to the names.
    - `problems`: a name, or nothing for what concerns several, and what is wrong with it.
    """

    arrays: dict[str, Any]
    origins: dict[str, list[str]]
    notes: list[str]
    problems: list[tuple[str, str]]


def fit(
    expected: Mapping[str, Any],
    parts: Mapping[str, Any],
    mapping: Mapping[str, Any],
    placed: Collection[str] = (),
) -> Fit:
    """Finds the weights of a network in a state dict.

    **Arguments:**

    - `expected`: the arrays of the network by name; `None` for one of any shape and dtype.
    - `parts`: its parts by their path.
    - `mapping`: the state dict.
    - `placed`: names of `mapping` that stay as they are.
    """
    given = {str(name): value for name, value in mapping.items()}
    rest = [name for name in given if name not in placed]
    new, notes, ambiguous = unwrapped(rest, expected.keys(), parts.keys())
    new.update({name: name for name in placed})
    if len(set(new.values())) < len(new):
        new, notes = {name: name for name in given}, []
    origins = {now: [name] for name, now in new.items()}
    found = {now: _array(given[name]) for name, now in new.items()}
    found, renamed, more = with_new_names(found, expected, parts)
    for now, then in renamed.items():
        origins[now] = [one for name in then for one in origins[name]]
    notes += more
    _merge(found, origins, notes, expected)
    problems = [("", text) for text in ambiguous]
    return Fit(found, origins, notes, [*problems, *_problems(expected, found)])


def _array(value):
    array = as_array(value)
    return value if array is None else array


def _merge(found, origins, notes, expected):
    """Leaves out what is there twice."""
    for second, first in aliases(found, expected).items():
        for name in [name for name in found if f"{name}.".startswith(f"{second}.")]:
            kept = first + name.removeprefix(second)
            origins[kept] = [*origins[kept], *origins[name]]
            del found[name]
        notes.append(f"{second!r} has the values of {first!r}, and is taken as its second name")


def _problems(expected, found) -> Iterator[tuple[str, str]]:
    unexpected = [name for name in found if name not in expected]
    for path, layer in missing_twins(unexpected).items():
        yield "", f"{path!r} has the weights of {layer}, which has no twin here"
    yield from _problems_of_names("missing", expected.keys(), found.keys())
    yield from _problems_of_names("unexpected", found.keys(), expected.keys())
    for name, leaf in expected.items():
        if name in found:
            for problem in _misfits(leaf, found[name]):
                yield name, f"{name!r} {problem}"


def _problems_of_names(kind: str, names: Iterable[str], others: Iterable[str]):
    """What is in `names` only, each with the similar names that are in `others` only."""
    candidates = sorted(set(others) - set(names))
    for name in sorted(set(names) - set(others)):
        near = difflib.get_close_matches(name, candidates, n=2)
        hint = f" (similar: {', '.join(map(repr, near))})" if near else ""
        yield name, f"{kind}: {name!r}{hint}"


def _misfits(leaf, value):
    if as_array(value) is None:
        yield why_no_array(value)
        return
    if leaf is None:
        return
    if value.shape != leaf.shape:
        transposed = value.shape == leaf.shape[::-1]
        hint = "; it looks transposed" if transposed else ""
        yield f"must have shape {leaf.shape}, got {value.shape}{hint}"
    if value.dtype != leaf.dtype and not _same_integers(value, leaf.dtype):
        hint = _dtype_hint(leaf.dtype, value.dtype)
        yield f"must have dtype {leaf.dtype.name}, got {value.dtype.name}{hint}"


def _dtype_hint(expected, got):
    if not (jnp.issubdtype(expected, jnp.inexact) and jnp.issubdtype(got, jnp.inexact)):
        return ""
    hint = f"; make the module with dtype={got.name}, or cast the values yourself"
    if got == np.float64 and jnp.result_type(float) != np.float64:
        hint += " (JAX has float64 only with jax_enable_x64)"
    return hint


def _same_integers(value, dtype):
    """Whether the numbers are the same in `dtype`: PyTorch counts in 64 bits, JAX in 32."""
    kinds = [jnp.issubdtype(one, jnp.integer) for one in (value.dtype, dtype)]
    if not all(kinds) or is_traced(value):
        return False
    return bool(np.all(np.asarray(value).astype(dtype) == np.asarray(value)))
