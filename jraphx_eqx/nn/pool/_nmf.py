import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from ..._number import python_numbers
from .._check import check_positive
from ._dense_selection import DenseSelectOutput
from ._host import AbstractHostDensePool, Columns, padded_to

_ROUNDS, _TOLERANCE = 5000, 1e-4


class NMFPooling(AbstractHostDensePool):
    r"""Pools by memberships that come from a factorisation of the adjacency matrix, decided on the
    host.

    $$\mathbf{A} \approx \mathbf{W} \mathbf{H}, \qquad \mathbf{W}, \mathbf{H} \geq 0, \qquad
    \mathbf{S} = \mathrm{softmax}(\mathbf{H}^\top)$$

    Negative weights count as 0. Graphs of fewer nodes than `clusters` have a cluster for each node.
    Pooled weights are divided by $\sqrt{d_i d_j}$, without those from a cluster to itself.

    As torch-geometric-pool's by the same memberships. Here the factors of each graph begin with
    the same random numbers, so that a graph has the same memberships in each batch, and in each
    run.

    ??? cite

        [A Non-Negative Factorization approach to node pooling in Graph Convolutional Neural
        Networks](https://arxiv.org/abs/1909.03287), Bacciu and Di Sotto, 2019
    """

    in_features: int | None
    clusters: int = eqx.field(static=True)
    keeps_loops: bool = eqx.field(static=True)

    @python_numbers
    def __init__(self, clusters: int):
        """**Arguments:**

        - `clusters`: the number of clusters of a graph.

        **Raises:** `ValueError` for a number below 1.
        """
        check_positive(clusters=clusters)
        self.in_features, self.clusters, self.keeps_loops = None, clusters, False

    @property
    def dtype(self) -> None:
        """Any."""
        return None

    def columns(self, adjacency: Float[np.ndarray, "nodes _nodes"]) -> Columns:
        """The memberships of each node."""
        nodes = len(adjacency)
        if self.clusters == 1 or nodes == 1:
            matrix = np.ones((nodes, 1))
        elif self.clusters >= nodes:
            matrix = np.eye(nodes)
        else:
            matrix = np.exp(_right_factor(np.maximum(adjacency, 0), self.clusters).T)
            matrix = matrix / matrix.sum(axis=1, keepdims=True)
        return {"matrix": padded_to(self.clusters, matrix)}

    def reduce(
        self, x: Float[Array, "nodes features"], select: DenseSelectOutput
    ) -> Float[Array, "clusters features"]:
        r"""$\mathbf{S}^\top \mathbf{X}$, graph by graph."""
        return select.reduce(x)


def _right_factor(matrix, rank):
    """H, by steps along one coordinate of W after the other, and then of H, and again."""
    rng, size = np.random.RandomState(0), np.sqrt(matrix.mean() / rank)
    right = size * np.abs(rng.standard_normal((rank, len(matrix))))
    left = size * np.abs(rng.standard_normal((len(matrix), rank)))
    first = None
    for _ in range(_ROUNDS):
        moved = _step(left, right @ right.T, matrix @ right.T)
        moved += _step(right.T, left.T @ left, matrix.T @ left)
        first = moved if first is None else first
        if moved <= _TOLERANCE * first:
            break
    return right


def _step(rows, square, product):
    """Moves each column to where the error is least, in place. How far that was from it."""
    moved = 0.0
    for column, own in enumerate(square):
        slope = rows @ own - product[:, column]
        moved += np.abs(np.where(rows[:, column] == 0, np.minimum(slope, 0), slope)).sum()
        if own[column]:
            rows[:, column] = np.maximum(rows[:, column] - slope / own[column], 0)
    return moved
