from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from ._problem import Problem


@dataclass(frozen=True)
class Row:
    """One name of a mapping: what the network wants and what the checkpoint has."""

    ours: str
    theirs: str
    shape: str
    dtype: str
    largest: str
    fits: bool


def rows(
    wanted: Mapping[str, Any], found: Mapping[str, np.ndarray], renames: Mapping[str, str]
) -> list[Row]:
    """The mapping, in the order of the network, then what is left over in the checkpoint."""
    by_ours = {renames.get(name, name): name for name in found}
    names = [*wanted, *(name for name in by_ours if name not in wanted)]
    return [_row(name, wanted.get(name), by_ours.get(name, ""), found) for name in names]


def renamed(found: Mapping[str, np.ndarray], renames: Mapping[str, str]) -> dict[str, np.ndarray]:
    """The checkpoint by the names of the network."""
    unknown = sorted(set(renames) - set(found))
    if unknown:
        raise Problem(f"--rename: the checkpoint has no {unknown[0]!r}")
    names = [renames.get(name, name) for name in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Problem(f"--rename: two weights would get the name {twice[0]!r}")
    return dict(zip(names, found.values(), strict=True))


def parse_renames(texts: Sequence[str]) -> dict[str, str]:
    """`theirs=ours`, one for each."""
    pairs = [text.partition("=") for text in texts]
    for text, (theirs, equals, ours) in zip(texts, pairs, strict=True):
        if not (theirs and equals and ours):
            raise Problem(f"--rename {text!r} must be written as THEIRS=OURS")
    return {theirs: ours for theirs, _, ours in pairs}


def table(mapping: Sequence[Row], title: str) -> Any:
    """The mapping for `rich.print`."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    out = Table(title=title, box=SIMPLE_HEAD, show_edge=False)
    for heading in ("ours", "theirs", "shape", "dtype", "max |w|", ""):
        right = heading == "max |w|"
        out.add_column(heading, justify="right" if right else "left", overflow="fold")
    for row in mapping:
        texts = (row.ours or "-", row.theirs or "-", row.shape, row.dtype, row.largest)
        fits = "" if row.fits else "does not fit"
        out.add_row(*map(Text, (*texts, fits)), style="" if row.fits else "bold red")
    return out


def listing(mapping: Sequence[Row], title: str) -> Any:
    """A checkpoint alone, for `rich.print`."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    out = Table(title=title, box=SIMPLE_HEAD, show_edge=False)
    for heading in ("name", "shape", "dtype", "max |w|"):
        out.add_column(heading, justify="right" if heading == "max |w|" else "left")
    for row in mapping:
        out.add_row(*map(Text, (row.theirs, row.shape, row.dtype, row.largest)))
    return out


def largest(array: np.ndarray) -> str:
    """The largest absolute value as text; `nan` if there is one."""
    if array.size == 0:
        return "-"
    return f"{float(np.max(np.abs(array.astype(np.float64)))):.3g}"


def finite(array: np.ndarray) -> bool:
    """Whether no entry is infinite or NaN."""
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        return True
    return bool(np.all(np.isfinite(array.astype(np.float64))))


def _row(name, wanted, theirs, found):
    array = found.get(theirs) if theirs else None
    shape = _either(wanted, array, lambda value: str(tuple(value.shape)))
    dtype = _either(wanted, array, lambda value: np.dtype(value.dtype).name)
    fits = wanted is not None and array is not None and " ≠ " not in shape + dtype
    ours = name if wanted is not None else ""
    return Row(ours, theirs, shape, dtype, "" if array is None else largest(array), fits)


def _either(wanted, array, describe):
    sides = [describe(value) for value in (wanted, array) if value is not None]
    return sides[0] if len(set(sides)) == 1 else " ≠ ".join(sides)
