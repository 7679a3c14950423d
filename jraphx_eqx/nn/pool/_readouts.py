"""Readouts by the names that JraphX has for them."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..._twin import twin
from ...data import BatchVector, resolve_batch
from ...ops import mask_rows
from ...ops._attend import segment_attend
from .._check import check_features
from .._entry import one_program
from ..aggr import SortAggregation


@one_program
def global_softmax_pool(
    x: Float[Array, "nodes features"],
    batch: BatchVector | Int[Array, " nodes"] | None = None,
    size: int | None = None,
    temperature: float | int = 1.0,
) -> Float[Array, "graphs features"]:
    r"""Adds the nodes of each graph, each weighted by the softmax of the sum of its features.

    $$\mathbf{r}_i = \sum_n \mathrm{softmax}\left(\tfrac{1}{T} \sum_f x_{nf}\right)_n \mathbf{x}_n$$

    As JraphX's function of that name. PyG's
    [`SoftmaxAggregation`][jraphx_eqx.nn.aggr.SoftmaxAggregation] has a softmax for each feature.

    **Arguments:**

    - `x`: node features, shape `(nodes, features)`.
    - `batch`, `size`: as for [`global_add_pool`][jraphx_eqx.nn.pool.global_add_pool].
    - `temperature`: $T$.

    **Returns:** shape `(graphs, features)`. A graph without nodes gives 0.
    """
    check_features(x, None, None)
    batch = resolve_batch(batch, x.shape[0], size)
    x = mask_rows(x, batch.node_mask)
    score = jnp.sum(x, axis=1, keepdims=True) / temperature
    return segment_attend(score, x, batch.index, batch.num_graphs)


@one_program
def global_sort_pool(
    x: Float[Array, "nodes features"],
    batch: BatchVector | Int[Array, " nodes"] | None = None,
    k: int = 10,
    size: int | None = None,
) -> Float[Array, "graphs k_features"]:
    """The first `k` nodes of each graph by their last feature, in descending order, side by side.

    As JraphX's function of that name, and PyG's of `torch_geometric.nn.glob`; the same as
    [`SortAggregation(k)`][jraphx_eqx.nn.aggr.SortAggregation].

    **Arguments:**

    - `x`: node features, shape `(nodes, features)`.
    - `batch`, `size`: as for [`global_add_pool`][jraphx_eqx.nn.pool.global_add_pool].
    - `k`: the number of nodes.

    **Returns:** shape `(graphs, k * features)`, with zeros where there are fewer nodes.
    """
    check_features(x, None, None)
    return SortAggregation(k).aggregate(x, resolve_batch(batch, x.shape[0], size))


twin(global_sort_pool, "torch_geometric.nn.glob.global_sort_pool")
