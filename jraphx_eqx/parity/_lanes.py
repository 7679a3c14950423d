"""The lanes as a table: in which precision, and by what, two sides are compared."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True)
class Lane:
    """One way to compare an operator with its original.

    **Arguments:**

    - `name`: its name in records.
    - `dtype`: in which both sides compute.
    - `by`: what must agree. `"bits"`: every bit, on inputs in eighths. `"noise"`: numbers, within
        PyTorch's own rounding errors. `"moves"`: our own results before and after changes of the
        input that must change nothing.
    - `as_users`: whether ours is also run as users run it: without gradients.
    """

    name: str
    dtype: Any
    by: Literal["bits", "noise", "moves"] = "noise"
    as_users: bool = False

    @cached_property
    def eps(self) -> float:
        """The distance from 1 to the next number."""
        return float(np.finfo(self.dtype).eps)

    @cached_property
    def tiny(self) -> float:
        """The smallest number with all its digits. XLA on the CPU flushes those below to zero, and
        numbers just above may come of cancellation."""
        return float(np.finfo(self.dtype).tiny)

    @property
    def wide(self) -> bool:
        """Whether it computes in float64."""
        return self.dtype is np.float64

    @property
    def coarsest(self) -> float:
        """A tolerance above this part of a tensor's largest number would let wrong numbers pass.
        Such a comparison says nothing."""
        return 1e-3 if self.wide else 1e-1


LANES = {
    lane.name: lane
    for lane in (
        Lane("exact", np.float32, "bits"),
        Lane("f64", np.float64),
        Lane("f32", np.float32, as_users=True),
        Lane("metamorphic", np.float64, "moves"),
    )
}
