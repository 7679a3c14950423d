from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ._case import Case
from ._pair import pair
from ._record import Result
from ._run import checked_lanes, run
from ._spec import Divergence, Spec


@dataclass(frozen=True, eq=False)
class Suite:
    """An operator beside its PyTorch original, as pytest tests: one for each configuration, case,
    lane and tensor, and one, `[all]`, for what can be said of all of them together only.

    In a test file, `test_mine = Suite(spec, cases)` is all that is needed. Nothing runs before the
    tests do. Called, a suite runs at once, as [`run`][jraphx_eqx.parity.run] does, and returns the
    `Result`.

    **Arguments:**

    - `spec`, `cases`, `lanes`, `pairing`, `seed`, `weights`, `divergences`: as for
        [`run`][jraphx_eqx.parity.run]. That one of the spec's `input_classes` is in none of the
        cases fails.

    **Raises:** `ValueError` if a lane is unknown, or the spec does not have what it needs.
    """

    spec: Spec
    cases: Sequence[Case]
    lanes: Sequence[str] | None = None
    pairing: Literal["product", "rotate"] = "product"
    seed: int = 0
    weights: Literal["draw", "keep"] = "draw"
    divergences: Sequence[Divergence] = ()

    def __post_init__(self):
        checked_lanes(self.spec, self.lanes)

    @staticmethod
    def of_modules(
        eqx_module: Callable[..., Any],
        torch_module: Callable[..., Any],
        inputs: Sequence[np.ndarray],
        *,
        renames: Mapping[str, str] | None = None,
        lanes: Sequence[str] = ("f64", "f32"),
    ) -> "Suite":
        """The suite of two modules that are called with the same arguments, with the weights of the
        PyTorch module.

        **Arguments:**

        - `eqx_module`, `torch_module`, `inputs`, `renames`, `lanes`: as for
            [`assert_parity`][jraphx_eqx.parity.assert_parity].
        """
        name = getattr(torch_module, "__name__", type(torch_module).__name__)
        spec, case = pair(name, eqx_module, torch_module, inputs, renames=renames or {})
        return Suite(spec, [case], lanes, weights="keep")

    def __call__(self) -> Result:
        return run(
            self.spec,
            self.cases,
            lanes=self.lanes,
            pairing=self.pairing,
            seed=self.seed,
            weights=self.weights,
            complete=True,
            divergences=self.divergences,
        )
