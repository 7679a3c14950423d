from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from ..._number import python_numbers
from ..._twin import IN, twin
from ...data import BatchVector, resolve_batch
from ...ops import edge_mask, masked_matmul, segment_sum
from .._check import check_positive
from .._entry import takes_numpy
from ._dense import edge_weights
from ._keep import AbstractKeepPool
from ._select_topk import KEEPS, STAGES, SelectTopK


class PANPooling(AbstractKeepPool):
    r"""Path integral pooling: keeps nodes by their features and by the walks that begin at them.

    $$\mathbf{y} = \sigma\left(\beta_0 \mathbf{X} \mathbf{p} + \beta_1 \mathbf{M}^\top \mathbf{1}
    \right), \qquad
    \mathbf{i} = \mathrm{top}_k(\mathbf{y}), \qquad
    \mathbf{X}' = (\mathbf{X} \odot \mathbf{y})_{\mathbf{i}}, \qquad
    \mathbf{M}' = \mathbf{M}_{\mathbf{i},\mathbf{i}}$$

    The entries of $\mathbf{M}$ are the weights of edges, from a column to a row, as
    [`PANConv`][jraphx_eqx.nn.conv.PANConv] returns them: `edge_index` and `edge_attr`.

    Equal to `torch_geometric.nn.PANPooling`, except that ties go to the lowest index, and that
    `select.weight`, whose sign multiplies the scores, starts at 1, as that of
    [`SAGPooling`][jraphx_eqx.nn.pool.SAGPooling] does.

    ??? cite

        [Path Integral Based Convolution and Pooling for Graph Neural
        Networks](https://arxiv.org/abs/2006.16811), Ma et al., 2020
    """

    p: Float[Array, " features"]
    beta: Float[Array, " 2"]
    select: SelectTopK
    in_features: int = eqx.field(static=True)
    multiplier: float | int = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        ratio: float | int | None = 0.5,
        min_score: float | int | None = None,
        multiplier: float | int = 1.0,
        nonlinearity: str | Callable = "tanh",
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:** as [`TopKPooling`][jraphx_eqx.nn.pool.TopKPooling]."""
        check_positive(in_features=in_features)
        select = SelectTopK(1, ratio, min_score, nonlinearity, dtype=dtype, key=key)
        self.select = eqx.tree_at(lambda s: s.weight, select, replace_fn=jnp.ones_like)
        self.p = jnp.ones(in_features, self.select.weight.dtype)
        self.beta = jnp.full(2, 0.5, self.p.dtype)
        self.in_features = in_features
        self.multiplier = multiplier

    @takes_numpy
    def score(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        batch: BatchVector | Int[Array, " nodes"] | None = None,
        *,
        edge_attr: Shaped[Array, "edges ..."] | None = None,
        size: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, " nodes"]:
        """The score of each node, after the nonlinearity or softmax."""
        batch, num_nodes = resolve_batch(batch, x.shape[0], size), x.shape[0]
        weight = edge_weights(edge_index, edge_attr, num_nodes, self.p.dtype)
        source = jnp.where(edge_mask(edge_index, num_nodes), edge_index[0], num_nodes)
        walks = segment_sum(weight, source, num_nodes)
        score = self.beta[0] * masked_matmul(x, self.p, batch.node_mask) + self.beta[1] * walks
        return self.select.score(score[:, None], batch)


twin(PANPooling, "torch_geometric.nn.PANPooling", IN, *KEEPS, holds=STAGES)
