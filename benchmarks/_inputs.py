import dataclasses
from collections.abc import Callable

import numpy as np

# Functions without arguments, by operator and direction.
Operations = dict[tuple[str, str], Callable[[], object]]


@dataclasses.dataclass(frozen=True)
class Inputs:
    """A batch of random graphs of one size, as numpy arrays."""

    name: str
    x: np.ndarray
    edge_index: np.ndarray
    batch: np.ndarray
    num_graphs: int


def random_batch(num_graphs: int, num_nodes: int, features: int = 64, degree: int = 4) -> Inputs:
    """`num_graphs` graphs of `num_nodes` nodes with `degree` random edges for each node."""
    rng = np.random.default_rng(0)
    total = num_graphs * num_nodes
    batch = np.repeat(np.arange(num_graphs, dtype=np.int32), num_nodes)
    first = np.repeat(batch, degree) * num_nodes
    edges = rng.integers(0, num_nodes, (2, total * degree), dtype=np.int32) + first
    x = rng.standard_normal((total, features), dtype=np.float32)
    return Inputs(f"{num_graphs} x {num_nodes}", x, edges, batch, num_graphs)
