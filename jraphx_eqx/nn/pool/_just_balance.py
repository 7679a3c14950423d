from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..._number import python_numbers
from .._mlp import MLP
from ._dense_losses import cluster_lengths, quotient, root
from ._dense_mlp import AbstractMLPPool, make_mlp
from ._dense_selection import DenseSelectOutput


class JustBalancePooling(AbstractMLPPool):
    r"""Memberships with clusters of equal sizes: after message passing, nothing else is asked for.

    $$\mathbf{S} = \mathrm{softmax}(\mathrm{MLP}(\mathbf{X})), \qquad
    \mathbf{X}' = \mathbf{S}^\top \mathbf{X}, \qquad
    \mathbf{A}' = \mathbf{D}^{-1/2} \hat{\mathbf{A}} \mathbf{D}^{-1/2}$$

    $\hat{\mathbf{A}}$ is $\mathbf{S}^\top \mathbf{A} \mathbf{S}$ without its diagonal, and
    $\mathbf{D}$ has the sums of its rows. `loss` holds the mean over the graphs of

    $$-\frac{1}{\sqrt{N K}} \sum_k \sqrt{(\mathbf{S}^\top \mathbf{S})_{kk}}$$

    as `balance_loss`. The paper applies it after layers with a propagation matrix of its own.

    The same as torch-geometric-pool's, from the edge list. A graph without nodes does not count.

    ??? cite

        [Simplifying Clustering with Graph Neural Networks](https://arxiv.org/abs/2207.08779),
        Bianchi, 2023
    """

    mlp: MLP
    in_features: int = eqx.field(static=True)
    clusters: int = eqx.field(static=True)
    normalize_loss: bool = eqx.field(static=True)
    keeps_loops: bool = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int | Sequence[int],
        clusters: int,
        act: str | Callable | None = None,
        dropout: float | int = 0.0,
        normalize_loss: bool = True,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        r"""**Arguments:**

        - `in_features`: the number of features of a node; or a list of it and the numbers of
            features between the linear maps of the MLP.
        - `clusters`: the number of clusters of each graph.
        - `act`: the activation between the linear maps, by name or as a callable.
        - `dropout`: the probability in [0, 1) that a feature between them becomes 0 in training.
        - `normalize_loss`: whether the loss is divided by $\sqrt{N K}$.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for a size below 1, an unknown `act` and a `dropout` outside
        [0, 1).
        """
        self.mlp = make_mlp(in_features, clusters, clusters, act, dropout, dtype, key)
        self.in_features = self.mlp.features[0]
        self.clusters = clusters
        self.normalize_loss = normalize_loss
        self.keeps_loops = False

    def graph_losses(
        self,
        select: DenseSelectOutput,
        edge_index: Int[Array, "2 edges"],
        weight: Float[Array, " edges"],
    ) -> dict[str, Float[Array, " graphs"]]:
        """`balance_loss` of each graph."""
        loss = -jnp.sum(cluster_lengths(select), axis=1)
        if self.normalize_loss:
            loss = quotient(loss, root(select.batch.counts.astype(loss.dtype) * self.clusters))
        return {"balance_loss": loss}
