from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..._number import python_numbers
from ...ops import segment_sum
from .._mlp import MLP
from ._dense import neighbours
from ._dense_losses import cluster_lengths, orthogonality, quotient, root
from ._dense_mlp import AbstractMLPPool, make_mlp
from ._dense_selection import DenseSelectOutput


class HOSCPooling(AbstractMLPPool):
    r"""Higher-order clustering: memberships that cut few edges and few motifs of three edges.

    $$\mathbf{S} = \mathrm{softmax}(\mathrm{MLP}(\mathbf{X})), \qquad
    \mathbf{X}' = \mathbf{S}^\top \mathbf{X}, \qquad
    \mathbf{A}' = \mathbf{D}^{-1/2} \hat{\mathbf{A}} \mathbf{D}^{-1/2}$$

    $\hat{\mathbf{A}}$ is $\mathbf{S}^\top \mathbf{A} \mathbf{S}$ without its diagonal, and
    $\mathbf{D}$ has the sums of its rows. `loss` holds the means over the graphs of

    $$-\frac{1 - \alpha}{K} \frac{\mathrm{tr}(\mathbf{S}^\top \mathbf{A} \mathbf{S})}{
    \mathrm{tr}(\mathbf{S}^\top \mathbf{D}_1 \mathbf{S})} - \frac{\alpha}{K}
    \frac{\mathrm{tr}(\mathbf{S}^\top \mathbf{A}^3 \mathbf{S})}{
    \mathrm{tr}(\mathbf{S}^\top \mathbf{D}_3 \mathbf{S})} \qquad \text{and} \qquad
    \mu \left\| \frac{\mathbf{S}^\top \mathbf{S}}{\|\mathbf{S}^\top \mathbf{S}\|_F} -
    \frac{\mathbf{I}}{\sqrt{K}} \right\|_F$$

    as `hosc_loss` and `ortho_loss`, where $\mathbf{D}_p$ has the sums of the rows of
    $\mathbf{A}^p$. No power of $\mathbf{A}$ is made: it is applied three times to $\mathbf{S}$.

    The same as torch-geometric-pool's, from the edge list, except for one mistake: with its
    default, `remove_self_loops=True`, the first trace is that of a matrix whose diagonal has become
    0, so that edges do not count. What divides 0 by 0 there is 0 here. Degrees are those of the
    sources of edges, there of the targets, which matters for edges in one direction only.

    ??? cite

        [Higher-order Clustering and Pooling for Graph Neural
        Networks](https://arxiv.org/abs/2209.03473), Duval and Malliaros, 2022
    """

    mlp: MLP
    in_features: int = eqx.field(static=True)
    clusters: int = eqx.field(static=True)
    mu: float | int = eqx.field(static=True)
    alpha: float | int = eqx.field(static=True)
    hosc_ortho: bool = eqx.field(static=True)
    keeps_loops: bool = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int | Sequence[int],
        clusters: int,
        act: str | Callable | None = None,
        dropout: float | int = 0.0,
        mu: float | int = 0.1,
        alpha: float | int = 0.5,
        hosc_ortho: bool = False,
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
        - `mu`: $\mu$, the weight of `ortho_loss`.
        - `alpha`: $\alpha$ in [0, 1], how much motifs count against edges.
        - `hosc_ortho`: whether `ortho_loss` is $\mu (\sqrt{K} - \frac{1}{\sqrt{N}} \sum_k
            \|\mathbf{S}_{:k}\|) / (\sqrt{K} - 1)$ instead.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for a size below 1, an unknown `act`, a `dropout` outside [0, 1),
        and an `alpha` outside [0, 1].
        """
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must be in [0, 1], got {alpha}")
        self.mlp = make_mlp(in_features, clusters, clusters, act, dropout, dtype, key)
        self.in_features = self.mlp.features[0]
        self.clusters = clusters
        self.mu = mu
        self.alpha = alpha
        self.hosc_ortho = hosc_ortho
        self.keeps_loops = False

    def graph_losses(
        self,
        select: DenseSelectOutput,
        edge_index: Int[Array, "2 edges"],
        weight: Float[Array, " edges"],
    ) -> dict[str, Float[Array, " graphs"]]:
        """`hosc_loss` and `ortho_loss` of each graph."""
        cut = self._cut(select, edge_index, weight) / self.clusters
        return {"hosc_loss": cut, "ortho_loss": self.mu * self._ortho(select)}

    def _cut(self, select, edge_index, weight):
        s, one = select.matrix, jnp.ones((select.num_nodes, 1), weight.dtype)
        rows, total = jnp.concatenate([s, one], axis=1), 0
        for share, steps in ((1 - self.alpha, 1), (self.alpha, 2)):
            for _ in range(steps):  # A and A³, of the memberships and of ones.
                rows = neighbours(rows, edge_index, weight)
            near, degree = rows[:, :-1], rows[:, -1]
            parts = jnp.sum(s * near, axis=1), jnp.sum(s**2, axis=1) * degree
            inner, volume = (
                segment_sum(part, select.batch.index, select.batch.num_graphs) for part in parts
            )
            total = total - share * quotient(inner, volume)
        return total

    def _ortho(self, select):
        if not self.hosc_ortho:
            return orthogonality(select.product(select.matrix))
        lengths = jnp.sum(cluster_lengths(select), axis=1)
        if self.clusters == 1:
            return jnp.zeros_like(lengths)
        size, root_k = root(select.batch.counts.astype(lengths.dtype)), self.clusters**0.5
        return (root_k - quotient(lengths, size)) / (root_k - 1)
