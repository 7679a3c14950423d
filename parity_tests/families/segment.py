"""Faults in what reduces rows by graph or by node."""

import jax
import jax.numpy as jnp

from jraphx_eqx.nn.pool import global_max_pool
from jraphx_eqx.parity import Divergence

from .._operator import edits, entry

FAULTS = (
    *edits(
        "ops._segment:divide_by_count",
        (
            "mean over all rows",
            "segment_count(index, num_segments)",
            "jnp.full_like(segment_count(index, num_segments), index.shape[0])",
            "aggr=mean",
        ),
        (
            "mean of nothing is NaN",
            "jnp.maximum(segment_count(index, num_segments), 1)",
            "segment_count(index, num_segments)",
        ),
        (
            "eps in the count of a mean",
            "_as_column(count, total.ndim)",
            "(_as_column(count, total.ndim) + 1e-12)",
        ),
    ),
    *edits(
        "ops._segment:segment_mean",
        ("mean in float32", "_widened(data)", "data.astype(jnp.float32)"),
    ),
    *edits(
        "ops._segment:segment_sum",
        ("sum in bfloat16", "_widened(data)", "data.astype(jnp.bfloat16)"),
        ("sum in float16", "_widened(data)", "data.astype(jnp.float16)"),
        ("sum in float32", "_widened(data)", "data.astype(jnp.float32)"),
    ),
    *edits(
        "ops._segment:_reduced",
        (
            "padding counts to the last graph",
            "return reduction.by_index(data, index, num_segments)",
            "return reduction.by_index(data, jnp.minimum(index, num_segments - 1), num_segments)",
            "min_score",
        ),
    ),
    *edits(
        "ops._vectors:in_vectors",
        ("rows of 64 are scaled", "rows * real", "rows * 1.00001 * real", "wide"),
        ("rows of 64 are masked where they are real", "real[:, None]", "(~real)[:, None]", "wide"),
    ),
    *edits(
        "ops._by_block:segment_reduce_by_block",
        (
            "a sum by block without its last rows",
            "blocks.rest_of(index)",
            "jnp.full_like(blocks.rest_of(index), num_segments)",
            "by_block",
        ),
    ),
    *edits(
        "ops._blocks:Blocks.part",
        ("every block is the first", "number * self.size", "0 * number", "by_block"),
    ),
    *edits(
        "ops._segment:_filled_extremum",
        ("maximum of nothing is infinite", "jnp.where(filled, out, 0)", "out", "aggr=m"),
        ("maximum of nothing is 1", "jnp.where(filled, out, 0)", "jnp.where(filled, out, 1)"),
        ("maximum starts from 0", "jnp.where(filled, out, 0)", "jnp.maximum(out, 0)", "aggr=max"),
        ("minimum starts from 0", "jnp.where(filled, out, 0)", "jnp.minimum(out, 0)", "aggr=min"),
    ),
    *edits(
        "ops._segment:_extremum_jvp",
        (
            "every tie gets all of the gradient",
            "total / jnp.maximum(ties, 1).astype(total.dtype)",
            "total",
            "aggr=max",
        ),
        ("gradient to all rows", "jnp.where(chosen, tangent, 0)", "tangent", "aggr=max"),
        (
            "share of ties in float16",
            "total / jnp.maximum(ties, 1).astype(total.dtype)",
            "(total / jnp.maximum(ties, "
            "1).astype(total.dtype)).astype(jnp.float16).astype(tangent.dtype)",
            "aggr=max",
        ),
    ),
    *edits(
        "ops._segment:segment_max",
        ("maximum is a minimum", "_MAX", "_MIN", "m"),
        (
            "maximum is detached",
            "_extremum(_MAX, data, index, num_segments)",
            "jax.lax.stop_gradient(_extremum(_MAX, data, index, num_segments))",
            "aggr=max",
        ),
    ),
    *edits(
        "ops._segment:segment_min",
        ("minimum is a maximum", "_MIN", "_MAX", "aggr=min"),
    ),
    entry("mean is a sum", "ops._segment._AGGREGATIONS", "mean", "add", likely="mean"),
    entry("sum is a mean", "ops._segment._AGGREGATIONS", "sum", "mean", likely="=sum"),
    entry("max is min", "ops._segment._AGGREGATIONS", "max", "min", likely="=max"),
    *edits(
        "ops._segment:segment_softmax",
        (
            "softmax without the maximum",
            "jnp.exp(data - gather(largest, index))",
            "jnp.exp(data)",
            "saturated",
        ),
        (
            "softmax sums to less than 1",
            "total = segment_sum(weight, index, num_segments)",
            "total = segment_sum(weight, index, num_segments) + 1e-12",
            "min_score",
        ),
        (
            "softmax over all graphs",
            "gather(total, index)",
            "jnp.broadcast_to(jnp.sum(total, axis=0), data.shape)",
            "min_score",
        ),
        (
            "softmax is detached",
            "weight / jnp.where",
            "jax.lax.stop_gradient(weight) / jnp.where",
            "min_score",
        ),
        (
            "softmax in float32",
            "data = jnp.where(mask, data, 0)",
            "data = jnp.where(mask, data, 0).astype(jnp.float32).astype(data.dtype)",
            "min_score",
        ),
    ),
    *edits(
        "data._batch_vector:resolve_batch",
        (
            "one graph more than there are",
            "return BatchVector(index, size)\n    ids",
            "return BatchVector(index, size + 1)\n    ids",
            "batch=array",
        ),
    ),
)


def _hidden_zero():
    import torch
    from torch_geometric.utils import scatter

    x = torch.zeros(3, 1, requires_grad=True)
    scatter(x, torch.zeros(3, dtype=torch.long), dim_size=1, reduce="max").sum().backward()
    ours = jax.grad(lambda x: global_max_pool(x, jnp.zeros(3, jnp.int32)).sum())
    return x.grad.ravel().tolist(), ours(jnp.zeros((3, 1))).ravel().tolist()


HIDDEN_ZERO = Divergence(
    "hidden-zero",
    condition="the maximum or minimum of a group is exactly 0",
    pyg=[0.25, 0.25, 0.25],
    ours=[1 / 3, 1 / 3, 1 / 3],
    reason="PyTorch's scatter counts the zero that the output starts from as one more tie, so "
    "a part of the gradient is lost. Here the gradient is shared among the nodes alone.",
    link="https://pytorch.org/docs/stable/generated/torch.Tensor.scatter_reduce_.html",
    probe=_hidden_zero,
    covers=lambda case, config, lane, tensor: "zeros" in case.tags and tensor[:2] == "d.",
)
