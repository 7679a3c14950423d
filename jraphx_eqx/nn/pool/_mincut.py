from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from ..._number import python_numbers
from ..._twin import twin
from ...data import BatchVector
from ...ops import segment_sum
from .._check import check_positive
from ._dense import AbstractCutPool, inside
from ._dense_losses import dense_inputs, mean_over, normalized, orthogonality, quotient
from ._dense_selection import DenseSelectOutput
from ._network import made_network, network_logits


class MinCutPooling(AbstractCutPool):
    r"""MinCut pooling: memberships that cut few edges and make clusters of equal sizes.

    $$\mathbf{S} = \mathrm{softmax}(\mathrm{GNN}(\mathbf{X}, \mathbf{A}) / \tau), \qquad
    \mathbf{X}' = \mathbf{S}^\top \mathbf{X}, \qquad
    \mathbf{A}' = \mathbf{D}^{-1/2} \hat{\mathbf{A}} \mathbf{D}^{-1/2}$$

    $\hat{\mathbf{A}}$ is $\mathbf{S}^\top \mathbf{A} \mathbf{S}$ without its diagonal, and
    $\mathbf{D}$ has the sums of its rows. The pooled graph has `clusters` nodes for each graph,
    with an edge from each to each other, and the weights $\mathbf{A}'$ as `edge_attr`. `loss` holds
    `mincut_loss` and `ortho_loss`, the means over the graphs of

    $$-\frac{\mathrm{tr}(\mathbf{S}^\top \mathbf{A} \mathbf{S})}
    {\mathrm{tr}(\mathbf{S}^\top \mathbf{D}_A \mathbf{S})} \qquad \text{and} \qquad
    \left\| \frac{\mathbf{S}^\top \mathbf{S}}{\|\mathbf{S}^\top \mathbf{S}\|_F} -
    \frac{\mathbf{I}}{\sqrt{K}} \right\|_F$$

    In PyG the network is outside, and features of another one are pooled. Those are `x` here, and
    what the network gets is `attn`: `pool(embed(x, ...), edge_index, batch=batch, attn=x)`.

    The same as [`dense_mincut_pool`][jraphx_eqx.nn.pool.dense_mincut_pool] and PyG's, from the edge
    list: it never makes a matrix of nodes by nodes. Where PyG divides 0 by 0, everything is finite
    here, and so are the gradients: a graph without edges has a `mincut_loss` of 0, one without
    nodes does not count, and a cluster without edges to others has weights of 0.

    ??? cite

        [Spectral Clustering with Graph Neural Networks for Graph
        Pooling](https://arxiv.org/abs/1907.00481), Bianchi et al., 2020
    """

    gnn: Callable
    in_features: int = eqx.field(static=True)
    clusters: int = eqx.field(static=True)
    temp: float | int = eqx.field(static=True)
    keeps_loops: bool = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        clusters: int,
        gnn: str | Callable = "linear",
        temp: float | int = 1.0,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        r"""**Arguments:**

        - `in_features`: the number of features of a node, of `attn` if that is given.
        - `clusters`: the number of clusters of each graph.
        - `gnn`: the network, as for [`DiffPooling`][jraphx_eqx.nn.pool.DiffPooling]; by default a
            linear map, as in the paper.
        - `temp`: $\tau$, the temperature of the softmax.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for a size below 1, an unknown `gnn`, and a `temp` that is not
        positive.
        """
        check_positive(in_features=in_features, clusters=clusters)
        _check_temp(temp)
        self.gnn = made_network(gnn, in_features, clusters, dtype, key)
        self.in_features = in_features
        self.clusters = clusters
        self.temp = temp
        self.keeps_loops = False

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
        """What the network returns, divided by the temperature."""
        out = network_logits(self.gnn, self.clusters, x, edge_index, edge_attr, batch, key)
        return out / self.temp

    def graph_losses(
        self,
        select: DenseSelectOutput,
        edge_index: Int[Array, "2 edges"],
        weight: Float[Array, " edges"],
    ) -> dict[str, Float[Array, " graphs"]]:
        """`mincut_loss` and `ortho_loss` of each graph."""
        degree = segment_sum(weight, edge_index[0], select.num_nodes)
        volume = degree * jnp.sum(select.matrix**2, axis=1)
        volume = segment_sum(volume, select.batch.index, select.batch.num_graphs)
        cut = -quotient(inside(select, edge_index, weight), volume)
        ortho = orthogonality(select.product(select.matrix))
        return {"mincut_loss": cut, "ortho_loss": ortho}


def dense_mincut_pool(
    x: Float[Array, "... nodes features"],
    adj: Float[Array, "... nodes nodes"],
    s: Float[Array, "... nodes clusters"],
    mask: Bool[Array, "..."] | None = None,
    temp: float | int = 1.0,
) -> tuple[
    Float[Array, "graphs clusters features"],
    Float[Array, "graphs clusters clusters"],
    Float[Array, ""],
    Float[Array, ""],
]:
    r"""MinCut pooling of graphs that are padded to the same number of nodes.

    Equal to `torch_geometric.nn.dense_mincut_pool` where that is finite. Where it divides 0 by 0,
    this is finite, as [`MinCutPooling`][jraphx_eqx.nn.pool.MinCutPooling] is, which takes the edge
    list.

    **Arguments:**

    - `x`: node features, shape `(graphs, nodes, features)`, or `(nodes, features)` for one graph.
        Rows outside `mask` may hold anything.
    - `adj`: the adjacency matrix, shape `(graphs, nodes, nodes)`. It is not masked, as in PyG, so
        it must be 0 in padding.
    - `s`: the memberships before the softmax, shape `(graphs, nodes, clusters)`.
    - `mask`: False for padding nodes, shape `(graphs, nodes)`. None by default.
    - `temp`: the temperature of the softmax.

    **Returns:** `(x, adj, mincut_loss, ortho_loss)`.
    """
    _check_temp(temp)
    x, adj, s, mask = dense_inputs(x, adj, s, mask)
    s = jax.nn.softmax(s / temp, axis=-1)
    x, s = (jnp.where(mask, rows, 0) for rows in (x, s))
    transposed, real = jnp.swapaxes(s, 1, 2), jnp.any(mask, axis=(1, 2))
    pooled = transposed @ adj @ s
    volume = jnp.sum(jnp.sum(adj, axis=2, keepdims=True) * s**2, axis=(1, 2))
    cut = -quotient(jnp.trace(pooled, axis1=1, axis2=2), volume)
    ortho = orthogonality(transposed @ s)
    return transposed @ x, normalized(pooled), mean_over(cut, real), mean_over(ortho, real)


def _check_temp(temp):
    if not temp > 0:
        raise ValueError(f"temp must be positive, got {temp}")


twin(dense_mincut_pool, "torch_geometric.nn.dense_mincut_pool")
