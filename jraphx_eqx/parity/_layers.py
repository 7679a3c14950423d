"""The layers of a network one by one, and the first that differs. PyTorch is imported by the
functions only."""

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ._bisect import Bisection
from ._case import Case
from ._pair import pair, plain
from ._record import Result
from ._run import run
from ._spec import Spec
from .verdicts import FAIL, MISTRUSTED, NOT_VERIFIED

Pair = Callable[[str, Any, Any, Sequence[Any]], tuple[Spec, Case]]


def bisect_layers(
    eqx_module: Any,
    torch_module: Any,
    inputs: Sequence[np.ndarray],
    *,
    lane: str = "f64",
    renames: Mapping[str, str] | None = None,
) -> Bisection:
    """Finds the first layer of a network that differs from its PyTorch original.

    PyTorch runs the whole network. Then each of its layers that the Equinox network has under the
    same name is compared alone, in the order in which they finished, on the arguments that PyTorch
    gave it, with PyTorch's weights: values and gradients. What remains is the code between layers,
    and layers that cannot be called so alone, whose records say NOT VERIFIED.

    **Arguments:**

    - `eqx_module`, `torch_module`, `inputs`, `renames`: as for
        [`assert_parity`][jraphx_eqx.parity.assert_parity].
    - `lane`: `"f64"` or `"f32"`.

    **Returns:** a `Bisection` whose `stage` is the name of the layer, `"between the layers"` if all
    of them agree but the whole does not, or `None`.
    """
    renames = renames or {}

    def make_pair(name, ours, theirs, given):
        mine = _local(renames, name) if name else renames
        return pair(name or "network", ours, theirs, given, renames=mine, call_eqx=call_layer)

    calls = layer_calls(torch_module, inputs, lambda module, given: module(*given))
    records = []
    for name, found in compare_layers(eqx_module, calls, make_pair, lane=lane):
        if isinstance(found, Result):
            records += found.records
            if found.of(FAIL):
                return Bisection(name, records)
    spec, case = make_pair("", eqx_module, torch_module, inputs)
    whole = run(spec, [case], lanes=[lane], weights="keep")
    agrees = not whole.of(FAIL, NOT_VERIFIED, MISTRUSTED)
    return Bisection(None if agrees else "between the layers", [*records, *whole.records])


def compare_layers(
    eqx_module: Any, calls: Sequence[tuple[str, Any, list[Any]]], make_pair: Pair, *, lane: str
) -> Iterator[tuple[str, Result | str]]:
    """Compares each layer on the arguments that PyTorch gave it.

    **Arguments:**

    - `eqx_module`: the Equinox network.
    - `calls`: what [`layer_calls`][jraphx_eqx.parity.layer_calls] gave.
    - `make_pair`: `make_pair(name, ours, theirs, given)` returns the spec and case of a layer.
    - `lane`: in which lane.

    **Returns:** for each call the name of the layer, with the number of the call from the second
    on, and what was found; or a text, why it could not be compared alone.
    """
    seen: dict[str, int] = {}
    for name, layer, given in calls:
        twin = _twin(eqx_module, name)
        if twin is None:
            yield name, "the Equinox network has no layer of this name"
            continue
        seen[name] = seen.get(name, 0) + 1
        title = name if seen[name] == 1 else f"{name} (call {seen[name]})"
        try:
            spec, case = make_pair(name, twin, layer, given)
        except Exception as error:  # of arguments that are no arrays
            yield title, f"{type(error).__name__}: {error}"
            continue
        spec = dataclasses.replace(spec, name=title)
        found = run(spec, [case], lanes=[lane], weights="keep")
        broken = [r for r in found.of(FAIL, NOT_VERIFIED) if r.kind in ("run", "weights")]
        if broken:
            yield title, broken[0].message
            continue
        # A gradient that is 0 here by chance is no fault of the layer.
        found.records = [record for record in found.records if record.verdict != MISTRUSTED]
        yield title, found


def layer_calls(
    torch_module: Any, inputs: Sequence[Any], call: Callable[[Any, Sequence[Any]], Any]
) -> list[tuple[str, Any, list[Any]]]:
    """Name, layer and positional arguments of every layer, in the order in which they finish.

    `call(torch_module, inputs)` calls the network, given tensors.
    """
    import torch

    calls, hooks = [], []

    def watch(name: str, layer: Any) -> None:
        def finished(layer, given, named, output):
            calls.append((name, layer, [plain(v) for v in _positional(layer, given, named)]))

        hooks.append(layer.register_forward_hook(finished, with_kwargs=True))

    for name, layer in torch_module.named_modules():
        if name:
            watch(name, layer)
    try:
        call(torch_module.eval(), [_tensor(torch, value) for value in inputs])
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def _positional(layer: Any, given: Sequence[Any], named: Mapping[str, Any]) -> list[Any]:
    """The arguments of a call by position, with defaults between those that were given by name."""
    if not named:
        return list(given)
    bound = inspect.signature(layer.forward).bind(*given, **named)
    last = max([len(given), *(list(bound.signature.parameters).index(n) + 1 for n in named)])
    bound.apply_defaults()
    return list(bound.arguments.values())[:last]


def _tensor(torch: Any, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_tensor(torch, part) for part in value]
    if not isinstance(value, np.ndarray):
        return value
    return torch.tensor(value.astype(np.float32) if value.dtype.kind == "f" else value)


def _twin(module: Any, name: str) -> Any:
    """The submodule of this name; numbers are places in lists, tuples and sequences of layers."""
    for part in name.split("."):
        try:
            module = module[int(part)] if part.isdigit() else _part(module, part)
        except (AttributeError, IndexError, KeyError, TypeError):
            return None
    return module if callable(module) else None


def _part(module: Any, name: str) -> Any:
    """What a dictionary or a module holds under a name. A method is no part."""
    if isinstance(module, dict):
        return module[name]
    if dataclasses.is_dataclass(module):
        module = {field.name: getattr(module, field.name) for field in dataclasses.fields(module)}
        return module[name]
    return getattr(module, name)


def _local(renames: Mapping[str, str], name: str) -> dict[str, str]:
    start = f"{name}."
    inside = {k: v for k, v in renames.items() if k.startswith(start) and v.startswith(start)}
    return {k.removeprefix(start): v.removeprefix(start) for k, v in inside.items()}


def call_layer(layer: Callable[..., Any], given: Sequence[Any]) -> Any:
    """Calls a layer. Equinox's own layers take a single row; PyTorch's take any number of them."""
    if type(layer).__module__.startswith("equinox.nn"):
        for _ in range(given[0].ndim - 1):
            layer = jax.vmap(layer)
    return layer(*given)
