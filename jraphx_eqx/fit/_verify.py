"""Two whole networks beside each other, and layer by layer."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..parity import Result, compare_layers, layer_calls, run
from ._network import Network

WHOLE = "network"


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
    network: Network,
    *,
    lanes: tuple[str, ...] = ("f64", "f32"),
    layers: bool = True,
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Verdict:
    """Compares outputs and gradients with PyTorch's weights on both sides.

    Every layer that the Equinox network has under the same name gets what PyTorch's got, so one
    that differs does not hide those after it. Layers that cannot be called alone are named, and are
    compared as part of the whole. What PyG's poolings keep is forced on both sides.

    **Arguments:**

    - `ours`, `theirs`: the Equinox and the PyTorch network.
    - `network`: their arguments.
    - `lanes`: `"f64"` and `"f32"`; layers alone are compared in the first.
    - `layers`: whether to compare the layers alone as well.
    - `progress`: called with the name of what is compared next, how many are done, and of how many.
    """
    verdict = Verdict(Result())
    calls = layer_calls(theirs, network.given, network.call_torch) if layers else []
    total = len(calls) + 1
    compared = compare_layers(ours, calls, network.pair_layer, lane=lanes[0])
    for done, (name, _, _) in enumerate(calls):
        progress(name, done, total)
        layer, found = next(compared)
        if isinstance(found, str):
            verdict.alone[layer] = found
            continue
        if found.of("FAIL") and verdict.first is None:
            verdict.first = layer
        verdict.result.extend(found)
    progress(WHOLE, total - 1, total)
    spec, case = network.pair(WHOLE, ours, theirs)
    verdict.result.extend(run(spec, [case], lanes=lanes, weights="keep"))
    progress("", total, total)
    found = {record.operator for record in verdict.result.records}
    verdict.alone = {name: why for name, why in verdict.alone.items() if not _inside(name, found)}
    return verdict


def _inside(name: str, compared: set[str]) -> bool:
    """Whether a layer is a part of one that was compared."""
    parts = name.split(".")
    return any(".".join(parts[:length]) in compared for length in range(1, len(parts)))
