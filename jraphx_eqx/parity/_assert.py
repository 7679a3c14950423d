import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ._case import Case
from ._record import FAIL, MISTRUSTED, NOT_VERIFIED, Result
from ._run import run
from ._spec import Spec
from ._table import describe
from ._torch import is_float


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
    agree in float64 and float32 within the PyTorch module's own rounding noise.

    **Arguments:**

    - `eqx_module`: the Equinox module or function. Its weights are replaced by those of
        `torch_module`, by name, with none left over on either side.
    - `torch_module`: the PyTorch module or function. It is not changed.
    - `inputs`: float32 and integer arrays, the positional arguments of both. Each side returns an
        array, or a tuple of arrays and `None`.
    - `renames`: PyTorch state-dict name to Equinox leaf path, where they are not equal.
    - `lanes`: `"f64"` and `"f32"`.

    **Returns:** the `Result`.

    **Raises:** `AssertionError` with one line for each tensor that differs or was not compared.
    """
    spec, case = pair(eqx_module, torch_module, inputs, renames or {})
    result = run(spec, [case], lanes=lanes, weights="keep")
    bad = result.of(FAIL, NOT_VERIFIED, MISTRUSTED)
    if bad:
        raise AssertionError("\n".join(["no parity", *map(describe, bad)]))
    return result


def pair(
    eqx_module: Callable[..., Any],
    torch_module: Callable[..., Any],
    inputs: Sequence[Any],
    renames: Mapping[str, str],
    call: Callable[..., Any] = lambda module, *given: module(*given),
) -> tuple[Spec, Case]:
    """The spec and the only case for two modules that are called with the same arguments.

    `call(eqx_module, *given)` calls the Equinox side.
    """
    names = [f"arg{i}" for i in range(len(inputs))]
    arrays = dict(zip(names, map(_plain, inputs), strict=True))
    spec = Spec(
        getattr(torch_module, "__name__", type(torch_module).__name__),
        pyg=lambda: copy.deepcopy(torch_module),
        eqx=lambda: eqx_module,
        call_pyg=lambda module, given: _named(module(*(given[n] for n in names))),
        call_eqx=lambda module, given, decide: _named(call(module, *(given[n] for n in names))),
        inputs=lambda case: case.arrays,
        differentiate=[name for name in names if is_float(arrays[name])],
        renames=renames,
    )
    return spec, Case("inputs", arrays)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, int):
        return value
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _named(outputs: Any) -> dict[str, Any]:
    if isinstance(outputs, tuple | list):
        return {str(i): output for i, output in enumerate(outputs)}
    return {"0": outputs}
