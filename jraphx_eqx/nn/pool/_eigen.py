import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from ..._number import python_numbers
from .._check import check_positive
from ._dense_selection import DenseSelectOutput
from ._host import AbstractHostDensePool, Columns

_ROUNDS = 300


class EigenPooling(AbstractHostDensePool):
    r"""Merges the nodes of each cluster of a spectral clustering, and keeps of their features the
    first frequencies: EigenPooling, decided on the host.

    $$\mathbf{x}'_c = \big\Vert_{h=1}^H \sum_{n \in c} u^{(h)}_n \mathbf{x}_n, \qquad
    \mathbf{A}' = \mathbf{S}^\top \mathbf{A} \mathbf{S}$$

    where $\mathbf{u}^{(h)}$ is the eigenvector of the $h$-th smallest eigenvalue of the Laplacian
    of the cluster alone; where it has fewer, the last one again. The first number of each that is
    not 0 is positive. Edges count in both directions, with the mean of their weights. Graphs of
    fewer nodes than `clusters` have a cluster for each node. Pooled weights are divided by
    $\sqrt{d_i d_j}$, and an edge from each cluster to each other is there, if with weight 0.

    As torch-geometric-pool's by the same clusters, with two differences. A cluster of one node
    keeps its features, whose only eigenvector is 1; there they are multiplied by the weight of its
    loop, mostly 0. And $k$-means begins with nodes that are far from each other, where scikit-learn
    begins at random ten times.

    ??? cite

        [Graph Convolutional Networks with EigenPooling](https://arxiv.org/abs/1904.13107), Ma et
        al., 2019
    """

    in_features: int | None
    clusters: int = eqx.field(static=True)
    num_modes: int = eqx.field(static=True)
    normalized: bool = eqx.field(static=True)
    keeps_loops: bool = eqx.field(static=True)

    @python_numbers
    def __init__(self, clusters: int, num_modes: int = 5, normalized: bool = True):
        """**Arguments:**

        - `clusters`: the number of clusters of a graph.
        - `num_modes`: $H$, how many times as many features the output has.
        - `normalized`: whether the eigenvectors are those of the normalised Laplacian.

        **Raises:** `ValueError` for a number below 1.
        """
        check_positive(clusters=clusters, num_modes=num_modes)
        self.in_features, self.keeps_loops = None, False
        self.clusters, self.num_modes, self.normalized = clusters, num_modes, normalized

    @property
    def dtype(self) -> None:
        """Any."""
        return None

    def columns(self, adjacency: Float[np.ndarray, "nodes _nodes"]) -> Columns:
        """The cluster of each node, as a row of zeros and a one, and its entry in each
        eigenvector of its cluster."""
        adjacency = (adjacency + adjacency.T) / 2
        label = _spectral_clusters(adjacency, self.clusters)
        modes = np.zeros((len(label), self.num_modes))
        for cluster in np.unique(label):
            own = np.flatnonzero(label == cluster)
            vectors = _eigenvectors(adjacency[np.ix_(own, own)], self.normalized)
            which = np.minimum(np.arange(self.num_modes), len(own) - 1)
            modes[own] = vectors[:, which]
        return {"matrix": np.eye(self.clusters)[label], "modes": modes}

    def reduce(
        self, x: Float[Array, "nodes features"], select: DenseSelectOutput
    ) -> Float[Array, "clusters modal_features"]:
        """The frequencies of the features of each cluster, those of the first eigenvector first."""
        if select.modes is None:
            raise ValueError("select must have modes, as those that EigenPooling makes have")
        return select.reduce(x)


def _spectral_clusters(adjacency, clusters):
    """The cluster of each node, numbered in the order of their first nodes."""
    nodes = len(adjacency)
    if clusters >= nodes:
        return np.arange(nodes)
    if clusters == 1:
        return np.zeros(nodes, int)
    adjacency = np.maximum(adjacency, 0)
    np.fill_diagonal(adjacency, 0)
    degree = adjacency.sum(axis=1)
    root = np.sqrt(np.where(degree > 0, degree, 1))
    laplacian = np.diag(degree > 0) - adjacency / root[:, None] / root
    rows = np.linalg.eigh(laplacian)[1][:, :clusters] / root[:, None]
    label = _k_means(rows.round(9), clusters)
    first = np.unique(label, return_index=True)[1]
    rank = np.empty(clusters, int)
    rank[label[np.sort(first)]] = np.arange(len(first))
    return rank[label]


def _k_means(rows, clusters):
    """By rounds, beginning with the first row and always the one farthest from those before."""
    centres = rows[:1]
    while len(centres) < clusters:
        far = np.argmax(_distances(rows, centres).min(axis=1))
        centres = np.concatenate([centres, rows[far : far + 1]])
    label = np.full(len(rows), -1)
    for _ in range(_ROUNDS):
        before, label = label, np.argmin(_distances(rows, centres), axis=1)
        if np.array_equal(before, label):
            break
        for cluster in np.unique(label):
            centres[cluster] = rows[label == cluster].mean(axis=0)
    return label


def _distances(rows, centres):
    return np.sum((rows[:, None] - centres) ** 2, axis=2)


def _eigenvectors(adjacency, normalized):
    """Those of the Laplacian, by their eigenvalues."""
    degree = adjacency.sum(axis=0)
    if normalized:
        root = np.where(degree > 0, 1 / np.sqrt(np.where(degree > 0, degree, 1)), 0)
        laplacian = np.eye(len(degree)) - root[:, None] * adjacency * root
    else:
        laplacian = np.diag(degree) - adjacency
    vectors = np.linalg.eigh(laplacian)[1]
    first = np.argmax(np.abs(vectors) > 1e-9, axis=0)
    return vectors * np.sign(vectors[first, np.arange(len(degree))])
