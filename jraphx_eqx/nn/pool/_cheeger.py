from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..._number import python_numbers
from ...ops import descending_order, edge_mask, gather, segment_count, segment_sum
from .._mlp import MLP
from ._dense_losses import quotient
from ._dense_mlp import AbstractMLPPool, make_mlp
from ._dense_selection import DenseSelectOutput


class AsymCheegerCutPooling(AbstractMLPPool):
    r"""Memberships that change little along edges, with clusters of equal sizes.

    $$\mathbf{S} = \mathrm{softmax}(\mathrm{MLP}(\mathbf{X})), \qquad
    \mathbf{X}' = \mathbf{S}^\top \mathbf{X}, \qquad
    \mathbf{A}' = \mathbf{D}^{-1/2} \hat{\mathbf{A}} \mathbf{D}^{-1/2}$$

    $\hat{\mathbf{A}}$ is $\mathbf{S}^\top \mathbf{A} \mathbf{S}$ without its diagonal, and
    $\mathbf{D}$ has the sums of its rows. `loss` holds the means over the graphs of

    $$\frac{1}{2 E} \sum_{ij} a_{ij} \|\mathbf{S}_i - \mathbf{S}_j\|_1 \qquad \text{and} \qquad
    1 - \frac{1}{N (K - 1)} \sum_{nk} \rho(S_{nk} - q_k), \qquad \rho(y) = \begin{cases}
    (K - 1) y & y \ge 0 \\ -y & y < 0 \end{cases}$$

    as `total_variation_loss` and `balance_loss`. $q_k$ is the largest membership in cluster $k$ but
    for the $\lfloor N / K \rfloor$ before it.

    The same as torch-geometric-pool's, from the edge list. The second loss of a graph without nodes
    does not count, and that of a single cluster is 0.

    ??? cite

        [Total Variation Graph Neural Networks](https://arxiv.org/abs/2211.06218), Hansen and
        Bianchi, 2023
    """

    mlp: MLP
    in_features: int = eqx.field(static=True)
    clusters: int = eqx.field(static=True)
    keeps_loops: bool = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int | Sequence[int],
        clusters: int,
        act: str | Callable | None = None,
        dropout: float | int = 0.0,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_features`: the number of features of a node; or a list of it and the numbers of
            features between the linear maps of the MLP.
        - `clusters`: the number of clusters of each graph.
        - `act`: the activation between the linear maps, by name or as a callable.
        - `dropout`: the probability in [0, 1) that a feature between them becomes 0 in training.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for a size below 1, an unknown `act` and a `dropout` outside
        [0, 1).
        """
        self.mlp = make_mlp(in_features, clusters, clusters, act, dropout, dtype, key)
        self.in_features = self.mlp.features[0]
        self.clusters = clusters
        self.keeps_loops = False

    def graph_losses(
        self,
        select: DenseSelectOutput,
        edge_index: Int[Array, "2 edges"],
        weight: Float[Array, " edges"],
    ) -> dict[str, Float[Array, " graphs"]]:
        """`total_variation_loss` and `balance_loss` of each graph."""
        return {
            "total_variation_loss": _variation(select, edge_index, weight),
            "balance_loss": _imbalance(select),
        }


def _variation(select, edge_index, weight):
    source, target = (gather(select.matrix, end) for end in edge_index)
    steps = jnp.sum(jnp.abs(source - target), axis=1)
    graphs = select.batch.num_graphs
    graph = gather(select.batch.index, edge_index[0], fill_value=graphs)
    graph = jnp.where(edge_mask(edge_index, select.num_nodes), graph, graphs)
    edges = segment_count(graph, graphs).astype(weight.dtype)
    return segment_sum(weight * steps, graph, graphs) / (2 * jnp.maximum(edges, 1))


def _imbalance(select):
    s, batch, clusters = select.matrix, select.batch, select.matrix.shape[1]
    counts = batch.counts
    if clusters == 1:
        return jnp.zeros(batch.num_graphs, s.dtype)
    rank = jnp.minimum(counts // clusters, counts - 1)
    place = jnp.cumsum(counts) - counts + rank
    order = jax.vmap(lambda column: descending_order(column, batch))(jax.lax.stop_gradient(s.T))
    node = gather(order.T, place)
    quantile = jnp.take_along_axis(s, node, axis=0)
    above = s - gather(quantile, batch.index)
    cost = jnp.sum(jnp.where(above >= 0, (clusters - 1) * above, -above), axis=1)
    cost = segment_sum(cost, batch.index, batch.num_graphs)
    return 1 - quotient(cost, (counts * (clusters - 1)).astype(cost.dtype))
