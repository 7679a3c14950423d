import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from ..._number import python_numbers
from ...data import BatchVector, resolve_batch
from ...data._batch_vector import bounded_batch, most_nodes
from ...ops import (
    edge_mask,
    error_if,
    first_true,
    gather,
    mask_rows,
    masked_edges,
    segment_max,
    segment_reduce_by_block,
)
from ...ops._order import places_in_graph
from ...ops._varying import varying_zero
from .._check import check_positive
from .._entry import takes_numpy
from ._choice import Choice, settle
from ._dense import AbstractMembershipPool, check_room, edge_weights
from ._dense_losses import root, widened
from ._dense_selection import DenseSelectOutput, similarities

_EPS = 1e-8  # torch-geometric-pool's, below the cosine


class LaPooling(AbstractMembershipPool):
    r"""Laplacian pooling: the nodes that differ from their neighbours more than these do lead the
    clusters, and the others are members of those whose leaders they are like.

    $$v_n = \Big\| \sum_m a_{nm} (\mathbf{x}_n - \mathbf{x}_m) \Big\|, \qquad
    \mathbf{i} = \{ n : v_n \ge v_m \; \forall m \in \mathcal{N}(n) \}, \qquad
    \mathbf{S}_n = \boldsymbol{\beta}_n \odot \mathrm{softmax}_{i \in \mathbf{i}}
    \frac{\mathbf{x}_n^\top \mathbf{x}_i}{\|\mathbf{x}_n\| \|\mathbf{x}_i\|}$$

    The softmax is over the leaders of the graph; a leader is a member of its own cluster alone. The
    features and edges of the clusters are those of
    [`JustBalancePooling`][jraphx_eqx.nn.pool.JustBalancePooling]. How many leaders a graph has
    depends on its features: each graph has room for as many as it can have nodes, which is the
    `max_count` of the batch vector, or for `clusters`, and what is not used is padding.

    The same as torch-geometric-pool's, with its dense batches, whose $v$ are $\mathbf{L}
    \mathbf{X}$. Where all neighbours of a node are like it, $v$ is 0 here, and there up to
    rounding.

    ??? cite

        [Towards Interpretable Sparse Graph Representation Learning with Laplacian
        Pooling](https://arxiv.org/abs/1905.11577), Noutahi et al., 2019
    """

    shortest_path_reg: bool = eqx.field(static=True)
    clusters: int | None = eqx.field(static=True)
    in_features: int | None = eqx.field(static=True)
    keeps_loops: bool = eqx.field(static=True)

    @python_numbers
    def __init__(self, shortest_path_reg: bool = False, clusters: int | None = None):
        r"""**Arguments:**

        - `shortest_path_reg`: whether $\boldsymbol{\beta}$ is 1 divided by the number of edges
            between a node and a leader, in either direction, and 0 where there is no way. If not,
            it is 1.
        - `clusters`: room for this many clusters of each graph, instead of for as many as a graph
            can have nodes. To need more is an error at run time.

        **Raises:** `ValueError` for `clusters` below 1.
        """
        if clusters is not None:
            check_positive(clusters=clusters)
        self.shortest_path_reg = shortest_path_reg
        self.clusters = clusters
        self.in_features = None
        self.keeps_loops = False

    @property
    def dtype(self) -> None:
        """Any."""
        return None

    @takes_numpy
    def score(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        batch: BatchVector | Int[Array, " nodes"] | None = None,
        *,
        edge_attr: Shaped[Array, "edges ..."] | None = None,
        size: int | None = None,
    ) -> Float[Array, " nodes"]:
        r"""$v$, how much a node differs from its neighbours; 0 in padding."""
        num_nodes = x.shape[0]
        weight = edge_weights(edge_index, edge_attr, num_nodes, x.dtype)
        x = mask_rows(x, resolve_batch(batch, num_nodes, size).node_mask)

        # Two nodes with no neighbours but each other differ by the same, to the last digit.
        def differences(edges):
            source, target, weight = edges
            return weight[:, None] * (gather(x, source) - gather(x, target))

        edges = (*_real_edges(edge_index, weight, num_nodes), weight)
        total = widened(segment_reduce_by_block(differences, edges, edges[0], num_nodes))
        return root(jnp.sum(total**2, axis=1)).astype(x.dtype)

    def assign(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None = None,
        batch: BatchVector | None = None,
        *,
        choice: Choice = None,
        max_nodes: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> DenseSelectOutput:
        """Finds the leaders, or takes those in `choice`, and how like them each node is."""
        batch, num_nodes = resolve_batch(batch, x.shape[0]), x.shape[0]
        weight = edge_weights(edge_index, edge_attr, num_nodes, x.dtype)
        edges = _real_edges(edge_index, weight, num_nodes)
        score = self.score(jax.lax.stop_gradient(x), edge_index, batch, edge_attr=weight)
        beaten = segment_max(gather(score, edges[1]), edges[0], num_nodes) > score
        own, _ = first_true(batch.node_mask & ~beaten, num_nodes)
        leads = jnp.zeros(num_nodes, bool).at[settle(own, score, choice)].set(True, mode="drop")
        leads = leads & batch.node_mask
        leader, leads, place = self._leaders(leads, batch)
        check_room(leader.size, max_nodes)
        used = leader < num_nodes
        likeness = _cosines(widened(mask_rows(x, batch.node_mask)), leader, batch)
        least = jnp.finfo(likeness.dtype).min
        there = gather(used, batch.index)
        rows = jax.nn.softmax(jnp.where(there, likeness, least), axis=1)
        own_column = place[:, None] == jnp.arange(leader.shape[1], dtype=place.dtype)[None]
        if self.shortest_path_reg:
            steps = _steps(edges, leads[:, None] & own_column).astype(rows.dtype)
            rows = rows * jnp.where((steps > 0) & (steps < num_nodes), 1 / jnp.maximum(steps, 1), 0)
        rows = jnp.where(leads[:, None], own_column.astype(rows.dtype), jnp.where(there, rows, 0))
        return DenseSelectOutput(rows.astype(x.dtype), batch, used=used)

    def reduce(
        self, x: Float[Array, "nodes features"], select: DenseSelectOutput
    ) -> Float[Array, "clusters features"]:
        r"""$\mathbf{S}^\top \mathbf{X}$, graph by graph."""
        return select.reduce(x)

    def losses(
        self,
        select: DenseSelectOutput,
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None,
        batch: BatchVector,
    ) -> dict[str, Float[Array, ""]]:
        """None."""
        return {}

    def _leaders(self, leads, batch):
        """The leaders of each graph, in their order, then padding; who leads, and at which place
        among those of its graph."""
        num_nodes, room = leads.shape[0], max(most_nodes(batch), 1)
        graph = jnp.where(leads, batch.index, batch.num_graphs)
        place = places_in_graph(bounded_batch(graph, batch.num_graphs, batch.max_count))
        if self.clusters is not None and self.clusters < room:
            room = self.clusters
            message = f"a graph has more leaders than clusters={room} has room for; raise clusters"
            leads = error_if(leads, jnp.any(leads & (place >= room)), message)
        leader = jnp.full((batch.num_graphs, room), num_nodes, jnp.int32)
        graph = jnp.where(leads, graph, batch.num_graphs)
        node = jnp.arange(num_nodes, dtype=jnp.int32)
        return leader.at[graph, place].set(node, mode="drop"), leads, place


def _real_edges(edge_index, weight, num_nodes):
    """Without those of weight 0."""
    real = edge_mask(edge_index, num_nodes) & (weight != 0)
    return masked_edges(edge_index, None, real, num_nodes)[0]


def _cosines(x, leader, batch):
    """Of each node and the leaders of its graph."""
    rows = gather(x, leader)
    norm = root(jnp.sum(x**2, axis=1))
    lengths = gather(gather(norm, leader), batch.index)
    return similarities(x, rows, batch) / (norm[:, None] * lengths + _EPS)


def _steps(
    edges: Int[Array, "2 edges"], start: Bool[Array, "nodes columns"]
) -> Int[Array, "nodes columns"]:
    """How many edges, in either direction, each node is away from the nearest node that starts in
    a column; the number of nodes where there is no way."""
    num_nodes = start.shape[0]
    steps = jnp.where(start, 0, num_nodes).astype(jnp.int32)
    steps = steps + varying_zero(jnp.int32, edges, start)

    def round_(state):
        steps, _ = state
        found = steps
        for source, target in (edges, edges[::-1]):
            offered = gather(steps, source, fill_value=num_nodes) + 1
            found = found.at[target].min(offered, mode="drop")
        return found, steps

    return jax.lax.while_loop(
        lambda state: jnp.any(state[0] != state[1]), round_, (steps, steps - 1)
    )[0]
