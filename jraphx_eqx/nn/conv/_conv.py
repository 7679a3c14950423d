import abc
from collections.abc import Sequence
from typing import Any, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..._twin import Option, part
from ...data import BatchVector, EdgeIndex
from ...data._batch_vector import bounded_batch
from ...ops import (
    Aggregation,
    aggregation,
    edge_mask,
    gather,
    mask_rows,
    masked_edges,
    neighbour_mean,
    neighbour_sum,
    segment_reduce_by_block,
)
from .._check import check_dtype, check_edge_attr, check_edge_index, check_rows
from .._linear import add_bias, apply_linear, product
from ..aggr import AbstractAggregation, aggregation_resolver

_BY_LISTS = {"add": neighbour_sum, "sum": neighbour_sum, "mean": neighbour_mean}


class AbstractConv(eqx.Module):
    """A layer that updates each node from the nodes whose edges point at it.

    Padding edges, those with an end past the last node, change nothing, whatever their attributes
    hold, NaN included. Nor do padded nodes, as long as their rows of `x` are finite. With
    `node_mask` these may hold anything as well. Their rows of the result mean nothing.
    """

    in_features: eqx.AbstractVar[int]
    out_features: eqx.AbstractVar[int]

    @abc.abstractmethod
    def __call__(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        *,
        node_mask: Bool[Array, " nodes"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "nodes out_features"]:
        """Subclasses may take edge weights or attributes as a third argument."""

    def propagate(
        self,
        x: Float[Array, "nodes *features"],
        edge_index: Int[Array, "2 edges"] | EdgeIndex,
        edge_weight: Float[Array, "edges *heads"] | None = None,
        aggr: str | AbstractAggregation = "add",
    ) -> Float[Array, "nodes ..."]:
        """Aggregates at each node the features of its in-neighbours, each times the edge's weight.

        **Arguments:**

        - `x`: node features, of any rank.
        - `edge_index`: source and target of each edge. Edges with an end past the last row of `x`
            are padding. Sums and means without weights are quicker by an
            [`EdgeIndex`][jraphx_eqx.data.EdgeIndex].
        - `edge_weight`: 1 by default. Its axes after the first are those of `x`, or fewer.
        - `aggr`: `"add"` or `"sum"`, `"mean"`, `"max"`, `"min"`, or an aggregation.

        **Returns:** an array like `x`; 0 at nodes without in-neighbours. An aggregation may return
        other widths, and what it does where there is nothing to add.
        """
        num_nodes = x.shape[0]
        if isinstance(edge_index, EdgeIndex):
            if edge_weight is None and isinstance(aggr, str) and aggr in _BY_LISTS:
                check_rows(x, edge_index.num_nodes, "x", "lists of neighbours")
                return _BY_LISTS[aggr](x, edge_index.neighbours)
            edge_index = edge_index.index
        mask = edge_mask(edge_index, num_nodes)
        (source, target), edge_weight = masked_edges(edge_index, edge_weight, mask, num_nodes)

        def messages(edges):
            source, edge_weight = edges
            rows = gather(x, source)
            if edge_weight is None:
                return rows
            missing = (1,) * (x.ndim - edge_weight.ndim)
            return edge_weight.reshape(edge_weight.shape + missing) * rows

        if isinstance(aggr, AbstractAggregation):
            batch = bounded_batch(target, num_nodes, None)
            return aggr.aggregate(messages((source, edge_weight)), batch)
        return segment_reduce_by_block(messages, (source, edge_weight), target, num_nodes, aggr)

    def propagate_and_project(
        self,
        linear: eqx.nn.Linear,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"] | EdgeIndex,
        edge_weight: Float[Array, "edges *one"] | None = None,
        aggr: str | AbstractAggregation = "add",
        node_mask: Bool[Array, " nodes"] | None = None,
    ) -> Float[Array, "nodes out_features"]:
        """`linear` of what [`propagate`][jraphx_eqx.nn.conv.AbstractConv.propagate] returns.

        Sums and means can also be taken after a linear map. Where the map makes rows shorter,
        as that of a scorer does, it comes first, and less is moved along the edges.
        """
        out_features, in_features = linear.weight.shape
        if aggr not in ("add", "sum", "mean") or out_features >= in_features:
            x = mask_rows(x, node_mask)
            return apply_linear(linear, self.propagate(x, edge_index, edge_weight, aggr))
        out = self.propagate(product(linear, x, node_mask), edge_index, edge_weight, aggr)
        return add_bias(out, linear.bias)


def aggregate_at_nodes(
    messages: Float[Array, "edges features"],
    target: Int[Array, " edges"],
    num_nodes: int,
    aggr: str | AbstractAggregation,
) -> Float[Array, "nodes ..."]:
    """Aggregates messages that are there already at the nodes they go to."""
    if isinstance(aggr, AbstractAggregation):
        return aggr.aggregate(messages, bounded_batch(target, num_nodes, None))
    return aggregation(aggr)(messages, target, num_nodes)


def given_attr(
    edge_index: Int[Array, "2 edges"],
    edge_attr: Float[Array, "edges edge_features"] | None,
    width: int,
    dtype: np.dtype,
) -> Float[Array, "edges edge_features"]:
    """`edge_attr`; raises unless it is there, of that width, and fits the edges."""
    check_edge_index(edge_index)
    if edge_attr is None or edge_attr.ndim != 2 or edge_attr.shape[1] != width:
        got = None if edge_attr is None else edge_attr.shape
        raise ValueError(f"edge_attr must have shape (edges, {width}), got {got}")
    check_edge_attr(edge_attr, edge_index)
    check_dtype(edge_attr, dtype, "edge_attr")
    return edge_attr


def check_network_output(
    out: Array,
    num_rows: int,
    out_features: int,
    rows: str = "nodes",
    given: str = "out_features",
) -> None:
    """Raises unless a network `nn` has returned the right number of features for each row."""
    if out.shape != (num_rows, out_features):
        raise ValueError(
            f"nn must return {out_features} features for each of the {num_rows} {rows}, "
            f"as given by {given}, got shape {out.shape}"
        )


def resolve_aggregation(
    aggr: str | AbstractAggregation | Sequence[str | AbstractAggregation],
) -> tuple[str, AbstractAggregation | None]:
    """The name of a sum, mean, maximum or minimum, and `None`; or that of another aggregation, and
    the aggregation itself."""
    if isinstance(aggr, str) and aggr in get_args(Aggregation):
        return aggr, None
    module = aggregation_resolver(aggr)
    return type(module).__name__, module


def aggregated_width(
    aggr: AbstractAggregation | None, in_features: int, dtype: DTypeLike | None
) -> int:
    """The number of features that come out of an aggregation."""
    if aggr is None:
        return in_features

    def run():
        x = jnp.zeros((1, in_features), jnp.result_type(float) if dtype is None else dtype)
        return aggr.aggregate(x, BatchVector(jnp.zeros(1, jnp.int32), 1))

    return jax.eval_shape(run).shape[-1]


# What the convolutions of PyG have in common, for their twins.
AGGR = Option("aggr", at=("aggr_module", "aggr"), theirs_at="aggr_module", kind="aggr")
NETWORK = (
    Option("in_features", "", theirs_at="nn", kind="first"),
    Option("out_features", "", theirs_at="nn", kind="last"),
    part("nn"),
)
TRAIN_EPS = Option("train_eps", theirs_at="eps", kind="trained")
MESSAGES = {
    "flow": ("source_to_target",),
    "node_dim": (-2, 0),
    "decomposed_layers": (1,),
}
LINEAR_MAPS: dict[str, Any] = {"only": MESSAGES, "holds": {"*": "torch_geometric.nn.Linear"}}
ADDS: dict[str, Any] = {
    "only": {**MESSAGES, "aggr": ("add", "sum", "SumAggregation()")},
    "holds": {"aggr_module": "torch_geometric.nn.aggr.SumAggregation", **LINEAR_MAPS["holds"]},
}
