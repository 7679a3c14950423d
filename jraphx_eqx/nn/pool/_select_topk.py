import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import IN, Option, Rename, inside, number, one_number, twin
from ..._warn import warn
from ...data import BatchVector, resolve_batch
from ...data._batch_vector import most_nodes
from ...ops import (
    above_min_score,
    error_if,
    first_true,
    masked_matmul,
    segment_softmax,
    top_k,
    top_k_capacity,
)
from ...ops._length import length, near_one
from .._activation import activation
from .._check import check_features
from .._entry import takes_numpy
from ._selection import SelectOutput, select_nodes


class SelectTopK(eqx.Module):
    r"""Keeps the nodes of each graph with the highest scores.

    The score of a node, by [`score`][jraphx_eqx.nn.pool.SelectTopK.score], is
    $\sigma(\mathbf{x} \cdot \mathbf{p} / \|\mathbf{p}\|)$; with `min_score` it is the softmax of
    $\mathbf{x} \cdot \mathbf{p}$ over the graph. Calling the module turns scores into a
    [`SelectOutput`][jraphx_eqx.nn.pool.SelectOutput]. So every learnable part is in `score`, and
    every decision in the call.

    Equal to `torch_geometric.nn.pool.select.SelectTopK`, except that ties go to the lowest index
    (PyG's sort is not stable), and that k and the threshold are computed in float32 for float16
    and bfloat16.

    `weight` is $\mathbf{p}$, of shape `(1, features)`, initialised from
    $\mathcal{U}(-1/\sqrt{F}, 1/\sqrt{F})$. Its length plays no part without `min_score`, however
    small or large it is; PyG's scores are 0 where the square overflows. So with one feature only
    its sign counts, and its gradient is 0: exactly here, up to rounding in PyG, where optimisers
    like Adam make steps of full size of what is left, and can turn the order round. Weight decay
    is kept away from it by [`trainable`][jraphx_eqx.nn.trainable].
    """

    weight: Float[Array, "1 features"]
    nonlinearity: Callable
    in_features: int = eqx.field(static=True)
    ratio: float | int | None = eqx.field(static=True)
    min_score: float | int | None = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        ratio: float | int | None = 0.5,
        min_score: float | int | None = None,
        nonlinearity: str | Callable = "tanh",
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:** as [`TopKPooling`][jraphx_eqx.nn.pool.TopKPooling]."""
        if in_features < 1:
            raise ValueError(f"in_features must be at least 1, got {in_features}")
        if min_score is None:
            check_ratio(ratio)
        elif math.isnan(min_score):
            raise ValueError("min_score must be a number, got nan")
        bound = 1 / math.sqrt(in_features)
        dtype = jnp.result_type(float) if dtype is None else dtype
        self.weight = jax.random.uniform(key, (1, in_features), dtype, -bound, bound)
        self.nonlinearity = activation(nonlinearity)
        self.in_features = in_features
        self.ratio = ratio
        self.min_score = min_score

    @property
    def untrained(self) -> tuple[str, ...]:
        """`("weight",)` where only its sign counts; see [`trainable`][jraphx_eqx.nn.trainable]."""
        return ("weight",) if self.in_features == 1 and self.min_score is None else ()

    @takes_numpy
    def score(
        self,
        x: Float[Array, "nodes features"],
        batch: BatchVector | Int[Array, " nodes"] | None = None,
        *,
        size: int | None = None,
    ) -> Float[Array, " nodes"]:
        """What nodes are ranked by, and kept features are multiplied by.

        Padding rows of `x` may hold anything. Their scores are finite and mean nothing.
        """
        check_features(x, self.in_features, self.weight.dtype)
        batch = resolve_batch(batch, x.shape[0], size)
        projection = self.weight[0]
        if self.untrained:
            projection = jax.lax.stop_gradient(projection)
        if self.min_score is None:
            projection = near_one(projection)
        score = masked_matmul(x, projection, batch.node_mask)
        if self.min_score is not None:
            return segment_softmax(score, batch.index, batch.num_graphs)
        score = score / length(projection)
        # Again, for nonlinearities whose gradient at 0 is infinite.
        return self.nonlinearity(jnp.where(batch.node_mask, score, 0))

    def __call__(
        self,
        score: Float[Array, " nodes"],
        batch: BatchVector | Int[Array, " nodes"] | None = None,
        *,
        size: int | None = None,
        max_nodes: int | None = None,
    ) -> SelectOutput:
        """Chooses the nodes to keep.

        **Arguments:**

        - `score`: the score of each node.
        - `batch`, `size`: the graph of each node; see
            [`global_add_pool`][jraphx_eqx.nn.pool.global_add_pool].
        - `max_nodes`: room for this many nodes, and for one at least, instead of for as many as
            there can be. To exceed it is an error at run time.

        **Returns:** the selection: by graph, then by descending score, ties by lowest index; with
        `min_score` by node. Real entries come first.
        """
        if score.ndim != 1:
            raise ValueError(f"score must have shape (nodes,), got {score.shape}")
        batch = resolve_batch(batch, score.shape[0], size)
        return keep_best(score, batch, self.ratio, self.min_score, max_nodes)

    def capacity(self, batch: BatchVector, dtype: DTypeLike) -> int:
        """How many nodes can be kept at most, whatever their scores and graphs."""
        num_nodes = batch.index.shape[0]
        return _capacity(num_nodes, batch.num_graphs, self.ratio, self.min_score, dtype)


def keep_best(
    score: Float[Array, " nodes"],
    batch: BatchVector,
    ratio: float | int | None,
    min_score: float | int | None = None,
    max_nodes: int | None = None,
) -> SelectOutput:
    """What [`SelectTopK`][jraphx_eqx.nn.pool.SelectTopK] with these options makes of scores."""
    options = (ratio, min_score, score.dtype)
    needed = _capacity(score.shape[0], batch.num_graphs, *options)
    capacity = needed if max_nodes is None else min(needed, _room(max_nodes))
    if min_score is None:
        assert ratio is not None
        perm, total = top_k(score, batch, ratio, capacity)
    else:
        perm, total = first_true(above_min_score(score, batch, min_score), capacity)
    max_count = _capacity(most_nodes(batch), 1, *options)
    if max_nodes is None or max_nodes >= needed:
        return select_nodes(perm, score, max_count=max_count)
    overflow = total > max_nodes
    message = f"more nodes are kept than max_nodes={max_nodes} has room for; raise max_nodes"
    return select_nodes(error_if(perm, overflow, message), score, overflow, max_count)


def _capacity(num_nodes, num_graphs, ratio, min_score, dtype):
    """How many nodes so many graphs can keep at most."""
    if min_score is not None:
        return num_nodes
    return top_k_capacity(num_nodes, num_graphs, ratio, dtype)


def check_ratio(ratio: float | int | None) -> None:
    """Raises unless it is a fraction, or a whole number from 1 on."""
    if ratio is None:
        raise ValueError("one of ratio and min_score must be given, got None for both")
    number = isinstance(ratio, float | int) and not isinstance(ratio, bool)
    if not number or not ratio > 0:
        raise ValueError(
            f"ratio must be a fraction in (0, 1) or a number of nodes from 1 on, got {ratio!r}"
        )
    if ratio > 1 and (math.isinf(ratio) or ratio != int(ratio)):
        raise ValueError(
            f"ratio from 1 on is the number of nodes to keep and must be whole, got {ratio!r}"
        )
    if isinstance(ratio, float) and ratio == 1:
        warn(
            "ratio=1.0 keeps one node of each graph, as in PyG, not all of them. Write ratio=1 "
            "if this is meant."
        )


def _room(max_nodes):
    """One at least: the compiler drops the check of an array without entries."""
    if max_nodes < 0:
        raise ValueError(f"max_nodes must not be negative, got {max_nodes}")
    return max(max_nodes, 1)


def _pyg_ratio(ratio):
    ratio = one_number(ratio)
    # As PyG does; ours must be whole.
    return int(ratio) if ratio is not None and ratio >= 1 else ratio


RATIO = Option("ratio", read=_pyg_ratio)
# What the poolings have in common that keep the nodes with the highest scores.
KEEPS = (
    *inside("select", RATIO, number("min_score")),
    Option("nonlinearity", at="select.nonlinearity", theirs_at="select.act", kind="activation"),
    number("multiplier"),
)
STAGES = {
    "select": "torch_geometric.nn.pool.select.SelectTopK",
    "connect": "torch_geometric.nn.pool.connect.FilterEdges",
}
# Scores have a sign that they are multiplied by since then.
SIGN = Rename("2.4", {"select.weight": "gnn."}, value=1)

twin(
    SelectTopK,
    STAGES["select"],
    IN,
    RATIO,
    number("min_score"),
    Option("nonlinearity", "act", kind="activation"),
)
