from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from ..._number import python_numbers
from ..._twin import DROPOUT, NoTwin, Option, twin
from ...data import BatchVector
from ...ops import mask_rows, segment_sum
from .._check import check_positive
from .._layer import apply_dropout, make_dropout
from .._mlp import MLP
from ._dense import AbstractSoftmaxPool, edge_weights, inside
from ._dense_losses import (
    dense_inputs,
    mean_over,
    normalized,
    orthogonality,
    quotient,
    root,
    widened,
)
from ._dense_selection import DenseSelectOutput


class DMoNPooling(AbstractSoftmaxPool):
    r"""Deep modularity networks: memberships with more edges inside of clusters than by chance.

    $$\mathbf{S} = \mathrm{softmax}(\mathrm{MLP}(\mathbf{X})), \qquad
    \mathbf{X}' = \mathrm{selu}(\mathbf{S}^\top \mathbf{X}), \qquad
    \mathbf{A}' = \mathbf{D}^{-1/2} \hat{\mathbf{A}} \mathbf{D}^{-1/2}$$

    $\hat{\mathbf{A}}$ is $\mathbf{S}^\top \mathbf{A} \mathbf{S}$ without its diagonal, and
    $\mathbf{D}$ has the sums of its rows. The pooled graph has `clusters` nodes for each graph,
    with an edge from each to each other, and the weights $\mathbf{A}'$ as `edge_attr`. With
    $\mathbf{d}$ the sums of the rows of $\mathbf{A}$, and $2m$ their sum, `loss` holds the means
    over the graphs of

    $$-\frac{1}{2m} \mathrm{tr}\left(\mathbf{S}^\top \left(\mathbf{A} -
    \frac{\mathbf{d} \mathbf{d}^\top}{2m}\right) \mathbf{S}\right), \qquad
    \left\| \frac{\mathbf{S}^\top \mathbf{S}}{\|\mathbf{S}^\top \mathbf{S}\|_F} -
    \frac{\mathbf{I}}{\sqrt{K}} \right\|_F, \qquad
    \frac{\sqrt{K}}{N} \left\| \sum_n \mathbf{S}_n \right\| - 1$$

    as `spectral_loss`, `ortho_loss` and `cluster_loss`.

    The same as `torch_geometric.nn.DMoNPooling`, from the edge list and without a matrix of nodes
    by nodes, except that PyG's `cluster_loss` divides each graph by the sizes of all graphs of the
    batch. `pyg_compat=True` does that as well. Where PyG divides 0 by 0, everything is finite here:
    a graph without edges has a `spectral_loss` of 0, one without nodes does not count, and a
    cluster without edges to others has weights of 0.
    [`dense`][jraphx_eqx.nn.pool.DMoNPooling.dense] takes what PyG's takes.

    ??? cite

        [Graph Clustering with Graph Neural Networks](https://arxiv.org/abs/2006.16904), Tsitsulin
        et al., 2023
    """

    mlp: MLP
    dropout: eqx.nn.Dropout
    in_features: int = eqx.field(static=True)
    clusters: int = eqx.field(static=True)
    pyg_compat: bool = eqx.field(static=True)
    keeps_loops: bool = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int | Sequence[int],
        clusters: int,
        dropout: float | int = 0.0,
        pyg_compat: bool = False,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_features`: the number of features of a node; or a list of it and the numbers of
            features between the linear maps of the MLP, between which there is nothing else.
        - `clusters`: the number of clusters of each graph.
        - `dropout`: the probability in [0, 1) that a logit becomes 0 in training.
        - `pyg_compat`: whether `cluster_loss` is PyG's.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for a size below 1 and a `dropout` outside [0, 1).
        """
        widths = [in_features] if isinstance(in_features, int) else list(in_features)
        if not widths:
            raise ValueError("in_features must hold at least one number, got none")
        check_positive(in_features=min(widths), clusters=clusters)
        self.mlp = MLP([*widths, clusters], act=None, norm=None, dtype=dtype, key=key)
        self.dropout = make_dropout(dropout)
        self.in_features = widths[0]
        self.clusters = clusters
        self.pyg_compat = pyg_compat
        self.keeps_loops = False

    @property
    def dtype(self) -> np.dtype:
        """That of the parameters."""
        return self.mlp.lins[0].weight.dtype

    def logits(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None,
        batch: BatchVector,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "nodes clusters"]:
        """What the MLP returns, after dropout."""
        out = self.mlp(mask_rows(x, batch.node_mask))
        return apply_dropout(self.dropout, out, key)

    def reduce(
        self, x: Float[Array, "nodes features"], select: DenseSelectOutput
    ) -> Float[Array, "clusters features"]:
        r"""$\mathrm{selu}(\mathbf{S}^\top \mathbf{X})$, graph by graph."""
        return jax.nn.selu(select.reduce(x))

    def losses(
        self,
        select: DenseSelectOutput,
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None,
        batch: BatchVector,
    ) -> dict[str, Float[Array, ""]]:
        """`spectral_loss`, `ortho_loss` and `cluster_loss`, means over the graphs with nodes."""
        dtype = select.matrix.dtype
        weight = edge_weights(edge_index, edge_attr, select.num_nodes, dtype)
        select, weight = widened(select), widened(weight)
        degree = segment_sum(weight, edge_index[0], select.num_nodes)
        degree = jnp.where(batch.node_mask, degree, 0)
        one = jnp.ones_like(degree)
        sums = select.product(jnp.stack([degree, one], axis=1))
        losses = self._losses(
            inside(select, edge_index, weight),
            segment_sum(degree, batch.index, batch.num_graphs),
            sums[:, :, 0],
            sums[:, :, 1],
            select.product(select.matrix),
            batch.counts,
        )
        return {name: loss.astype(dtype) for name, loss in losses.items()}

    def dense(
        self,
        x: Float[Array, "... nodes features"],
        adj: Float[Array, "... nodes nodes"],
        mask: Bool[Array, "..."] | None = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[
        Float[Array, "graphs nodes clusters"],
        Float[Array, "graphs clusters features"],
        Float[Array, "graphs clusters clusters"],
        Float[Array, ""],
        Float[Array, ""],
        Float[Array, ""],
    ]:
        """What PyG's takes and returns, for graphs that are padded to the same number of nodes.

        **Arguments:**

        - `x`: node features, shape `(graphs, nodes, in_features)`, or `(nodes, in_features)` for
            one graph. Rows outside `mask` may hold anything.
        - `adj`: the adjacency matrix, shape `(graphs, nodes, nodes)`. It is not masked, as in PyG,
            so it must be 0 in padding.
        - `mask`: False for padding nodes, shape `(graphs, nodes)`. None by default.
        - `key`: for dropout.

        **Returns:** `(s, x, adj, spectral_loss, ortho_loss, cluster_loss)`; `s` are the
        memberships.
        """
        x, adj, _, mask = dense_inputs(x, adj, x, mask)
        x = jnp.where(mask, x, 0)
        logits = self.mlp(x.reshape(-1, x.shape[2])).reshape(*x.shape[:2], self.clusters)
        s = jax.nn.softmax(apply_dropout(self.dropout, logits, key), axis=-1)
        s = jnp.where(mask, s, 0)
        transposed = jnp.swapaxes(s, 1, 2)
        pooled = transposed @ adj @ s
        degree = jnp.where(mask, jnp.sum(adj, axis=2, keepdims=True), 0)
        losses = self._losses(
            jnp.trace(pooled, axis1=1, axis2=2),
            jnp.sum(degree, axis=(1, 2)),
            (transposed @ degree)[:, :, 0],
            jnp.sum(s, axis=1),
            transposed @ s,
            jnp.sum(mask, axis=(1, 2), dtype=jnp.int32),
        )
        spectral, ortho, cluster = losses.values()
        out = jax.nn.selu(transposed @ x)
        return s, out, normalized(pooled), spectral, ortho, cluster

    def _losses(self, trace, volume, degrees, sizes, gram, counts):
        """From what each graph has: tr(SᵀAS), 2m, Sᵀd, Sᵀ1, SᵀS, and its number of nodes."""
        real = counts > 0
        chance = quotient(jnp.sum(degrees**2, axis=1), volume)
        spectral = -quotient(trace - chance, volume)
        length = root(jnp.sum(sizes**2, axis=1))
        share = quotient(jnp.ones_like(length), counts.astype(length.dtype))
        if self.pyg_compat:
            share = jnp.broadcast_to(mean_over(share, real), share.shape)
        cluster = length * share * self.clusters**0.5 - 1
        return {
            "spectral_loss": mean_over(spectral, real),
            "ortho_loss": mean_over(orthogonality(gram), real),
            "cluster_loss": mean_over(cluster, real),
        }


def _pyg_widths(mlp):
    plain = mlp.act is None and not any(mlp.dropout)
    if not plain or any(lin.bias is None for lin in mlp.lins):
        raise NoTwin(f"={mlp}", "it must be made of linear maps with a bias alone")
    return mlp.channel_list[:-1]


twin(
    DMoNPooling,
    "torch_geometric.nn.DMoNPooling",
    Option(
        "in_features",
        "channels",
        at="mlp.features",
        theirs_at="mlp",
        read=_pyg_widths,
        write=lambda features: list(features[:-1]),
    ),
    Option("clusters", "k", theirs_at="mlp.channel_list.-1"),
    DROPOUT,
    only_ours={
        "pyg_compat": (True, "PyG's cluster_loss is another one. Make it with pyg_compat=True")
    },
    inference="dropout.inference",
)
