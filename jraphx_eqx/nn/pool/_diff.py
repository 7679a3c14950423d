from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from ..._number import python_numbers
from ..._twin import twin
from ...data import BatchVector
from ...ops import coalesce, gather, wide_dtype
from .._check import check_positive
from ._dense import AbstractSoftmaxPool, edge_weights
from ._dense_losses import root
from ._dense_selection import DenseSelectOutput
from ._network import made_network, network_logits

_EPS = 1e-15  # PyG's, in the logarithm


class DiffPooling(AbstractSoftmaxPool):
    r"""Differentiable pooling: a network gives each node a membership in each of `clusters`
    clusters of its graph.

    $$\mathbf{S} = \mathrm{softmax}(\mathrm{GNN}(\mathbf{X}, \mathbf{A})), \qquad
    \mathbf{X}' = \mathbf{S}^\top \mathbf{X}, \qquad
    \mathbf{A}' = \mathbf{S}^\top \mathbf{A} \mathbf{S}$$

    The pooled graph has `clusters` nodes for each graph, with an edge from each to each, and the
    weights $\mathbf{A}'$ as `edge_attr`. `loss` holds `link_loss` and `entropy_loss`,

    $$\frac{\|\mathbf{A} - \mathbf{S} \mathbf{S}^\top\|_F}{\sum_b N_b^2} \qquad \text{and} \qquad
    \frac{1}{N} \sum_n H(\mathbf{S}_n)$$

    In PyG the network is outside, and features of another one are pooled. Those are `x` here, and
    what the network gets is `attn`: `pool(embed(x, ...), edge_index, batch=batch, attn=x)`.

    The same as [`dense_diff_pool`][jraphx_eqx.nn.pool.dense_diff_pool] and PyG's, from the edge
    list and without padding: it never makes a matrix of nodes by nodes, and the losses are divided
    by what is real. There they are divided by the size of the padded batch, so that a graph costs
    less beside a larger one.

    ??? cite

        [Hierarchical Graph Representation Learning with Differentiable
        Pooling](https://arxiv.org/abs/1806.08804), Ying et al., 2018
    """

    gnn: Callable
    in_features: int = eqx.field(static=True)
    clusters: int = eqx.field(static=True)
    normalize: bool = eqx.field(static=True)
    keeps_loops: bool = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        clusters: int,
        gnn: str | Callable = "graph",
        normalize: bool = True,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_features`: the number of features of a node, of `attn` if that is given.
        - `clusters`: the number of clusters of each graph.
        - `gnn`: `"graph"` ([`GraphConv`][jraphx_eqx.nn.conv.GraphConv]), `"gcn"`
            ([`GCNConv`][jraphx_eqx.nn.conv.GCNConv]) or `"linear"`
            ([`Linear`][jraphx_eqx.nn.Linear]); or a callable
            `(x, edge_index, edge_weight) -> logits` of shape `(nodes, clusters)`, where
            `edge_weight` may be `None`. Padding nodes reach it as rows of zeros, for which it must
            return finite numbers with finite gradients. A layer of `jraphx_eqx.nn.conv` is called
            as ever, with the weights if it is one of those named.
        - `normalize`: whether `link_loss` is divided by the number of pairs of nodes.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for a size below 1 and for an unknown `gnn`.
        """
        check_positive(in_features=in_features, clusters=clusters)
        self.gnn = made_network(gnn, in_features, clusters, dtype, key)
        self.in_features = in_features
        self.clusters = clusters
        self.normalize = normalize
        self.keeps_loops = True

    @property
    def dtype(self) -> None:
        """Any: the network checks it."""
        return None

    def logits(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None,
        batch: BatchVector,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "nodes clusters"]:
        """What the network returns."""
        return network_logits(self.gnn, self.clusters, x, edge_index, edge_attr, batch, key)

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
        """`link_loss` and `entropy_loss`, of what is real."""
        dtype = select.matrix.dtype
        weight = edge_weights(edge_index, edge_attr, select.num_nodes, dtype)
        link = _distance(select, edge_index, weight)
        counts = batch.counts.astype(dtype)
        if self.normalize:
            link = link / jnp.maximum(jnp.sum(counts**2), 1)
        entropy = jnp.sum(_entropy(select.matrix)) / jnp.maximum(jnp.sum(counts), 1)
        return {"link_loss": link, "entropy_loss": entropy}


def dense_diff_pool(
    x: Float[Array, "... nodes features"],
    adj: Float[Array, "... nodes nodes"],
    s: Float[Array, "... nodes clusters"],
    mask: Bool[Array, "..."] | None = None,
    normalize: bool = True,
) -> tuple[
    Float[Array, "graphs clusters features"],
    Float[Array, "graphs clusters clusters"],
    Float[Array, ""],
    Float[Array, ""],
]:
    r"""Differentiable pooling of graphs that are padded to the same number of nodes.

    Equal to `torch_geometric.nn.dense_diff_pool`, its losses included: they are divided by the size
    of the padded batch. [`DiffPooling`][jraphx_eqx.nn.pool.DiffPooling] takes the edge list.

    **Arguments:**

    - `x`: node features, shape `(graphs, nodes, features)`, or `(nodes, features)` for one graph.
        Rows outside `mask` may hold anything.
    - `adj`: the adjacency matrix, shape `(graphs, nodes, nodes)`; one for all has 1 graph. It is
        not masked, as in PyG, so it must be 0 in padding.
    - `s`: the memberships before the softmax, shape `(graphs, nodes, clusters)`.
    - `mask`: False for padding nodes, shape `(graphs, nodes)`. None by default.
    - `normalize`: whether the first loss is divided by the number of entries of `adj`.

    **Returns:** `(x, adj, link_loss, entropy_loss)`: pooled features and weights, and
    $\|\mathbf{A} - \mathbf{S} \mathbf{S}^\top\|_F$ and the mean entropy of a row of $\mathbf{S}$.
    """
    x, adj, s = (array[None] if array.ndim == 2 else array for array in (x, adj, s))
    s = jax.nn.softmax(s, axis=-1)
    if mask is not None:
        real = mask.reshape(*x.shape[:2], 1)
        x, s = jnp.where(real, x, 0), jnp.where(real, s, 0)
    transposed = jnp.swapaxes(s, 1, 2)
    link = root(jnp.sum((adj - s @ transposed) ** 2))
    if normalize:
        link = link / adj.size
    return transposed @ x, transposed @ adj @ s, link, jnp.mean(_entropy(s))


def _entropy(s):
    # 1e-15 is nothing in half precision.
    wide = s.astype(wide_dtype(s.dtype))
    return jnp.sum(-wide * jnp.log(wide + _EPS), axis=-1).astype(s.dtype)


def _distance(select, edge_index, weight):
    """The norm of A - SSᵀ from the edges: the entries with an edge, and the sum of the squares of
    SSᵀ without them."""
    edge_index, weight = coalesce(edge_index, weight, select.num_nodes)
    assert weight is not None
    source, target = (gather(select.matrix, end) for end in edge_index)
    near = jnp.sum(source * target, axis=1)
    gram = select.product(select.matrix)
    # What is left of a difference of equal numbers may be negative.
    others = jnp.maximum(jnp.sum(gram**2) - jnp.sum(near**2), 0)
    return root(jnp.sum((weight - near) ** 2) + others)


twin(dense_diff_pool, "torch_geometric.nn.dense_diff_pool")
