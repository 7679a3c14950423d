"""The first layer of a network that differs. PyTorch is imported by the functions only."""

import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ._assert import pair
from ._bisect import Bisection
from ._record import FAIL, MISTRUSTED, NOT_VERIFIED
from ._run import run


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
    records = []
    for name, layer, given in _calls(torch_module, inputs):
        twin = _twin(eqx_module, name)
        if twin is None:
            continue
        spec, case = pair(twin, layer, given, _local(renames, name), call=_call)
        result = run(spec, [case], lanes=[lane], weights="keep")
        for record in result.records:
            record.operator = name
            if record.kind == "run" and record.verdict == FAIL:
                record.verdict = NOT_VERIFIED
        records += result.records
        if result.of(FAIL):
            return Bisection(name, records)
    spec, case = pair(eqx_module, torch_module, inputs, renames)
    whole = run(spec, [case], lanes=[lane], weights="keep")
    agrees = not whole.of(FAIL, NOT_VERIFIED, MISTRUSTED)
    return Bisection(None if agrees else "between the layers", [*records, *whole.records])


def _calls(torch_module: Any, inputs: Sequence[Any]) -> list[tuple[str, Any, list[Any]]]:
    """Name, layer and positional arguments of every layer, in the order in which they finish."""
    import torch

    calls, hooks = [], []

    def watch(name: str, layer: Any) -> None:
        def finished(layer, given, named, output):
            calls.append((name, layer, [_plain(v) for v in _positional(layer, given, named)]))

        hooks.append(layer.register_forward_hook(finished, with_kwargs=True))

    for name, layer in torch_module.named_modules():
        if name:
            watch(name, layer)
    try:
        arrays = [_tensor(torch, value) for value in inputs]
        torch_module.eval()(*arrays)
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
    if not isinstance(value, np.ndarray):
        return value
    return torch.tensor(value.astype(np.float32) if value.dtype.kind == "f" else value)


def _plain(value: Any) -> Any:
    return value.detach().cpu().numpy().copy() if hasattr(value, "detach") else value


def _twin(module: Any, name: str) -> Any:
    """The submodule of this name; lists and tuples by index."""
    for part in name.split("."):
        try:
            module = (
                operator.getitem(module, int(part)) if part.isdigit() else getattr(module, part)
            )
        except (AttributeError, IndexError, KeyError, TypeError):
            return None
    return module if callable(module) else None


def _local(renames: Mapping[str, str], name: str) -> dict[str, str]:
    start = f"{name}."
    inside = {k: v for k, v in renames.items() if k.startswith(start) and v.startswith(start)}
    return {k.removeprefix(start): v.removeprefix(start) for k, v in inside.items()}


def _call(layer: Callable[..., Any], *given: Any) -> Any:
    """Equinox's own layers take a single row; PyTorch's take any number of them."""
    if not type(layer).__module__.startswith("equinox.nn"):
        return layer(*given)
    for _ in range(given[0].ndim - 1):
        layer = jax.vmap(layer)
    return layer(*given)
