from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betaln, digamma
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from ..._number import python_numbers
from ...data import BatchVector
from ...data._batch_vector import most_nodes
from ...ops import coalesce, descending_order, edge_mask, gather, mask_rows, segment_sum
from ...ops._varying import varying_zero
from .._mlp import MLP
from ._dense import AbstractDensePool
from ._dense_losses import mean_over, quotient, widened
from ._dense_mlp import make_mlp
from ._dense_selection import DenseSelectOutput


class BNPool(AbstractDensePool):
    r"""Bayesian nonparametric pooling: memberships by breaking a stick, so that few of the clusters
    are used, and no more than are needed.

    $$z_{nk} \sim \mathrm{Beta}(\alpha_{nk}, \beta_{nk}), \qquad
    [\boldsymbol{\alpha} \,\Vert\, \boldsymbol{\beta}] =
    \mathrm{softplus}(\mathrm{MLP}(\mathbf{X})), \qquad
    S_{nk} = z_{nk} \prod_{j < k} (1 - z_{nj})$$

    The last cluster gets what is left, $z_{nK} = 1$. The pooled graph is that of
    [`MinCutPooling`][jraphx_eqx.nn.pool.MinCutPooling]. Edges are rebuilt as $\sigma(\mathbf{S}_i
    \mathbf{K} \mathbf{S}_j^\top)$ with a learnable $\mathbf{K}$, and `loss` holds

    - `quality`: the binary cross entropy of all pairs of nodes of a graph, in which its $E$ edges
        weigh $(N^2 - E) / E$, divided by $N^2$: a mean over the graphs,
    - `kl`: $\eta$ times the sum of $\mathrm{KL}(\mathrm{Beta}(\alpha_{nk}, \beta_{nk}) \,\|\,
        \mathrm{Beta}(1, \alpha_{DP}))$, divided by $N^2$: a mean over the graphs,
    - `K_prior`: $\frac{1}{2 \sigma^2} \|\mathbf{K} - \mathbf{K}_\mu\|^2$ divided by the number of
        graphs, times the mean of $1 / N^2$; $\mathbf{K}_\mu$ is $\mu$ on the diagonal and $-\mu$
        elsewhere.

    In training $z$ is drawn, and `key` must be given. With `inference=True` it is its mean,
    $\alpha / (\alpha + \beta)$; torch-geometric-pool draws it in evaluation as well. Otherwise this
    is the same as its dense form, from the edge list. Weights of edges and double edges play no
    part in `quality`. All pairs of nodes of a graph take time, but never memory at once.

    ??? cite

        [BN-Pool: Bayesian Nonparametric Graph Pooling](https://arxiv.org/abs/2501.09821),
        Castellana and Bianchi, 2025
    """

    mlp: MLP
    K: Float[Array, "clusters clusters"]
    inference: bool
    in_features: int = eqx.field(static=True)
    clusters: int = eqx.field(static=True)
    alpha_dp: float | int = eqx.field(static=True)
    k_var: float | int = eqx.field(static=True)
    k_mu: float | int = eqx.field(static=True)
    eta: float | int = eqx.field(static=True)
    train_k: bool = eqx.field(static=True)
    keeps_loops: bool = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int | Sequence[int],
        clusters: int,
        alpha_dp: float | int = 1.0,
        k_var: float | int = 1.0,
        k_mu: float | int = 10.0,
        k_init: float | int = 1.0,
        eta: float | int = 1.0,
        train_k: bool = True,
        act: str | Callable | None = None,
        dropout: float | int = 0.0,
        inference: bool = False,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        r"""**Arguments:**

        - `in_features`: the number of features of a node; or a list of it and the numbers of
            features between the linear maps of the MLP.
        - `clusters`: the number of clusters of each graph, 2 at least; not all need be used.
        - `alpha_dp`: $\alpha_{DP}$, the larger, the more clusters are used.
        - `k_var`, `k_mu`: $\sigma^2$ and $\mu$ of the prior of $\mathbf{K}$.
        - `k_init`: what $\mathbf{K}$ has at first on its diagonal; elsewhere the negative.
        - `eta`: $\eta$, the weight of `kl`.
        - `train_k`: whether $\mathbf{K}$ is learnt. If not, `K_prior` is 0.
        - `act`: the activation between the linear maps, by name or as a callable.
        - `dropout`: the probability in [0, 1) that a feature between them becomes 0 in training.
        - `inference`: whether means are taken instead of samples.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for `clusters` below 2, for an `alpha_dp`, `k_var` or `eta` that is
        not positive, an unknown `act` and a `dropout` outside [0, 1).
        """
        if clusters < 2:
            raise ValueError(f"clusters must be at least 2, got {clusters}")
        for name, value in {"alpha_dp": alpha_dp, "k_var": k_var, "eta": eta}.items():
            if not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")
        self.mlp = make_mlp(in_features, clusters, 2 * (clusters - 1), act, dropout, dtype, key)
        self.K = k_init * _signs(clusters, self.mlp.lins[0].weight.dtype)
        self.inference = inference
        self.in_features = self.mlp.features[0]
        self.clusters = clusters
        self.alpha_dp = alpha_dp
        self.k_var = k_var
        self.k_mu = k_mu
        self.eta = eta
        self.train_k = train_k
        self.keeps_loops = False

    @property
    def dtype(self) -> np.dtype:
        """That of the parameters."""
        return self.K.dtype

    def memberships(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None,
        batch: BatchVector,
        *,
        key: PRNGKeyArray | None = None,
    ) -> DenseSelectOutput:
        """The memberships, with the parameters of their distributions as `extra`; 0 in padding."""
        drop_key, key = (None, None) if key is None else jax.random.split(key)
        out = self.mlp(mask_rows(x, batch.node_mask), key=drop_key)
        out = jnp.clip(jax.nn.softplus(out), 1e-3, 1e3)
        alpha, beta = jnp.split(out, 2, axis=1)
        if self.inference:
            part = alpha / (alpha + beta)
        elif key is None:
            raise ValueError("key must be given in training; or set inference=True for means")
        else:
            part = jax.random.beta(key, alpha, beta, dtype=out.dtype)
        left = jnp.cumprod(1 - part, axis=1)
        rows = jnp.concatenate([part[:, :1], part[:, 1:] * left[:, :-1], left[:, -1:]], axis=1)
        rows, out = (mask_rows(array, batch.node_mask) for array in (rows, out))
        return DenseSelectOutput(rows, batch, out)

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
        """`quality`, `kl` and `K_prior`."""
        if select.extra is None:
            raise ValueError("select must have the parameters of its distributions as extra")
        dtype, real, index = select.matrix.dtype, batch.counts > 0, batch.index
        select, links = widened((select, self.K if self.train_k else jax.lax.stop_gradient(self.K)))
        pairs = batch.counts.astype(links.dtype) ** 2
        divergence = jnp.where(batch.node_mask, self._divergence(select.extra, batch), 0)
        prior = jnp.zeros((), links.dtype)
        if self.train_k:
            wanted = self.k_mu * _signs(self.clusters, links.dtype)
            prior = jnp.sum((links - wanted) ** 2) / (2 * self.k_var)
        graphs = jnp.maximum(jnp.sum(real, dtype=jnp.int32), 1).astype(links.dtype)
        by_graph = {
            "quality": _reconstruction(select, links, edge_index, pairs),
            "kl": self.eta * segment_sum(divergence, index, batch.num_graphs),
            "K_prior": jnp.broadcast_to(prior / graphs, pairs.shape),
        }
        return {
            name: mean_over(quotient(loss, pairs), real).astype(dtype)
            for name, loss in by_graph.items()
        }

    def _divergence(self, parameters, batch):
        """Of each node from the prior."""
        a, b = jnp.split(jnp.where(batch.node_mask[:, None], parameters, 1), 2, axis=1)
        prior = self.alpha_dp
        at_prior = betaln(jnp.ones((), a.dtype), jnp.asarray(prior, a.dtype))
        terms = (a - 1) * digamma(a) + (b - prior) * digamma(b)
        terms = terms + (1 - a + prior - b) * digamma(a + b)
        return jnp.sum(at_prior - betaln(a, b) + terms, axis=1)


