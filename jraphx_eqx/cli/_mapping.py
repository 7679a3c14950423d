import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..interop.checkpoints import Fit
from ._output import shown

# Numbers that are looked at together.
_BLOCK = 2**18


@dataclass(frozen=True)
class Row:
    """One name of a mapping: what the network wants and what the checkpoint has, ours / theirs
    where these differ."""

    ours: str
    theirs: str
    shape: str
    dtype: str
    largest: str
    fits: bool


def rows(wanted: Mapping[str, Any], found: Fit) -> list[Row]:
    """The mapping, in the order of the network, then what is left over in the checkpoint."""
    bad = {name for name, _ in found.problems}
    names = [*wanted, *(name for name in found.arrays if name not in wanted)]
    return [
        _row(name, wanted.get(name), found.arrays.get(name), found.origins.get(name, []), bad)
        for name in names
    ]


def table(mapping: Sequence[Row], title: str) -> Any:
    """The mapping for `rich.print`."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    out = Table(title=Text(shown(title)), box=SIMPLE_HEAD, show_edge=False)
    for heading in ("ours", "theirs", "shape", "dtype", "max |w|", ""):
        right = heading == "max |w|"
        out.add_column(heading, justify="right" if right else "left", overflow="fold")
    for row in mapping:
        names = (shown(row.ours) or "-", shown(row.theirs) or "-")
        fits = "" if row.fits else "does not fit"
        cells = (*names, row.shape, row.dtype, row.largest, fits)
        out.add_row(*map(Text, cells), style="" if row.fits else "bold red")
    return out


def listing(found: Mapping[str, np.ndarray], title: str) -> Any:
    """A checkpoint alone, for `rich.print`."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    out = Table(title=Text(shown(title)), box=SIMPLE_HEAD, show_edge=False)
    for heading in ("name", "shape", "dtype", "max |w|"):
        out.add_column(heading, justify="right" if heading == "max |w|" else "left")
    for name, array in found.items():
        out.add_row(*map(Text, (shown(name), _shape(array), _dtype(array), largest(array))))
    return out


def largest(array: np.ndarray) -> str:
    """The largest absolute value as text; `nan` if there is one."""
    if array.size == 0:
        return "-"
    return f"{max(map(_largest, _blocks(array)), key=_nan_last):.3g}"


def finite(array: np.ndarray) -> bool:
    """Whether no entry is infinite or NaN."""
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        return True
    return all(bool(np.all(np.isfinite(block))) for block in _blocks(array))


def _blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    """The numbers in float64, or complex, a few at a time: weights may fill half of the memory."""
    flat = array.ravel(order="K")
    wide = np.complex128 if array.dtype.kind == "c" else np.float64
    for start in range(0, flat.size, _BLOCK):
        yield flat[start : start + _BLOCK].astype(wide)


def _largest(block):
    return float(np.max(np.abs(block)))


def _nan_last(number):
    return (math.isnan(number), number)


def _row(name, wanted, array, origin, bad):
    fits = wanted is not None and array is not None and name not in bad
    ours = "" if wanted is None else name
    theirs = "" if array is None else ", ".join(origin)
    size = "" if array is None else largest(array)
    shape, dtype = _either(wanted, array, _shape), _either(wanted, array, _dtype)
    return Row(ours, theirs, shape, dtype, size, fits)


def _either(wanted, array, describe):
    sides = [describe(value) for value in (wanted, array) if value is not None]
    return sides[0] if len(set(sides)) == 1 else " / ".join(sides)


def _shape(array):
    return str(tuple(array.shape))


def _dtype(array):
    return np.dtype(array.dtype).name
