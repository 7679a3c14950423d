"""Two whole networks beside each other, and layer by layer."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..parity import Result, run
from ..parity._layers import _calls, _twin
from ..parity._record import FAIL, MISTRUSTED, NOT_VERIFIED
from ._pairs import pair

WHOLE = "network"
# Records of the attempt as such, and not of a tensor.
_ATTEMPT = ("run", "weights")


@dataclass
class Verdict:
    """What the comparison found.

    **Arguments:**

    - `result`: the records of all layers that could be compared alone, and of the whole network.
    - `first`: the first layer that differs.
    - `alone`: layers that could not be compared alone, and why.
    """

    result: Result
    first: str | None = None
    alone: dict[str, str] = field(default_factory=dict)


def verify(
    ours: Any,
    theirs: Any,
    given: list[np.ndarray],
    num_graphs: int,
    *,
    lanes: tuple[str, ...] = ("f64", "f32"),
    layers: bool = True,
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Verdict:
    """Compares outputs and gradients with PyTorch's weights on both sides.

    Every layer that the Equinox network has under the same name gets what PyTorch's got, so one
    that differs does not hide those after it. What cannot be called so alone is named, and is
    compared as part of the whole.
    """
    verdict = Verdict(Result())
    calls = _calls(theirs, given) if layers else []
    total = len(calls) + 1
    seen: dict[str, int] = {}
    for done, (name, layer, arguments) in enumerate(calls):
        progress(name, done, total)
        twin = _twin(ours, name)
        if twin is None:
            verdict.alone[name] = "the Equinox network has no layer of this name"
            continue
        seen[name] = seen.get(name, 0) + 1
        title = name if seen[name] == 1 else f"{name} (call {seen[name]})"
        spec, case = pair(title, twin, layer, arguments, num_graphs)
        found = run(spec, [case], lanes=lanes[:1], weights="keep")
        broken = [record for record in found.of(FAIL, NOT_VERIFIED) if record.kind in _ATTEMPT]
        if broken:
            verdict.alone[title] = broken[0].message
            continue
        # A gradient that is 0 here by chance is no fault of the layer.
        found.records = [record for record in found.records if record.verdict != MISTRUSTED]
        if found.of(FAIL) and verdict.first is None:
            verdict.first = title
        verdict.result.extend(found)
    progress(WHOLE, total - 1, total)
    spec, case = pair(WHOLE, ours, theirs, given, num_graphs)
    verdict.result.extend(run(spec, [case], lanes=lanes, weights="keep"))
    progress("", total, total)
    compared = {record.operator for record in verdict.result.records}
    verdict.alone = {
        name: reason for name, reason in verdict.alone.items() if not _inside(name, compared)
    }
    return verdict


def _inside(name: str, compared: set[str]) -> bool:
    """Whether a layer is a part of one that was compared."""
    parts = name.split(".")
    return any(".".join(parts[:length]) in compared for length in range(1, len(parts)))
