"""Two modules that are called with the same arguments. Nothing here imports PyTorch."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ._case import Case
from ._record import Result, describe
from ._run import run
from ._spec import Decision, Spec
from ._torch import is_float
from .verdicts import FAIL, MISTRUSTED, NOT_VERIFIED


def assert_parity(
    eqx_module: Callable[..., Any],
    torch_module: Callable[..., Any],
    inputs: Sequence[np.ndarray],
    *,
    renames: Mapping[str, str] | None = None,
    lanes: Sequence[str] = ("f64", "f32"),
) -> Result:
    """Asserts that an Equinox module computes what a PyTorch module computes.

    Both are called with `inputs`. Outputs, and gradients for all float inputs and parameters, must
    agree in float64 and float32 within the PyTorch module's own rounding noise. Where the PyTorch
    module has poolings of PyG, what they keep is forced on both sides, one after the other.

    **Arguments:**

    - `eqx_module`: the Equinox module or function. Its weights are replaced by those of
        `torch_module`, by name, with none left over on either side.
    - `torch_module`: the PyTorch module or function. It is not changed.
    - `inputs`: float32, integer and bool arrays, and lists of such: the positional arguments of
        both. Each side returns an array, or a tuple of arrays and `None`.
    - `renames`: PyTorch state-dict name to Equinox leaf path, where they are not equal.
    - `lanes`: `"f64"` and `"f32"`.

    **Returns:** the `Result`.

    **Raises:** `AssertionError` with one line for each tensor that differs or was not compared.
    """
    name = getattr(torch_module, "__name__", type(torch_module).__name__)
    spec, case = pair(name, eqx_module, torch_module, inputs, renames=renames or {})
    result = run(spec, [case], lanes=lanes, weights="keep")
    bad = result.of(FAIL, NOT_VERIFIED, MISTRUSTED)
    if bad:
        raise AssertionError("\n".join(["no parity", *map(describe, bad)]))
    return result


def _called(module: Callable[..., Any], given: Sequence[Any]) -> Any:
    return module(*given)


def named(outputs: Any) -> dict[str, Any]:
    """The outputs of a module by their place."""
    if isinstance(outputs, tuple | list):
        return {str(i): output for i, output in enumerate(outputs)}
    return {"0": outputs}


def pair(
    name: str,
    eqx_module: Callable[..., Any],
    torch_module: Callable[..., Any],
    given: Sequence[Any],
    *,
    renames: Mapping[str, str],
    call_eqx: Callable[[Any, Sequence[Any]], Any] = _called,
    call_torch: Callable[[Any, Sequence[Any]], Any] = _called,
    named: Callable[[Any], dict[str, Any]] = named,
    real: Callable[..., Mapping[str, Any]] = lambda inputs, outputs: {},
    expect_zero: Callable[[str], str | None] = lambda tensor: None,
) -> tuple[Spec, Case]:
    """The spec and the only case for two modules that are called with the same arguments.

    **Arguments:**

    - `name`: what the comparison is called.
    - `eqx_module`, `torch_module`, `renames`: as for
        [`assert_parity`][jraphx_eqx.parity.assert_parity].
    - `given`: the arguments: arrays, tensors, numbers, `None`, and lists of such.
    - `call_eqx`, `call_torch`: how each side is called with them.
    - `named`: the outputs of either side by name.
    - `real`, `expect_zero`: as in a `Spec`.
    """
    flat, rebuild = flatten([plain(value) for value in given])
    spec = Spec(
        name,
        pyg=lambda: copy.deepcopy(torch_module),
        eqx=lambda: eqx_module,
        call_pyg=lambda module, inputs: named(call_torch(module, rebuild(inputs))),
        call_eqx=lambda module, inputs: named(call_eqx(module, rebuild(inputs))),
        inputs=lambda case: case.arrays,
        differentiate=[name for name in flat if is_float(flat[name])],
        renames=renames,
        real=real,
        expect_zero=expect_zero,
        decision=lambda config: _DECISION if _selects(torch_module) else None,
        network=True,
    )
    return spec, Case("inputs", flat)


# In a network, equal scores are common: of dead units, or of nodes with the same neighbourhood.
_DECISION = Decision(index="perm", ties=True)


def _selects(torch_module: Any) -> bool:
    """Whether a PyTorch module has poolings of PyG that choose."""
    modules = getattr(torch_module, "modules", tuple)
    return any(type(module).__name__ in ("SelectTopK", "EdgePooling") for module in modules())


def plain(value: Any) -> Any:
    """A tensor or an array as an array of NumPy, floats in float32; lists element by element."""
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy().copy()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def flatten(given: Sequence[Any]) -> tuple[dict[str, Any], Callable[[Mapping[str, Any]], list]]:
    """The arguments by name, `"arg0"`, or `"arg1.0"` inside of a list; and the way back."""
    flat: dict[str, Any] = {}

    def named(value: Any, name: str) -> Any:
        if isinstance(value, list):
            return [named(part, f"{name}.{i}") for i, part in enumerate(value)]
        flat[name] = value
        return name

    names = [named(value, f"arg{i}") for i, value in enumerate(given)]

    def rebuild(inputs: Mapping[str, Any]) -> list[Any]:
        def found(part: Any) -> Any:
            return [found(p) for p in part] if isinstance(part, list) else inputs[part]

        return [found(part) for part in names]

    return flat, rebuild