def _signs(clusters, dtype):
    return 2 * jnp.eye(clusters, dtype=dtype) - 1


def _reconstruction(select, links, edge_index, pairs):
    """The cross entropy of each graph, over all its pairs of nodes."""
    batch, left = select.batch, select.matrix @ links
    edges, _ = coalesce(edge_index, None, select.num_nodes)
    graph = gather(batch.index, edges[0], fill_value=batch.num_graphs)
    real = edge_mask(edges, select.num_nodes)
    logit = jnp.sum(gather(left, edges[0]) * gather(select.matrix, edges[1]), axis=1)
    number = segment_sum(real.astype(logit.dtype), graph, batch.num_graphs)
    balance = jnp.maximum(pairs - number, 1) / jnp.maximum(number, 1)
    edge_cost = gather(balance, graph) * jax.nn.softplus(-logit) - jax.nn.softplus(logit)
    edge_cost = segment_sum(jnp.where(real, edge_cost, 0), graph, batch.num_graphs)
    return edge_cost + segment_sum(_as_non_edges(select, left), batch.index, batch.num_graphs)


def _as_non_edges(select, left):
    """The cost of each node's pairs with all nodes of its graph, were there no edge; one of these
    after another, and again on the way back, so that no array has a row for each pair."""
    batch = select.batch
    order = descending_order(jnp.zeros(select.num_nodes, left.dtype), batch)
    count = gather(batch.counts, batch.index)
    first = gather(jnp.cumsum(batch.counts) - batch.counts, batch.index)

    @jax.checkpoint
    def cost(left, matrix, place):
        other = gather(matrix, gather(order, first + place, fill_value=select.num_nodes))
        return jnp.where(place < count, jax.nn.softplus(jnp.sum(left * other, axis=1)), 0)

    def step(total, place):
        return total + cost(left, select.matrix, place), None

    places = jnp.arange(most_nodes(batch), dtype=count.dtype)
    start = jnp.zeros_like(left[:, 0]) + varying_zero(left.dtype, left, count)
    return jax.lax.scan(step, start, places)[0]
