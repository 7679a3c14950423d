"""The arrays of a workload, the same in every process."""

import dataclasses

import numpy as np

from ._datasets import real_batch
from ._workloads import Workload


@dataclasses.dataclass(frozen=True)
class Inputs:
    """A batch of graphs as numpy arrays."""

    x: np.ndarray
    edge_index: np.ndarray
    batch: np.ndarray
    y: np.ndarray
    num_graphs: int
    num_classes: int = 10
    capacity: tuple[int, int] | None = None
    """Nodes and edges that hold any batch of a data set, for programs of one size."""

    @property
    def dtype(self) -> str:
        return str(self.x.dtype)

    def cotangent(self, shape: tuple[int, ...]) -> np.ndarray:
        """What is propagated back: random, so that no compiler can know it."""
        return np.random.default_rng(1).standard_normal(shape).astype(self.dtype)


def make(workload: Workload, folder: str | None) -> Inputs:
    if workload.dataset:
        arrays = real_batch(workload.dataset, workload.graphs, folder)
        arrays["x"] = arrays["x"].astype(workload.dtype)
        return Inputs(**arrays, num_graphs=workload.graphs)
    if workload.part == "pools":
        return _rows(workload)
    return _random_graphs(workload)


def _rows(workload: Workload) -> Inputs:
    """Rows without edges, in graphs of nearly equal size."""
    rng = np.random.default_rng(0)
    batch = np.arange(workload.nodes) * workload.graphs // workload.nodes
    x = rng.standard_normal((workload.nodes, workload.features), np.float32)
    edges, y = np.zeros((2, 0), np.int32), np.zeros(workload.graphs, np.int32)
    return Inputs(x.astype(workload.dtype), edges, batch.astype(np.int32), y, workload.graphs)


def _random_graphs(workload: Workload) -> Inputs:
    """Graphs of one size, each node with `degree` edges to it from random nodes of its graph."""
    rng = np.random.default_rng(0)
    total = workload.graphs * workload.nodes
    batch = np.repeat(np.arange(workload.graphs, dtype=np.int32), workload.nodes)
    node = np.repeat(np.arange(total, dtype=np.int32), workload.degree)
    first = np.repeat(batch, workload.degree) * np.int32(workload.nodes)
    source = rng.integers(0, workload.nodes, len(node), dtype=np.int32) + first
    edges = np.stack([source, node])[:, rng.permutation(len(node)) if total < 1e6 else slice(None)]
    x = rng.standard_normal((total, workload.features), np.float32).astype(workload.dtype)
    y = rng.integers(0, 10, workload.graphs, dtype=np.int32)
    return Inputs(x, edges, batch, y, workload.graphs)
