import math
from heapq import heapify, heappop, heappush

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from ._cluster import AbstractClusterPool
from ._host import AbstractHostSparsePool, Columns
from ._selection import SelectOutput


class SEPPooling(AbstractHostSparsePool, AbstractClusterPool):
    r"""Merges the nodes of each cluster of a coding tree, whose structural entropy is small: SEP,
    decided on the host.

    $$H = -\sum_c \frac{g_c}{V} \log_2 \frac{v_c}{v_{p(c)}}$$

    is the entropy of a tree, where $v_c$ is the sum of the weights at the nodes below $c$, $g_c$
    that of those which leave it, $p(c)$ the parent, and $V$ the sum of all. First, two
    clusters with an edge between them are merged, again and again, always the pair that lowers $H$
    most. Then levels of this tree are removed, always the one that raises $H$ least, until only the
    root, clusters and nodes are left. A node directly below the root is a cluster of its own, so
    two nodes alone are not merged. Features are added up. Weights between clusters are added up,
    without `edge_attr` they are 1, and divided by $\sqrt{d_i d_j}$, where $d_i = \sum_j a_{ij}$.

    Edges count in both directions, with the sum of their weights, and loops do not count. Parts
    of a graph that no edge joins have trees of their own.

    Clusters of one node come last in their part, in the order of the nodes. The same as
    torch-geometric-pool's, where that order may be another.

    ??? cite

        [Structural Entropy Guided Graph Hierarchical
        Pooling](https://arxiv.org/abs/2206.13510), Wu et al., 2022
    """

    in_features: int | None = eqx.field(default=None, init=False, static=True)
    keeps_loops: bool = eqx.field(default=False, init=False, static=True)
    edge_aggr: str = eqx.field(default="add", init=False, static=True)
    edge_norm: str | None = eqx.field(default="degree", init=False, static=True)

    @property
    def dtype(self) -> None:
        """Any."""
        return None

    def columns(self, adjacency: Float[np.ndarray, "nodes _nodes"]) -> Columns:
        """The cluster of each node.

        **Raises:** `ValueError` for a negative weight.
        """
        from scipy.sparse.csgraph import connected_components

        if np.any(adjacency < 0):
            raise ValueError("edge_attr must not hold negative weights, which have no entropy")
        adjacency = adjacency + adjacency.T
        np.fill_diagonal(adjacency, 0)
        label, total = np.zeros(len(adjacency), np.int32), 0
        parts, part = connected_components(adjacency, directed=False)
        for own in (np.flatnonzero(part == number) for number in range(parts)):
            for cluster in _clusters(adjacency[np.ix_(own, own)]):
                label[own[cluster]], total = total, total + 1
        return {"cluster": label, "weight": np.ones(len(label))}

    def lift(
        self, x: Float[Array, "clusters features"], select: SelectOutput
    ) -> Float[Array, "nodes features"]:
        """The features of the cluster of each node; 0 in padding."""
        return select.lift(x)


class _Tree:
    """A tree whose leaves are the nodes of a graph, of which edges join all parts. Vertices are
    numbers, those of the leaves first."""

    def __init__(self, adjacency):
        nodes = range(len(adjacency))
        self.volume = adjacency.sum(axis=1).tolist()
        self.total = sum(self.volume)
        self.leaving = list(self.volume)
        self.inside = [0.0 for _ in nodes]  # The weight between the children.
        self.parent: list[int | None] = [None for _ in nodes]
        self.children: list[set[int]] = [set() for _ in nodes]
        self.height = [0 for _ in nodes]
        self.cut = [
            dict(zip(row.nonzero()[0].tolist(), row[row > 0], strict=True)) for row in adjacency
        ]

    def gain(self, one, other):
        """By how much the entropy grows if they are merged, which is below 0 where it falls."""
        both, cut = self.volume[one] + self.volume[other], self.cut[one][other]
        grown = sum(
            (self.volume[part] - self.leaving[part]) * math.log2(both / self.volume[part])
            for part in (one, other)
        )
        return (grown - 2 * cut * math.log2(self.total / both)) / self.total

    def merge(self, one, other):
        """Their new parent."""
        made, cut = len(self.parent), self.cut[one][other]
        self.volume.append(self.volume[one] + self.volume[other])
        self.leaving.append(self.leaving[one] + self.leaving[other] - 2 * cut)
        self.inside.append(cut)
        self.parent.append(None)
        self.children.append({one, other})
        self.height.append(1 + max(self.height[one], self.height[other]))
        self.cut.append({})
        self.parent[one] = self.parent[other] = made
        for part in (one, other):
            for near, weight in self.cut[part].items():
                if self.parent[near] is None:
                    self.cut[made][near] = self.cut[made].get(near, 0.0) + weight
        for near, weight in self.cut[made].items():
            self.cut[near][made] = weight
        return made

    def length(self, vertex):
        """Of the longest way from the root through the vertex to a leaf."""
        found = self.height[vertex]
        while (parent := self.parent[vertex]) is not None:
            found, vertex = found + 1, parent
        return found

    def leave_out(self, vertex):
        """Gives the children of a vertex to its parent."""
        parent = self.parent[vertex]
        assert parent is not None
        self.inside[parent] += self.inside[vertex]
        self.parent[vertex] = None
        self.children[parent] = (self.children[parent] - {vertex}) | self.children[vertex]
        for child in self.children[vertex]:
            self.parent[child] = parent
        above: int | None = parent
        while above is not None:
            height = 1 + max(self.height[child] for child in self.children[above])
            if height == self.height[above]:
                break
            self.height[above], above = height, self.parent[above]

    def loss(self, vertex):
        """What leaving it out adds to the entropy, up to a factor."""
        parent = self.parent[vertex]
        assert parent is not None
        return self.inside[vertex] * math.log(self.volume[parent] / self.volume[vertex]), vertex


def _clusters(adjacency):
    """The nodes of each cluster, those of several nodes first."""
    nodes = len(adjacency)
    if nodes == 1:
        return [[0]]
    tree, heap = _Tree(adjacency), []
    for node in range(nodes):
        for near in tree.cut[node]:
            if near > node:
                heappush(heap, (tree.gain(node, near), node, near))
    for _ in range(nodes - 1):
        one, other = next(
            pair for pair in _popped(heap) if not any(map(tree.parent.__getitem__, pair))
        )
        made = tree.merge(one, other)
        for near in tree.cut[made]:
            heappush(heap, (tree.gain(near, made), near, made))
    top = len(tree.parent) - 1
    losses = [tree.loss(vertex) for vertex in range(nodes, top)]
    heapify(losses)
    while tree.height[top] > 2:
        found = heappop(losses)
        vertex, above = found[1], tree.parent[found[1]]
        # One that was left out has no parent; of the others the last loss counts.
        if above is None or found != tree.loss(vertex) or tree.length(vertex) <= 2:
            continue
        changed = {*tree.children[vertex], above} - {top}
        tree.leave_out(vertex)
        for near in changed:
            if tree.height[near]:
                heappush(losses, tree.loss(near))
    below = sorted(tree.children[top], key=lambda vertex: (not tree.children[vertex], vertex))
    return [sorted(tree.children[vertex]) or [vertex] for vertex in below]


def _popped(heap):
    while heap:
        yield heappop(heap)[1:]
