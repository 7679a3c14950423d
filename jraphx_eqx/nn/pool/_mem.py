import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from ..._number import python_numbers
from ..._twin import IN, OUT, Option, number, twin
from ...data import BatchVector
from ...ops import gather, mask_rows, segment_sum
from .._check import check_positive
from .._linear import Linear
from ._dense import AbstractSoftmaxPool
from ._dense_losses import quotient, widened
from ._dense_selection import DenseSelectOutput

_EPS = 1e-15  # PyG's, below the logarithm


class MemPooling(AbstractSoftmaxPool):
    r"""Memory-based pooling: memberships by how near a node is to learnable keys.

    $$S^{(h)}_{nk} \propto \left(1 + \|\mathbf{x}_n - \mathbf{k}^{(h)}_k\|^2 / \tau
    \right)^{-\frac{\tau + 1}{2}}, \qquad
    \mathbf{S} = \mathrm{softmax}\left(\sum_h w_h \mathbf{S}^{(h)}\right), \qquad
    \mathbf{X}' = \mathbf{S}^\top \mathbf{X} \mathbf{W}$$

    Each head $h$ has `clusters` keys, and its memberships sum to 1. `loss` holds `kl_loss`, which
    pulls memberships towards a sharper $\mathbf{P}$: the sum over the nodes of $\mathrm{KL}(
    \mathbf{P}_n \,\|\, \mathbf{S}_n)$ with $P_{nk} \propto S_{nk}^2 / \sum_n S_{nk}$, divided by
    the number of graphs. $\mathbf{P}$ has a gradient, as in PyG.

    Equal to `torch_geometric.nn.MemPooling`, on the batch as it is: PyG's is wrong for a batch
    vector that is not sorted, and its `kl_loss` is NaN for a graph without nodes, which does not
    count here. Distances are computed without the cancellation of `torch.cdist`. PyG returns no
    edges; here they are those of the other poolings by memberships, $\mathbf{S}^\top \mathbf{A}
    \mathbf{S}$.

    ??? cite

        [Memory-Based Graph Networks](https://arxiv.org/abs/2002.09518), Khasahmadi et al., 2020
    """

    k: Float[Array, "heads clusters features"]
    conv: eqx.nn.Conv2d
    lin: Linear
    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)
    heads: int = eqx.field(static=True)
    clusters: int = eqx.field(static=True)
    tau: float | int = eqx.field(static=True)
    keeps_loops: bool = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        out_features: int,
        heads: int,
        clusters: int,
        tau: float | int = 1.0,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        r"""**Arguments:**

        - `in_features`, `out_features`: the number of features of a node, and of a cluster.
        - `heads`: the number of sets of keys.
        - `clusters`: the number of clusters of each graph.
        - `tau`: $\tau$, the degrees of freedom: the smaller, the less does distance matter.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for a size below 1 and a `tau` that is not positive.
        """
        check_positive(
            in_features=in_features, out_features=out_features, heads=heads, clusters=clusters
        )
        if not tau > 0:
            raise ValueError(f"tau must be positive, got {tau}")
        dtype = jnp.result_type(float) if dtype is None else dtype
        key, conv_key, lin_key = jax.random.split(key, 3)
        self.k = jax.random.uniform(key, (heads, clusters, in_features), dtype, -1, 1)
        self.conv = eqx.nn.Conv2d(heads, 1, 1, use_bias=False, dtype=dtype, key=conv_key)
        self.lin = Linear(in_features, out_features, False, dtype=dtype, key=lin_key)
        self.in_features = in_features
        self.out_features = out_features
        self.heads = heads
        self.clusters = clusters
        self.tau = tau
        self.keeps_loops = True

    @property
    def dtype(self) -> np.dtype:
        """That of the parameters."""
        return self.k.dtype

    def logits(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None,
        batch: BatchVector,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "nodes clusters"]:
        """The memberships by each head, weighed and added."""
        x, keys = mask_rows(x, batch.node_mask), self.k.reshape(-1, self.in_features)
        near = (1 + _squared_distances(x, keys) / self.tau) ** (-(self.tau + 1) / 2)
        near = near.reshape(x.shape[0], self.heads, self.clusters)
        shares = near / jnp.sum(near, axis=2, keepdims=True)
        return jnp.einsum("nhk,h->nk", shares, self.conv.weight.reshape(self.heads))

    def reduce(
        self, x: Float[Array, "nodes features"], select: DenseSelectOutput
    ) -> Float[Array, "clusters out_features"]:
        r"""$\mathbf{S}^\top \mathbf{X} \mathbf{W}$, graph by graph."""
        return self.lin(select.reduce(x))

    def losses(
        self,
        select: DenseSelectOutput,
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None,
        batch: BatchVector,
    ) -> dict[str, Float[Array, ""]]:
        """`kl_loss`, divided by the number of graphs that have nodes."""
        select, index = widened(select), batch.index
        s = select.matrix
        target = quotient(s**2, gather(segment_sum(s, index, batch.num_graphs), index))
        total = jnp.broadcast_to(jnp.sum(target, axis=1, keepdims=True), target.shape)
        target, s = (jnp.where(p < _EPS, _EPS, p) for p in (quotient(target, total), s))
        divergence = jnp.where(
            batch.node_mask, jnp.sum(target * (jnp.log(target) - jnp.log(s)), axis=1), 0
        )
        graphs = jnp.sum(batch.counts > 0, dtype=jnp.int32).astype(s.dtype)
        loss = jnp.sum(divergence) / jnp.maximum(graphs, 1)
        return {"kl_loss": loss.astype(self.dtype)}


@jax.checkpoint
def _squared_distances(x, keys):
    """Of each row of `x` and each key; the differences are made again on the way back."""
    return jnp.sum((x[:, None, :] - keys[None]) ** 2, axis=2)


twin(
    MemPooling,
    "torch_geometric.nn.MemPooling",
    IN,
    OUT,
    "heads",
    Option("clusters", "num_clusters"),
    number("tau"),
)
