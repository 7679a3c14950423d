import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from ..._number import python_numbers
from ...data import BatchVector, resolve_batch
from ._host import AbstractHostSparsePool, Columns, packed, symmetric
from ._selection import SelectOutput


class NDPPooling(AbstractHostSparsePool):
    r"""Keeps one side of a cut that is nearly the largest, and joins the kept nodes as the dropped
    ones did: node decimation pooling, decided on the host.

    $$\mathbf{L} = \mathbf{D} - \mathbf{A}, \qquad \mathbf{L}' = \mathbf{L}_{++} - \mathbf{L}_{+-}
    \mathbf{L}_{--}^{-1} \mathbf{L}_{-+}, \qquad \mathbf{A}' = \mathrm{diag}(\mathbf{L}') -
    \mathbf{L}'$$

    The nodes that are kept, $+$, are those where the eigenvector of the largest eigenvalue of
    $\mathbf{I} - \mathbf{D}^{-1/2} \mathbf{A} \mathbf{D}^{-1/2}$ is not negative. Edges of
    $\mathbf{A}'$ up to `threshold` are dropped. An edge counts in both directions; if the two have
    different weights, the larger one counts. Loops do not count. Weights of the pooled edges have
    no gradient.

    As torch-geometric-pool's, except that nothing is random. The sign of the eigenvector makes its
    largest number positive, the first one of several. Where it cuts less than half of the weights,
    nodes go one by one to the side that cuts more, at equality to that of the kept ones; there they
    go to any side. Graphs are pooled apart; there one that cannot be solved spoils the others.

    ??? cite

        [Hierarchical Representation Learning in Graph Neural Networks with Node Decimation
        Pooling](https://arxiv.org/abs/1910.11436), Bianchi et al., 2020
    """

    in_features: int | None
    threshold: float = eqx.field(static=True)

    @python_numbers
    def __init__(self, threshold: float | int = 0.01):
        """**Arguments:**

        - `threshold`: pooled edges of at most this weight are dropped.

        **Raises:** `ValueError` for a negative `threshold`.
        """
        if not threshold >= 0:
            raise ValueError(f"threshold must not be negative, got {threshold}")
        self.in_features, self.threshold = None, threshold

    @property
    def dtype(self) -> None:
        """Any."""
        return None

    def columns(self, adjacency: Float[np.ndarray, "nodes _nodes"]) -> Columns:
        """The number of each node among those that are kept, and the edges between these.

        **Raises:** `ValueError` for a negative weight.
        """
        if np.any(adjacency < 0):
            raise ValueError("edge_attr must not hold negative weights: a cut needs positive ones")
        adjacency = symmetric(adjacency)
        kept = _side(adjacency)
        joined = _reduced(adjacency, kept)
        joined[np.abs(joined) <= self.threshold] = 0
        edges = np.nonzero(joined)
        cluster = np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)
        return {"cluster": cluster, **packed(edges, joined[edges], len(kept))}

    def reduce(
        self, x: Float[Array, "nodes features"], select: SelectOutput
    ) -> Float[Array, "clusters features"]:
        """The features of the kept nodes."""
        return select.reduce(x)

    def connect(
        self,
        select: SelectOutput,
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None = None,
        batch: BatchVector | None = None,
    ) -> tuple[Int[Array, "2 pooled_edges"], Float[Array, " pooled_edges"], BatchVector]:
        """The edges that came with the selection, and the graph of each node."""
        if select.edges is None:
            raise ValueError("select must have edges, as those that NDPPooling makes have")
        return *select.edges, select.graphs(resolve_batch(batch, select.num_nodes))

    def lift(
        self, x: Float[Array, "clusters features"], select: SelectOutput
    ) -> Float[Array, "nodes features"]:
        """The features of the kept nodes; 0 for the others, and in padding."""
        return select.lift(x)


def _side(adjacency):
    """Which nodes are kept."""
    total = adjacency.sum()
    if not total:
        return np.ones(len(adjacency), bool)
    vector = _last_eigenvector(adjacency)
    # Nodes of other components are zeros, up to rounding.
    kept = vector > -1e-9
    if adjacency[np.ix_(kept, ~kept)].sum() < total / 4:
        side = np.zeros(len(kept))
        for node in range(len(kept)):
            side[node] = 1 if adjacency[node] @ side <= 0 else -1
        kept = side > 0
    return kept


def _last_eigenvector(adjacency):
    """That of the normalised Laplacian; its largest number is positive."""
    from scipy.linalg import eigh

    degree = adjacency.sum(axis=1)
    root = np.where(degree > 0, 1 / np.sqrt(np.where(degree > 0, degree, 1)), 0)
    normal = root[:, None] * adjacency * root  # Its first is the last of I minus it.
    vector = eigh(normal, subset_by_index=[0, 0])[1][:, 0]
    size = np.abs(vector)
    return vector * np.sign(vector[np.argmax(size > size.max() - 1e-9)])


def _reduced(adjacency, kept):
    """The adjacency of the kept nodes, by the Schur complement of the Laplacian."""
    laplacian = np.diag(adjacency.sum(axis=1)) - adjacency
    inner, across = laplacian[np.ix_(~kept, ~kept)], laplacian[np.ix_(kept, ~kept)]
    # Each component has kept nodes, so that no part of it is singular.
    joined = across @ np.linalg.solve(inner, across.T) - laplacian[np.ix_(kept, kept)]
    np.fill_diagonal(joined, 0)
    return (joined + joined.T) / 2
