from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class Case:
    """One input, as plain numpy arrays, for both frameworks.

    **Arguments:**

    - `name`: how the case is called in reports, for example `"empty_graphs:3"`.
    - `arrays`: the arrays by name. Floats are float32, so that they are the same number in every
        lane. Plain integers (a number of graphs) are allowed; they stay static under `jit`.
    - `tags`: what is special about the case, for example `"ties"`. Declared divergences and the
        vacuity rules look at them.
    - `capacity`: the rows to which a side that pads should pad, by name of the axis. Cases with
        equal capacities share one compiled program.
    """

    name: str
    arrays: Mapping[str, np.ndarray | int]
    tags: frozenset[str] = frozenset()
    capacity: Mapping[str, int] = field(default_factory=dict)

    def __getitem__(self, name: str) -> np.ndarray | int:
        return self.arrays[name]

    @property
    def kind(self) -> str:
        """The name up to the colon: that of the generator, for those of `graphs`."""
        return self.name.partition(":")[0]
