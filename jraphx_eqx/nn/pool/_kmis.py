from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from ..._number import python_numbers
from ...data import BatchVector, resolve_batch
from ...ops import (
    coalesce,
    descending_order,
    edge_mask,
    first_true,
    gather,
    independent_nodes,
    lowest_rank,
    mask_rows,
    masked_edges,
    segment_sum,
)
from .._check import check_positive
from .._entry import takes_numpy
from .._linear import Linear
from ._choice import Choice, settle
from ._cluster import (
    AbstractClusterPool,
    check_edges,
    check_lift,
    keep_features,
    lift_by_weights,
    select_clusters,
)
from ._dense import edge_weights
from ._dense_losses import quotient
from ._selection import OverlapSelectOutput, SelectOutput

SCORERS = ("linear", "degree", "random", "constant", "canonical")
HEURISTICS = (None, "greedy", "w-greedy")


class KMISPooling(AbstractClusterPool):
    r"""Keeps nodes that are more than $k$ steps apart, the best first, and merges each of the
    others into the best kept one within $k$ steps: a maximal $k$-independent set.

    $$\mathbf{s} = \sigma(\mathbf{X} \mathbf{w} + b), \qquad
    \mathbf{r} = \mathbf{s} \oslash (\mathbf{A} + \mathbf{I})^k \mathbf{1}, \qquad
    \mathbf{x}'_c = \sum_{n \in c} s_n \mathbf{x}_n$$

    Nodes are visited by descending $\mathbf{r}$, and kept where none that was kept reaches them.
    Clusters come in the order of the nodes that were kept. Equal edges between clusters become one,
    their attributes added, and loops are removed, unless options say otherwise.

    The same as torch-geometric-pool's, except that ties go to the lowest index (its sort is not
    stable, and a graph whose nodes have one score is all ties).

    ??? cite

        [Generalizing Downsampling from Regular Data to Graphs](https://arxiv.org/abs/2208.03523),
        Bacciu et al., 2023
    """

    lin: Linear | None
    scorer: str | Callable = eqx.field(static=True)
    in_features: int | None = eqx.field(static=True)
    order_k: int = eqx.field(static=True)
    score_heuristic: str | None = eqx.field(static=True)
    force_undirected: bool = eqx.field(static=True)
    sum_features: bool = eqx.field(static=True)
    lift_by: str = eqx.field(static=True)
    keeps_loops: bool = eqx.field(static=True)
    edge_aggr: str = eqx.field(static=True)
    edge_norm: str | None = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int | None = None,
        order_k: int = 1,
        scorer: str | Callable = "linear",
        score_heuristic: str | None = "greedy",
        force_undirected: bool = False,
        sum_features: bool = True,
        lift_by: str = "transpose",
        keep_loops: bool = False,
        edge_aggr: str = "add",
        edge_norm: str | None = None,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray | None = None,
    ):
        r"""**Arguments:**

        - `in_features`: the number of features of a node. Needed for `"linear"`; any by default.
        - `order_k`: $k$.
        - `scorer`: what gives $\mathbf{s}$: `"linear"`; `"degree"`, the sum of the weights of the
            edges that point at a node; `"random"`, numbers in [0, 1), which need a `key` in the
            call; `"constant"`, 1; `"canonical"`, 0, -1, -2, ... over the whole batch, as in
            torch-geometric-pool, so that other graphs have a part in it; or a function
            `(x, edge_index, edge_weight, batch) -> scores` of shape `(nodes,)`.
        - `score_heuristic`: what divides $\mathbf{s}$: with `"greedy"` the number of walks of $k$
            steps or loops that end at a node, with `"w-greedy"` the sum of the scores where they
            begin; with `None` nothing.
        - `force_undirected`: whether edges count in both directions in all this. An edge that is
            there twice counts once then, with the larger weight.
        - `sum_features`: whether the features of a cluster are the sum above. If not, those of the
            kept node, times its score.
        - `lift_by`: whether [`lift`][jraphx_eqx.nn.pool.KMISPooling.lift] multiplies features by
            the score of a node, `"transpose"`, or also divides them by the sum of the squares of
            the scores in its cluster, `"inverse"`, so that features in proportion to the scores
            come back.
        - `keep_loops`: whether clusters keep the edges to themselves.
        - `edge_aggr`: how the attributes of equal edges are reduced: `"add"` or `"sum"`, `"mean"`,
            `"max"`, `"min"`.
        - `edge_norm`: what divides the weights of pooled edges: with `"degree"` the roots of the
            sums of the weights at both ends, with `"max"` the largest weight of the graph; with
            `None` nothing.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation of `"linear"`.

        **Raises:** `ValueError` for a size below 1, an unknown `scorer`, `score_heuristic`,
        `lift_by`, `edge_aggr` or `edge_norm`, and where `"linear"` lacks `in_features` or `key`.
        """
        if not callable(scorer) and scorer not in SCORERS:
            names = ", ".join(map(repr, SCORERS))
            raise ValueError(f"scorer must be one of {names}, or a function, got {scorer!r}")
        if score_heuristic not in HEURISTICS:
            names = ", ".join(map(repr, HEURISTICS))
            raise ValueError(f"score_heuristic must be one of {names}, got {score_heuristic!r}")
        check_positive(order_k=order_k)
        check_lift(lift_by)
        check_edges(edge_aggr, edge_norm)
        if in_features is not None:
            check_positive(in_features=in_features)
        self.lin = None
        if scorer == "linear":
            if in_features is None or key is None:
                raise ValueError("in_features and key must be given for scorer='linear'")
            self.lin = Linear(in_features, 1, dtype=dtype, key=key)
        self.scorer = scorer
        self.in_features = in_features
        self.order_k = order_k
        self.score_heuristic = score_heuristic
        self.force_undirected = force_undirected
        self.sum_features = sum_features
        self.lift_by = lift_by
        self.keeps_loops = keep_loops
        self.edge_aggr = edge_aggr
        self.edge_norm = edge_norm

    @property
    def dtype(self) -> np.dtype | None:
        """That of the parameters; `None`, for any, if there are none."""
        return None if self.lin is None else self.lin.weight.dtype

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
        r"""$\mathbf{s}$, before what `score_heuristic` does; 0 in padding."""
        batch = resolve_batch(batch, x.shape[0], size)
        num_nodes, dtype = x.shape[0], x.dtype
        if self.lin is not None:
            score = jax.nn.sigmoid(self.lin(mask_rows(x, batch.node_mask))[:, 0])
        elif self.scorer == "random":
            if key is None:
                raise ValueError("key must be given for scorer='random'")
            score = jax.random.uniform(key, (num_nodes,), dtype)
        elif self.scorer == "constant":
            score = jnp.ones(num_nodes, dtype)
        elif self.scorer == "canonical":
            score = -jnp.arange(num_nodes, dtype=dtype)
        elif self.scorer == "degree":
            weight = edge_weights(edge_index, edge_attr, num_nodes, dtype)
            score = segment_sum(weight, edge_index[1], num_nodes)
        else:
            assert callable(self.scorer)
            score = self.scorer(mask_rows(x, batch.node_mask), edge_index, edge_attr, batch)
            if score.shape != (num_nodes,) or score.dtype != dtype:
                raise ValueError(
                    f"scorer must return a number of {dtype.name} for each of the {num_nodes} "
                    f"nodes, got {score.dtype.name} of shape {score.shape}"
                )
        return jnp.where(batch.node_mask, score, 0)

    def assign(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None = None,
        batch: BatchVector | None = None,
        *,
        choice: Choice = None,
        max_nodes: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> SelectOutput | OverlapSelectOutput:
        """Scores the nodes, keeps those that are apart, or those in `choice`, and gives each node
        to one that reaches it."""
        batch, num_nodes = resolve_batch(batch, x.shape[0]), x.shape[0]
        real = edge_mask(edge_index, num_nodes)
        edge_index, edge_attr = masked_edges(edge_index, edge_attr, real, num_nodes)
        if self.force_undirected:
            edge_index = jnp.concatenate([edge_index, edge_index[::-1]], axis=1)
            if edge_attr is not None:
                edge_attr = jnp.concatenate([edge_attr, edge_attr])
            edge_index, edge_attr = coalesce(edge_index, edge_attr, num_nodes, "max")
        score = self.score(x, edge_index, batch, edge_attr=edge_attr, key=key)
        order = descending_order(self._rated(jax.lax.stop_gradient(score), edge_index), batch)
        place = jnp.arange(num_nodes, dtype=jnp.int32)
        rank = jnp.zeros(num_nodes, jnp.int32).at[order].set(place, unique_indices=True)
        rank = jnp.where(batch.node_mask, rank, num_nodes)
        own, _ = first_true(independent_nodes(edge_index, rank, self.order_k), num_nodes)
        kept = jnp.zeros(num_nodes, bool).at[settle(own, score, choice)].set(True, mode="drop")
        kept = kept & batch.node_mask
        best = lowest_rank(edge_index, jnp.where(kept, rank, num_nodes), self.order_k)
        number = jnp.cumsum(kept, dtype=jnp.int32) - 1
        node = gather(order.astype(jnp.int32), best, fill_value=num_nodes)
        cluster = gather(number, node, fill_value=num_nodes)
        cluster = jnp.where(batch.node_mask, cluster, num_nodes)
        total = jnp.sum(kept, dtype=jnp.int32)
        made = select_clusters(cluster, total, score, max_nodes)
        return made if self.sum_features else keep_features(made, kept)

    def lift(
        self, x: Float[Array, "clusters features"], select: SelectOutput | OverlapSelectOutput
    ) -> Float[Array, "nodes features"]:
        """The features of the cluster of each node, times its score; 0 in padding."""
        every = select if isinstance(select, SelectOutput) else select.own
        return lift_by_weights(x, every, self.lift_by)

    def _rated(self, score, edge_index):
        if self.score_heuristic is None:
            return score
        total = jnp.ones_like(score) if self.score_heuristic == "greedy" else score
        for _ in range(self.order_k):
            total = total + segment_sum(gather(total, edge_index[0]), edge_index[1], len(score))
        return quotient(score, total)
